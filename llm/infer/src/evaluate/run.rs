//! Runs a suite: asks every question, computes the measures of each task, and writes the results.

use std::sync::atomic::AtomicBool;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tokensieve_tasks as tasks;

use super::answers::{Answers, answers_path, hash};
use super::ask::{ask, stored_answer};
use super::benchmark::Benchmark;
use super::judge;
use super::model::{EvaluatedModel, answer_start};
use super::oracle;
use super::registry::{self, Entry};
use super::results::{Results, TaskResults};
use super::settings::Settings;
use crate::header::TOKENIZER;
use crate::together::Together;
use tokensieve_documents::estimates::HashedPath;
use tokensieve_kernels::memory;
use tokensieve_model::text::{ChatTemplate, Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Error, Model, Result};

/// Evaluates the model on the suite. Processes share the questions; what has no questions, measures and files are process
/// 0's, whose results alone are complete. `None`: interrupted; the answers so far are stored.
pub fn evaluate(
    settings: &Settings,
    interrupted: &'static AtomicBool,
    together: &Together<'_>,
) -> Result<Option<Results>> {
    memory::keep();
    if together.stores() {
        settings.check_files()?;
    }
    let template = ChatTemplate::resolve(settings.chat_template.as_ref(), settings.adapter.as_deref())?;
    let opened = Checkpoint::open_with(&settings.model, template);
    let checkpoint = opened.map_err(|error| error.model_named_by("--model"))?;
    let tokenizer = Tokenizer::open_on(&checkpoint, settings.date)?;
    let longest = checkpoint.config().max_positions.max(1) as usize;
    let options = tasks::Options { limit: settings.limit, seed: settings.seed };
    let open = |name: &String| registry::open(name, &options, &tokenizer, longest, settings.skip_bad);
    let suite = settings.suite.iter().map(open).collect::<Result<Vec<_>>>()?;
    check(&suite, settings)?;
    together.same("model", || checkpoint.hash())?;
    let header = answer_settings(settings, (&checkpoint, &tokenizer))?;
    // Each process may have a GPU of its own.
    let shared: Vec<_> = header.iter().filter(|(key, _)| *key != DEVICE).collect();
    together.same("adapter or setting", || (&shared, &settings.suite, settings.limit, settings.seed))?;
    let mut answers = if together.stores() { open_answers(&suite, settings, &header)? } else { None };
    let mut model = Model::load(&checkpoint, settings.precision, settings.device)?;
    if let Some(folder) = &settings.adapter {
        let adapter = Adapter::load_on(&checkpoint, folder, model.device())?;
        model.attach(Some(&adapter))?;
    }
    let mut evaluated = EvaluatedModel::new(&model, &tokenizer, settings.generation(), interrupted);
    let mut results = Results {
        model: settings.model.clone(),
        adapter: settings.adapter.clone(),
        precision: settings.precision.name().to_owned(),
        seed: settings.seed,
        limit: settings.limit,
        chat_template: checkpoint.template().map(ChatTemplate::hash),
        tasks: IndexMap::new(),
    };
    let mut scores = Vec::new();
    for entry in &suite {
        let (name, found) = match entry {
            Entry::Benchmark(benchmark) => {
                let asked = ask(benchmark.as_ref(), &mut evaluated, answers.as_mut(), together)?;
                if asked.is_break() {
                    return Ok(None);
                }
                let Some(answers) = &mut answers else { continue };
                (benchmark.name(), measured(benchmark.as_ref(), answers, settings, interrupted)?)
            }
            Entry::Oracle(_) if !together.stores() => continue,
            Entry::Oracle(oracle) => {
                let found = oracle.measure(&mut evaluated, settings.seed)?;
                let found = found.map(|(found, of_tokens)| {
                    scores.push(of_tokens);
                    found
                });
                (oracle.name(), found)
            }
        };
        let Some(found) = found else { return Ok(None) };
        results.tasks.insert(name.to_owned(), found);
        results.write(&settings.out)?;
    }
    if let Some(path) = settings.tokens.as_ref().filter(|_| together.stores()) {
        oracle::write_tokens(path, &scores)?;
    }
    Ok(Some(results))
}

