//! A model on a suite of tasks: asked, marked, measured with intervals, compared.
//!
//! Every answer is written down as it comes ([`Answers`]), so that a suite that was stopped goes on where it was; when a
//! task is done, its measures and the sums behind them join the file of results ([`Results`]).

mod answers;
mod compare;
mod exam;
mod held_out;
mod judge;
mod local_judge;
mod model;
mod results;
mod score;
mod table;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use indexmap::IndexMap;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use tch::{Device, Kind};
use tokensieve_tasks as tasks;

pub use answers::Answers;
pub use compare::{Difference, differences};
pub use exam::Exam;
pub use held_out::HeldOut;
pub use judge::{BASELINE, Judging};
pub use local_judge::LocalJudge;
pub use model::Examinee;
pub use results::{Counted, Measured, Results, Tallies, TaskResults};
pub use score::Scorer;
pub use table::{differences_table, gain, results_table};

use crate::generate;
use tokensieve_documents::estimates::Named;
use tokensieve_kernels::memory;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::text::{ChatTemplate, Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Model};

/// What is measured, of which model.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of tasks, and `nll:SET/SPLIT`.
    pub suite: Vec<String>,
    /// The model, as [`Checkpoint::open`] takes it.
    pub model: String,
    /// An adapter's folder.
    pub adapter: Option<PathBuf>,
    /// A chat template in the place of the model's own, and of the adapter's.
    pub chat_template: Option<ChatTemplate>,
    /// The day that chat templates are told.
    pub date: Moment,
    /// The type that it computes in.
    pub kind: Kind,
    /// Whether the adapter is added to the weights for replies, which is faster and rounds once more.
    pub merge: bool,
    /// Where.
    pub device: Device,
    /// Questions per task, at most.
    pub limit: Option<usize>,
    /// Of their order, and of the bootstrap.
    pub seed: u64,
    /// Whether bad rows of held-out text are left out, instead of being an error.
    pub skip_bad: bool,
    /// Replies that are written at the same time.
    pub batch: usize,
    /// Who judges the replies of `alpaca-eval`.
    pub judging: Option<Judging>,
    /// The file of results.
    pub out: PathBuf,
    /// Asks everything again.
    pub fresh: bool,
}

impl Settings {
    /// How replies are written.
    fn generation(&self) -> generate::Options {
        generate::Options { batch: self.batch, merge: self.merge }
    }
}

/// Measures the model. `None`: interrupted; the answers so far are kept.
pub fn evaluate(settings: &Settings, interrupted: &AtomicBool) -> Result<Option<Results>> {
    memory::keep();
    if settings.out.is_dir() {
        let what = format!("`{}` is a folder; name a file in it, ending in .json", settings.out.display());
        return Err(Error::setting("--out", what));
    }
    let template = ChatTemplate::of(settings.chat_template.as_ref(), settings.adapter.as_deref())?;
    let opened = Checkpoint::open_with(&settings.model, template);
    let checkpoint = opened.map_err(|error| error.model_named_by("--model"))?;
    let tokenizer = Tokenizer::open_on(&checkpoint, settings.date)?;
    let longest = checkpoint.config().max_positions.max(1) as usize;
    let options = tasks::Options { limit: settings.limit, seed: settings.seed };
    let open = |name: &String| exam::open(name, &options, &tokenizer, longest, settings.skip_bad);
    let exams = settings.suite.iter().map(open);
    let exams = exams.collect::<Result<Vec<_>>>()?;
    let to_judge = exams.iter().find(|exam| exam.name() == judge::TASK);
    if let (Some(exam), Some(judging)) = (to_judge, &settings.judging) {
        judge::check(exam.as_ref(), judging, settings)?;
    }
    let mut answers =
        Answers::open(&answers_path(&settings.out), &answered_by(settings, &checkpoint)?, settings.fresh)?;
    let mut model = Model::load(&checkpoint, settings.kind, settings.device)?;
    if let Some(folder) = &settings.adapter {
        let adapter = Adapter::load(model.config(), folder, model.device())?;
        model.attach(Some(&adapter))?;
    }
    let mut examinee = Examinee::new(&model, &tokenizer, settings.generation(), interrupted);
    let mut results = Results {
        model: settings.model.clone(),
        adapter: settings.adapter.clone(),
        precision: precision(settings.kind).to_owned(),
        seed: settings.seed,
        limit: settings.limit,
        tasks: IndexMap::new(),
    };
    for exam in &exams {
        if ask(exam.as_ref(), &mut examinee, &mut answers)?.is_break() {
            return Ok(None);
        }
        let mut found = measure(exam.as_ref(), &answers, settings.seed)?;
        if let (judge::TASK, Some(judging)) = (exam.name(), &settings.judging) {
            let by = (judging, settings);
            if judge::add_win_rates(exam.as_ref(), &mut found, &mut answers, by, interrupted)?.is_break() {
                return Ok(None);
            }
        }
        results.tasks.insert(exam.name().to_owned(), found);
        results.write(&settings.out)?;
    }
    Ok(Some(results))
}

