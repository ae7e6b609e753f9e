//! `tokensieve evaluate` on the real default model, with a few questions of each kind. Needs libtorch and the model
//! (`./just setup libtorch`); run: `cargo test -p tokensieve-cli --test evaluate`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use tch::{Device, IndexOp as _, Kind, Tensor, no_grad};
use tokensieve_infer::evaluate::{
    Answers, EvaluatedModel, LocalJudge, Results, Settings, answers_path, differences, evaluate,
    results_table,
};
use tokensieve_infer::generate::Options;
use tokensieve_infer::together::Together;
use tokensieve_model::text::{Conversation, Message, Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Document, LoraConfig, Model, Pack};
use tokensieve_tasks::judge::{self, Judge as _, Pair, Verdict};
use tokensieve_tasks::{Answer, Ask, Question};

static NOBODY: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicBool = AtomicBool::new(true);

fn model() -> (Model, Tokenizer) {
    let checkpoint = Checkpoint::open("smollm2-135m").unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    (Model::load(&checkpoint, Kind::Float, Device::Cpu).unwrap(), tokenizer)
}

/// log p of every predicted token, of the most probable one, and whether they are the same: one document alone, all its
/// logits at once.
fn alone(model: &Model, document: &Document) -> Vec<(f64, f64, bool)> {
    let pack = Pack::new(&[document], false, Device::Cpu);
    let log_p = no_grad(|| model.unembedding().logits(&model.forward(&pack)).log_softmax(1, Kind::Double));
    let of = |i: usize| {
        let row: Tensor = log_p.i(i as i64 - 1);
        let label = i64::from(document.tokens[i]);
        (
            row.double_value(&[label]),
            row.max().double_value(&[]),
            row.argmax(0, false).int64_value(&[]) == label,
        )
    };
    (1..document.tokens.len()).filter(|i| document.weights[*i] != 0.0).map(of).collect()
}

fn question(id: &str, turns: &[&str], ask: Ask) -> Question {
    let roles = ["user", "assistant"].into_iter().cycle();
    let message = |(role, text): (&str, &&str)| tokensieve_tasks::Message {
        role: role.into(),
        content: (*text).into(),
    };
    Question { id: id.into(), messages: roles.zip(turns).map(message).collect(), ask }
}

fn likelihood(id: &str, turns: &[&str], replies: &[&str]) -> Question {
    question(id, turns, Ask::Likelihood { replies: replies.iter().map(|reply| (*reply).into()).collect() })
}

#[test]
fn likelihoods_are_those_of_one_reply_at_a_time() {
    let (model, own) = model();
    // In the other template, turns end with plain text.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.jinja");
    let template = "{% for m in messages %}{{ m.role }}:\n{{ m.content }}\n\n{% endfor %}\
                    {% if add_generation_prompt %}assistant:\n{% endif %}";
    fs::write(&path, template).unwrap();
    let template = path.to_str().unwrap().parse().unwrap();
    let other = Tokenizer::open(&Checkpoint::open_with("smollm2-135m", Some(template)).unwrap()).unwrap();
    for tokenizer in [own, other] {
        check_likelihoods(&model, &tokenizer);
    }
}

fn check_likelihoods(model: &Model, tokenizer: &Tokenizer) {
    let questions = [
        likelihood(
            "capital",
            &["What is the capital of France?"],
            &["Paris", "London, of course.", "Berlin is it."],
        ),
        likelihood(
            "after an example",
            &["2 + 2?", "It is 4.", "And 3 + 3? Answer as before, please."],
            &["It is 6.", "It is 7."],
        ),
        likelihood("one", &["Say yes."], &["yes"]),
    ];
    let mut evaluated = EvaluatedModel::new(model, tokenizer, Options::default(), &NOBODY);
    let mut answers = vec![None; questions.len()];
    let all: Vec<usize> = (0..questions.len()).collect();
    evaluated
        .answer("questions", &questions, &all, &mut |place, answer| {
            answers[place] = Some(answer);
            Ok(())
        })
        .unwrap();
    for (question, answer) in questions.iter().zip(answers) {
        let (Ask::Likelihood { replies }, Some(Answer::Likelihood { probabilities })) =
            (&question.ask, answer)
        else {
            panic!("{}: not answered in kind", question.id);
        };
        assert_eq!(replies.len(), probabilities.len());
        for (reply, found) in replies.iter().zip(&probabilities) {
            let given =
                question.messages.iter().map(|turn| Message::new(turn.role.as_str(), turn.content.as_str()));
            let mut messages: Vec<Message> = given.collect();
            let last = messages.len();
            messages.push(Message::new("assistant", reply.as_str()));
            let mut document = tokenizer.document(&Conversation::chat(messages.clone()), 0).unwrap();
            // By hand: what follows the prompt, without what ends the turn.
            let prompt =
                tokenizer.encode(&tokenizer.render(&messages[..last], &[], true).unwrap()).unwrap().len();
            document.weights = (0..document.tokens.len()).map(|i| f32::from(u8::from(i >= prompt))).collect();
            let expected = alone(model, &document);
            assert!(found.len() < expected.len(), "{reply}");
            assert_eq!(found.len(), tokenizer.encode(reply).unwrap().len(), "{reply}");
            for (p, (log_p, ..)) in found.iter().zip(expected) {
                let expected = log_p.exp();
                assert!(
                    (f64::from(*p) - expected).abs() <= 1e-5 * (1.0 + expected),
                    "{reply}: {p} {expected}"
                );
            }
        }
    }
}