/// Checks, before any question is asked, what depends on the entries of the suite.
fn check(suite: &[Entry], settings: &Settings) -> Result<()> {
    if let Some(judging) = &settings.judging {
        let mut is_judged = false;
        for entry in suite {
            if let Entry::Benchmark(benchmark) = entry
                && benchmark.name() == judge::TASK
            {
                judge::check(benchmark.as_ref(), judging, settings)?;
                is_judged = true;
            }
        }
        if !is_judged {
            let what = format!("needs {} in --suite; other tasks have no judge", judge::TASK);
            return Err(Error::setting("--judge", what));
        }
    }
    let has_tokens = suite.iter().any(|entry| matches!(entry, Entry::Oracle(_)));
    if settings.tokens.is_some() && !has_tokens {
        return Err(Error::setting(
            "--tokens",
            "needs oracle:FILE in --suite; other tasks have no exact tokens",
        ));
    }
    Ok(())
}

/// Opens the stored answers, if the suite has questions.
fn open_answers(
    suite: &[Entry],
    settings: &Settings,
    header: &Map<String, Value>,
) -> Result<Option<Answers>> {
    if !suite.iter().any(|entry| matches!(entry, Entry::Benchmark(_))) {
        return Ok(None);
    }
    Answers::open(&answers_path(&settings.out), header, settings.fresh).map(Some)
}