/// How the name of a file of answers ends.
const ANSWERS: &str = "answers.jsonl";

/// Where the answers lie: `x.answers.jsonl` beside `x.json`.
pub fn answers_path(out: &Path) -> PathBuf {
    beside(out, ANSWERS)
}

/// A file beside the results, in the place of whose `.json` it has this ending; another ending is part of the name.
fn beside(out: &Path, ending: &str) -> PathBuf {
    let json = out.extension().is_some_and(|extension| extension == "json");
    let name = if json { out.file_stem() } else { out.file_name() };
    let mut name = name.unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    out.with_file_name(name)
}

/// As the command line has it.
pub fn precision(kind: Kind) -> &'static str {
    if kind == Kind::Float { "f32" } else { "bf16" }
}

/// What every answer depends on.
fn answered_by(settings: &Settings, checkpoint: &Checkpoint) -> Result<Map<String, Value>> {
    let adapter = settings.adapter.as_deref().map(Named::adapter).transpose()?;
    let header = json!({
        "model": checkpoint.hash(),
        "adapter": adapter.map(|adapter| adapter.sha256),
        "precision": precision(settings.kind),
        "merge": settings.merge,
        "device": format!("{:?}", settings.device),
    });
    let Value::Object(mut header) = header else { unreachable!("written as one") };
    // Answers of before there was a choice stay what they are.
    if settings.date != Moment::default() {
        header.insert("date".to_owned(), json!(settings.date.to_string()));
    }
    if let Some(template) = checkpoint.template() {
        header.insert("chat_template".to_owned(), json!(template.hash()));
    }
    Ok(header)
}

/// Asks what has not been answered yet.
fn ask(exam: &dyn Exam, examinee: &mut Examinee<'_>, answers: &mut Answers) -> Result<ControlFlow<()>> {
    let name = exam.name();
    let questions: Vec<usize> =
        (0..exam.count()).filter(|question| kept(exam, answers, *question).is_err()).collect();
    let bar = ProgressBar::with_draw_target(Some(exam.count() as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {pos}/{len} {wide_bar} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name.to_owned());
    bar.set_position((exam.count() - questions.len()) as u64);
    bar.reset_eta();
    let mut since = Instant::now();
    let mut asked = 0;
    let mut take = |question: usize, answer: Value| {
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        answers.add(name, exam.id(question), &exam.content(question), seconds, answer)?;
        bar.inc(1);
        asked += 1;
        Ok(())
    };
    exam.ask(examinee, &questions, &mut take)?;
    bar.finish_and_clear();
    let all = asked == questions.len();
    Ok(if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
}

/// Marks the answers.
fn measure(exam: &dyn Exam, answers: &Answers, seed: u64) -> Result<TaskResults> {
    let ids: Vec<String> = (0..exam.count()).map(|question| exam.id(question).to_owned()).collect();
    let mut seconds = 0.0;
    let mut tallies = Vec::with_capacity(ids.len());
    for question in 0..ids.len() {
        let line = kept(exam, answers, question)?;
        seconds += line.seconds;
        tallies.push(exam.tally(question, &line.answer)?);
    }
    Ok(TaskResults::new(exam.measures(), ids, &tallies, seconds, seed))
}

/// A question's answer, once it has been asked.
fn kept<'a>(exam: &dyn Exam, answers: &'a Answers, question: usize) -> Result<&'a answers::Line> {
    let (name, id) = (exam.name(), exam.id(question));
    let line = answers.get(name, id, &exam.content(question));
    line.ok_or_else(|| Error::Run(format!("{name}: question {id} was not answered")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_other_names_have_other_answers() {
        for (out, answers) in [
            ("a/r.json", "a/r.answers.jsonl"),
            ("r.v1", "r.v1.answers.jsonl"),
            ("r.v2.json", "r.v2.answers.jsonl"),
            ("r", "r.answers.jsonl"),
        ] {
            assert_eq!(answers_path(Path::new(out)), Path::new(answers));
        }
    }
}