fn row(question: &str, answer: &str) -> String {
    format!("{}\n", serde_json::json!({ "question": question, "answer": answer }))
}

fn rows(folder: &Path) -> PathBuf {
    let path = folder.join("rows.jsonl");
    let text = row("How many legs has a spider?", "A spider has eight legs.")
        + &row("And an ant?", "Six.")
        + &row(
            "Name a colour of the rainbow and say where it stands in it.",
            "Red, which is the first of the seven.",
        );
    fs::write(&path, text).unwrap();
    path
}

fn settings(folder: &Path, suite: &[&str]) -> Settings {
    Settings {
        suite: suite.iter().map(|name| (*name).to_owned()).collect(),
        model: "smollm2-135m".to_owned(),
        adapter: None,
        chat_template: None,
        date: Moment::default(),
        precision: Kind::Float.into(),
        merge: false,
        device: Device::Cpu,
        limit: Some(3),
        seed: 1,
        skip_bad: false,
        batch: 8,
        judging: None,
        out: folder.join("results.json"),
        baseline: None,
        tokens: None,
        fresh: false,
    }
}

#[test]
fn bad_rows_of_held_out_text_are_refused_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = rows(folder.path());
    let name = format!("nll:{}", path.display());
    let nll = |settings: &Settings| -> Result<f64, String> {
        let results =
            evaluate(settings, &NOBODY, &Together::alone()).map_err(|error| error.to_string())?.unwrap();
        Ok(results.tasks[&name].measures["nll"].value.unwrap())
    };
    let strict = settings(folder.path(), &[&name]);
    let whole = nll(&strict).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap() + &row("What says nothing?", "")).unwrap();
    let error = nll(&strict).unwrap_err();
    assert!(error.contains(":4: ") && error.contains("--skip-bad"), "{error}");
    let left_out = nll(&Settings { skip_bad: true, fresh: true, ..strict }).unwrap();
    assert_eq!(left_out.to_bits(), whole.to_bits());
}

#[test]
fn what_is_not_finite_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, tokenizer) = model();
    let lora = LoraConfig { r: 1, ..LoraConfig::default() };
    let adapter = Adapter::new(model.config(), &lora, 1, Device::Cpu).unwrap();
    // Finite numbers, whose products are not.
    let _ = adapter.parameters.values().shallow_clone().fill_(1e30);
    model.attach(Some(&adapter)).unwrap();
    let asked = likelihood("yes or no", &["Say yes."], &["yes", "no"]);
    let mut evaluated = EvaluatedModel::new(&model, &tokenizer, Options::default(), &NOBODY);
    let error = evaluated.answer("asked", &[asked], &[0], &mut |_, _| Ok(())).unwrap_err().to_string();
    assert_eq!(error, "asked, question yes or no: the model's output is not finite");
    drop(evaluated);
    adapter.save(&folder.path().join("adapter"), "smollm2-135m").unwrap();
    let name = format!("nll:{}", rows(folder.path()).display());
    let broken =
        Settings { adapter: Some(folder.path().join("adapter")), ..settings(folder.path(), &[&name]) };
    let error = evaluate(&broken, &NOBODY, &Together::alone()).unwrap_err().to_string();
    assert_eq!(error, format!("{name}, row 0: the model's output is not finite"));
}