/// Measures the answers to a benchmark's questions. `None`: interrupted.
fn measured(
    benchmark: &dyn Benchmark,
    answers: &mut Answers,
    settings: &Settings,
    interrupted: &'static AtomicBool,
) -> Result<Option<TaskResults>> {
    let mut found = measure(benchmark, answers, settings.seed)?;
    if let (judge::TASK, Some(judging)) = (benchmark.name(), &settings.judging) {
        let judge_settings = (judging, settings);
        if judge::add_win_rates(benchmark, &mut found, answers, judge_settings, interrupted)?.is_break() {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// The key of the device.
const DEVICE: &str = "device";

/// The settings on which every answer depends.
fn answer_settings(
    settings: &Settings,
    (checkpoint, tokenizer): (&Checkpoint, &Tokenizer),
) -> Result<Map<String, Value>> {
    let adapter = settings.adapter.as_deref().map(HashedPath::adapter).transpose()?;
    let header = json!({
        "model": checkpoint.hash(),
        "adapter": adapter.map(|adapter| adapter.sha256),
        "precision": settings.precision.name(),
        "merge": settings.merge,
        DEVICE: format!("{:?}", settings.device),
    });
    let Value::Object(mut header) = header else { unreachable!("an object literal") };
    // A folder's own hash is that of its weights and configuration alone.
    header.insert(TOKENIZER.to_owned(), json!(tokenizer.hash()?));
    // Files from before this setting existed stay valid.
    if settings.date != Moment::default() {
        header.insert("date".to_owned(), json!(settings.date.to_string()));
    }
    // Nor do most models need this one; before it existed, others were asked for reasoning, and it counted as an answer.
    if let Some(start) = answer_start(tokenizer) {
        header.insert("answer_start".to_owned(), json!(start));
    }
    if let Some(template) = checkpoint.template() {
        header.insert("chat_template".to_owned(), json!(template.hash()));
    }
    Ok(header)
}

/// Computes the measures of a task from the stored answers.
fn measure(benchmark: &dyn Benchmark, answers: &Answers, seed: u64) -> Result<TaskResults> {
    let ids: Vec<String> = (0..benchmark.count()).map(|question| benchmark.id(question).to_owned()).collect();
    let mut seconds = 0.0;
    let mut tallies = Vec::with_capacity(ids.len());
    for question in 0..ids.len() {
        let line = stored_answer(benchmark, answers, question)?;
        seconds += line.seconds;
        tallies.push(benchmark.tally(question, &line.answer)?);
    }
    let sha256 = (0..benchmark.count()).map(|question| hash(&benchmark.asked(question))).collect();
    Ok(TaskResults::new(benchmark.measures(), ids, sha256, &tallies, seconds, seed))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tch::{Device, Kind};

    use super::*;

    fn settings(model: &Path) -> Settings {
        Settings {
            suite: Vec::new(),
            model: model.to_str().unwrap().to_owned(),
            adapter: None,
            chat_template: None,
            date: Moment::default(),
            precision: Kind::Float.into(),
            merge: false,
            device: Device::Cpu,
            limit: None,
            seed: 0,
            skip_bad: false,
            batch: 1,
            judging: None,
            out: model.join("results.json"),
            baseline: None,
            tokens: None,
            fresh: false,
        }
    }

    /// Two questions that have nothing to measure.
    struct Asked([&'static str; 2]);

    impl Benchmark for Asked {
        fn name(&self) -> &'static str {
            "asked"
        }

        fn measures(&self) -> &[tasks::Measure] {
            &[]
        }

        fn count(&self) -> usize {
            self.0.len()
        }

        fn id(&self, question: usize) -> &str {
            ["0", "1"][question]
        }

        fn content(&self, question: usize) -> String {
            self.0[question].to_owned()
        }

        fn ask(
            &self,
            _: &mut EvaluatedModel<'_>,
            _: &[usize],
            _: &mut dyn FnMut(usize, Value) -> Result<()>,
        ) -> Result<()> {
            Ok(())
        }

        fn tally(&self, _: usize, _: &Value) -> Result<Vec<Vec<f64>>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn results_tell_questions_of_one_id_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut answers = Answers::open(&folder.path().join("a.answers.jsonl"), &Map::new(), false).unwrap();
        let mut found = |questions: [&'static str; 2]| {
            for (id, content) in ["0", "1"].iter().zip(questions) {
                answers.add("asked", id, content, 0.0, Value::Null).unwrap();
            }
            measure(&Asked(questions), &answers, 0).unwrap()
        };
        let [one, other] = [found(["a", "b"]), found(["a", "c"])];
        assert_eq!(one.tallies.ids, other.tallies.ids);
        assert_eq!((one.sha256.len(), &one.sha256[0]), (2, &other.sha256[0]));
        assert_ne!(one.sha256[1], other.sha256[1]);
    }

    #[test]
    fn answers_and_verdicts_depend_on_the_text_files_of_a_models_folder() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        let folder = tempfile::tempdir().unwrap();
        for source in ["gguf/gemma2", "tokenizer"] {
            for file in fs::read_dir(fixtures.join(source)).unwrap().map(Result::unwrap) {
                fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
            }
        }
        let settings = settings(folder.path());
        let header = || {
            let checkpoint = Checkpoint::open(&settings.model).unwrap();
            let tokenizer = Tokenizer::open(&checkpoint).unwrap();
            let verdicts = judge::verdicts_name(&settings.model, &checkpoint, &tokenizer).unwrap();
            (answer_settings(&settings, (&checkpoint, &tokenizer)).unwrap(), verdicts)
        };
        let mut before = header();
        assert_eq!(header(), before);
        for (file, from, to) in [
            ("tokenizer_config.json", "message['role'] +", "message['role'] + ':' +"),
            ("generation_config.json", "0", "1"),
            ("tokenizer.json", "\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}"),
        ] {
            let path = folder.path().join(file);
            fs::write(&path, fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
            let after = header();
            assert_eq!(after.0["model"], before.0["model"]);
            assert_ne!(after.0[TOKENIZER], before.0[TOKENIZER], "{file}");
            assert_ne!(after.1, before.1, "{file}");
            before = after;
        }
        // Answers that an earlier version asked for where they did not begin are not continued.
        assert_eq!(before.0.get("answer_start"), None);
        let path = folder.path().join("tokenizer_config.json");
        let config = fs::read_to_string(fixtures.join("tokenizer/tokenizer_config.json")).unwrap();
        for (from, to, start) in [
            (
                "'\\\\n' + message['content']",
                "'\\\\n<think></think>' + message['content']",
                "<think></think>",
            ),
            ("assistant\\\\n'", "assistant\\\\n<think>\\\\n'", "<think>"),
        ] {
            let thinking = config.replace(from, to);
            assert_ne!(thinking, config);
            fs::write(&path, thinking).unwrap();
            let (header, verdicts) = header();
            assert_eq!(header["answer_start"], start);
            assert!(verdicts.ends_with(&format!(" {start:?}")), "{verdicts}");
        }
    }
}