#[test]
fn held_out_text_is_measured_as_token_by_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = rows(folder.path());
    let name = format!("nll:{}", path.display());
    let results = evaluate(&settings(folder.path(), &[&name]), &NOBODY, &Together::alone()).unwrap().unwrap();
    let (model, tokenizer) = model();
    let set = tokensieve_documents::load(
        &tokensieve_documents::DataSource::new(path.to_str().unwrap()),
        &tokenizer,
    );
    let tokens: Vec<_> = set.unwrap().documents.iter().flat_map(|document| alone(&model, document)).collect();
    let n = tokens.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64, bool)) -> f64| tokens.iter().map(of).sum::<f64>() / n;
    let nll = mean(&|(log_p, ..)| -log_p);
    let bin = |best: f64| ((best.exp() * 15.0) as usize).min(14);
    let in_bin = |wanted: usize| tokens.iter().filter(move |(_, best, _)| bin(*best) == wanted);
    let gap = |i| in_bin(i).map(|(_, best, hit)| best.exp() - f64::from(u8::from(*hit))).sum::<f64>();
    let ece = (0..15).map(|i| gap(i).abs()).sum::<f64>() / n;
    let task = &results.tasks[&name];
    assert_eq!((task.n, task.tallies.ids.len()), (3, 3));
    for (measure, expected) in [
        ("nll", nll),
        ("perplexity", nll.exp()),
        ("probability", mean(&|(log_p, ..)| log_p.exp())),
        ("accuracy", mean(&|(.., hit)| f64::from(u8::from(*hit)))),
        ("ece", ece),
    ] {
        let found = task.measures[measure];
        let value = found.value.unwrap();
        assert!((value - expected).abs() < 1e-5 * (1.0 + expected), "{measure}: {value} {expected}");
        assert!(found.low.unwrap() <= found.high.unwrap(), "{found:?}");
        assert_eq!(found.n, 3);
    }
    // No temperature is worse than the best, and the answers have every token's loss.
    let fitted = task.measures["nll-fitted"].value.unwrap();
    assert!(fitted > 0.0 && fitted <= nll * (1.0 + 1e-6), "{fitted} {nll}");
    let answers = fs::read_to_string(answers_path(&folder.path().join("results.json"))).unwrap();
    let answers =
        answers.lines().skip(1).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let losses: Vec<f64> = answers
        .flat_map(|line| line["answer"]["losses"].as_array().unwrap().clone())
        .map(|loss| loss.as_f64().unwrap())
        .collect();
    assert_eq!(losses.len(), tokens.len());
    assert!((losses.iter().sum::<f64>() / n - nll).abs() < 1e-3);
}

/// The measures, not the seconds.
fn found(results: &Results) -> Vec<(String, serde_json::Value)> {
    let task = |(name, task): (&String, &tokensieve_infer::evaluate::TaskResults)| {
        (name.clone(), serde_json::json!([task.measures, task.tallies]))
    };
    results.tasks.iter().map(task).collect()
}

#[test]
fn a_suite_that_was_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let nll = format!("nll:{}", rows(folder.path()).display());
    let settings = settings(folder.path(), &["arithmetic", &nll]);
    let answers = answers_path(&settings.out);

    // Stopped before the first answer.
    assert!(evaluate(&settings, &STOPPED, &Together::alone()).unwrap().is_none());
    assert_eq!(fs::read_to_string(&answers).unwrap().lines().count(), 1, "the header");

    let whole = evaluate(&settings, &NOBODY, &Together::alone()).unwrap().unwrap();
    assert_eq!(Results::read(&settings.out).unwrap(), whole);
    let text = fs::read_to_string(&answers).unwrap();
    assert_eq!(text.lines().count(), 1 + 3 + 3);

    // Torn in the middle of the third answer.
    let kept: usize = text.lines().take(3).map(|line| line.len() + 1).sum();
    fs::write(&answers, &text[..kept + 20]).unwrap();
    let again = evaluate(&settings, &NOBODY, &Together::alone()).unwrap().unwrap();
    assert_eq!(found(&again), found(&whole));
    let resumed = fs::read_to_string(&answers).unwrap();
    assert!(resumed.starts_with(&text[..kept]), "answers given are not asked for again");
    assert_eq!(resumed.lines().count(), 1 + 3 + 3);

    // Nothing left to ask: the same results from the answers alone, and a longer suite asks only what is new.
    assert_eq!(found(&evaluate(&settings, &NOBODY, &Together::alone()).unwrap().unwrap()), found(&whole));
    assert_eq!(fs::read_to_string(&answers).unwrap(), resumed);

    let other = Settings { precision: Kind::BFloat16.into(), ..settings.clone() };
    let error = evaluate(&other, &NOBODY, &Together::alone()).unwrap_err().to_string();
    assert!(
        error.contains("precision: \"f32\" in the file, \"bf16\" now") && error.contains("--fresh"),
        "{error}"
    );

    // Against itself nothing differs; against other questions nothing is compared.
    let same = differences(&whole, &again).unwrap();
    assert_eq!(same.len(), whole.tasks.values().map(|task| task.measures.len()).sum::<usize>());
    // Three questions leave some levels unasked: there is no number, and no difference.
    let mut asked = same.iter().filter(|found| found.values[0].is_some());
    assert!(asked.all(|found| {
        // One question has no interval.
        let high = if found.difference.n < 2 { None } else { Some(0.0) };
        found.difference.value == Some(0.0) && found.difference.high == high
    }));
    let fewer = Settings { limit: Some(2), ..settings.clone() };
    let fewer = evaluate(&fewer, &NOBODY, &Together::alone()).unwrap().unwrap();
    let error = differences(&whole, &fewer).unwrap_err().to_string();
    assert!(error.contains("the questions differ"), "{error}");

    let table = results_table(&whole, Some(&whole));
    assert!(table.contains("perplexity") && table.contains("+0.0 %"), "{table}");
    // Nor is a part of the questions more or less than the whole.
    let table = results_table(&fewer, Some(&whole));
    assert!(table.contains("perplexity") && !table.lines().any(|line| line.ends_with('%')), "{table}");
}

#[test]
fn sampled_replies_are_graded_one_by_one_and_counted_by_question() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &["arithmetic@3", "arithmetic"]);
    let results = evaluate(&settings, &NOBODY, &Together::alone()).unwrap().unwrap();
    let text = fs::read_to_string(answers_path(&settings.out)).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let stored = |task: &str, id: &str| -> Vec<Answer> {
        let line = lines.iter().find(|line| line["task"] == task && line["id"] == id).unwrap();
        let list = if line["answer"].is_array() {
            line["answer"].clone()
        } else {
            serde_json::json!([line["answer"]])
        };
        serde_json::from_value(list).unwrap()
    };
    let ids = &results.tasks["arithmetic@3"].tallies.ids;
    assert_eq!((ids.len(), ids), (3, &results.tasks["arithmetic"].tallies.ids));
    let task = tokensieve_tasks::open("arithmetic", &tokensieve_tasks::Options::default()).unwrap();
    let mut different = 0;
    for (place, id) in ids.iter().enumerate() {
        let replies = stored("arithmetic@3", id);
        assert_eq!(replies.len(), 3);
        different +=
            usize::from(replies[0] != replies[1]) + usize::from(replies[0] != stored("arithmetic", id)[0]);
        let question = task.questions().iter().position(|question| question.id == *id).unwrap();
        let right = |reply: &Answer| task.tally(question, reply).unwrap()[0][0];
        let sum: f64 = replies.iter().map(right).sum();
        assert_eq!(results.tasks["arithmetic@3"].tallies.of["strict"][place], [sum, 3.0]);
    }
    assert!(different >= 4, "replies are samples: {different}");

    // The same replies whatever else is asked; others with another seed.
    let alone = |limit, seed, name: &str| {
        let out = folder.path().join(name);
        let settings = Settings {
            out,
            seed,
            limit: Some(limit),
            suite: vec!["arithmetic@3".into()],
            ..settings.clone()
        };
        evaluate(&settings, &NOBODY, &Together::alone()).unwrap().unwrap();
        let text = fs::read_to_string(answers_path(&settings.out)).unwrap();
        let answer = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines()
            .skip(1)
            .map(|line| (answer(line)["id"].clone(), answer(line)["answer"].clone()))
            .collect::<Vec<_>>()
    };
    for (id, answer) in alone(2, settings.seed, "fewer.json") {
        assert_eq!(serde_json::to_value(stored("arithmetic@3", id.as_str().unwrap())).unwrap(), answer);
    }
    assert_ne!(alone(3, settings.seed + 1, "other.json"), alone(3, settings.seed, "same.json"));

    let same = differences(&results, &results).unwrap();
    assert!(same.iter().any(|found| found.task == "arithmetic@3" && found.difference.value == Some(0.0)));
}

#[test]
fn a_local_judge_weighs_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verdicts.jsonl");
    let (model, tokenizer) = model();
    let pair = Pair { instruction: "Name a colour.", first: "Red.", second: "I like trains very much." };
    let swapped = Pair { first: pair.second, second: pair.first, ..pair };
    let ask = |pairs: &[Pair<'_>]| {
        let mut answers = Answers::open(&path, &serde_json::Map::new(), false).unwrap();
        let evaluated = EvaluatedModel::new(&model, &tokenizer, Options::default(), &NOBODY);
        LocalJudge::new("judge".into(), evaluated, &mut answers).prefer(pairs).unwrap()
    };
    let verdicts = ask(&[pair, swapped]);
    for (pair, verdict) in [pair, swapped].iter().zip(&verdicts) {
        let turns = judge::question(pair);
        let given: Vec<Message> =
            turns.iter().map(|turn| Message::new(turn.role.as_str(), turn.content.as_str())).collect();
        let label = |label: &str| {
            let mut messages = given.clone();
            messages.push(Message::new("assistant", label));
            let document = tokenizer.document(&Conversation::chat(messages), 0).unwrap();
            alone(&model, &document)[0].0
        };
        let expected = Verdict::of_labels([label("m"), label("M")]);
        match (verdict, &expected) {
            (Verdict::Second(found), Verdict::Second(expected)) => assert!((found - expected).abs() < 1e-4),
            _ => assert!(matches!((verdict, &expected), (Verdict::Nonsense(_), Verdict::Nonsense(_)))),
        }
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(kept.lines().count(), 3);
    assert_eq!(ask(&[pair, swapped]), verdicts);
    // Nor at another place among other pairs, as with another --limit.
    assert_eq!(ask(&[swapped]), verdicts[1..]);
    assert_eq!(fs::read_to_string(&path).unwrap(), kept, "nothing is asked twice");
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.json");
    let say = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tokensieve")).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let out = out.to_str().unwrap();
    let text = say(&["evaluate", "--suite", "gsm8", "--out", out]);
    assert!(text.contains("`gsm8k`") && text.contains("nll:SET/SPLIT"), "{text}");
    for (name, why) in [
        ("arithmetic@0", "--suite: arithmetic@0: behind @ stands the number of replies"),
        (
            "arithmetic@many",
            "arithmetic@many: behind @ stands the number of replies to each question, from 1 to 1000",
        ),
        ("arithmetic@99999999999", "from 1 to 1000"),
        ("arithmetic-paired@2", "its questions ask for likelihoods"),
        ("alpaca-eval@2", "a judge compares one reply"),
        ("gsm8@2", "the nearest name is `gsm8k`"),
    ] {
        let text = say(&["evaluate", "--suite", name, "--out", out]);
        assert!(text.contains(why), "{name}: {text}");
    }
    let text = say(&["evaluate", "--suite", "nll:gsm8k/dev", "--out", out]);
    assert!(text.contains("--suite nll:gsm8k/dev: the data set `gsm8k` has no split `dev`"), "{text}");
    let text = say(&["evaluate", "--suite", "nll:nope", "--out", out]);
    assert!(text.contains("--suite nll:nope: there is no file `nope`"), "{text}");
    let text = say(&["evaluate", "--suite", "gsm8k", "--model", "nowhere", "--out", out]);
    assert!(text.contains("--model: there is no file or folder `nowhere`"), "{text}");
    let text = say(&["evaluate", "--suite", "gsm8k", "--out", folder.path().to_str().unwrap()]);
    assert!(text.contains(": is a folder; name a file in it"), "{text}");
    let text = say(&["evaluate", "--suite", "gsm8k"]);
    assert!(text.contains("--out"), "{text}");
    fs::write(folder.path().join("a.json"), "{\"model\": 1}").unwrap();
    let a = folder.path().join("a.json");
    let text = say(&["evaluate", "--compare", a.to_str().unwrap(), a.to_str().unwrap()]);
    assert!(text.contains("a.json:1") && text.contains("is not a file of results"), "{text}");
    let text = say(&["make", "poems", "--n", "3", "--out", out]);
    assert!(text.contains("poems") && text.contains("arithmetic"), "{text}");
    assert!(!Path::new(out).exists());
}

#[test]
fn made_rows_are_training_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let path = path.to_str().unwrap();
    let arguments = ["make", "arithmetic", "--split", "train", "--n", "5", "--seed", "3", "--out", path];
    assert!(Command::new(env!("CARGO_BIN_EXE_tokensieve")).args(arguments).status().unwrap().success());
    let checkpoint = Checkpoint::open("smollm2-135m").unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let set = tokensieve_documents::load(&tokensieve_documents::DataSource::new(path), &tokenizer).unwrap();
    assert_eq!((set.rows, set.documents.len()), (5, 5));
    let last = set.documents.last().unwrap();
    assert!(tokenizer.decode(&last.tokens).unwrap().contains("#### "));
}
