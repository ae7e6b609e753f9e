//! A job: a verb of the `tokensieve` program with everything that determines what comes out.

use crate::cache::key;
use crate::code;
use anyhow::Result;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokensieve_data::Catalogue;

/// What the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Trains an adapter; a killed one continues.
    Train,
    /// Runs tasks on a model; a killed one continues.
    Evaluate,
    /// Uncertainty of every token of some documents.
    Uncertainty,
    /// Generates a data set.
    Make,
    /// Writes the exact distribution of every token of the oracle language's rows, for objectives that compare with it.
    Truth,
    /// Says what a model makes of some data, and which objective it recommends.
    Diagnose,
}

impl Verb {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Uncertainty => "uncertainty",
            Self::Make => "make",
            Self::Truth => "topk",
            Self::Diagnose => "diagnose",
        }
    }

    /// The file in the result's folder that the program writes; a training run fills the folder itself.
    pub fn output(self) -> &'static str {
        match self {
            Self::Train => "",
            Self::Evaluate => "evaluation.json",
            Self::Uncertainty => "tokens.jsonl",
            Self::Make => "data.jsonl",
            Self::Truth => "truth.safetensors",
            Self::Diagnose => "diagnosis.json",
        }
    }

    /// The option that names the output.
    fn output_option(self) -> &'static str {
        if self == Self::Diagnose { "--json" } else { "--out" }
    }

    /// Hash of the sources that decide the verb's numbers (see `tokensieve_base::fingerprint`).
    fn code(self) -> &'static str {
        match self {
            Self::Train => code::TRAIN,
            Self::Evaluate => code::EVALUATE,
            Self::Uncertainty => code::UNCERTAINTY,
            Self::Make => code::MAKE,
            Self::Truth => code::TRUTH,
            Self::Diagnose => code::DIAGNOSE,
        }
    }
}

/// The value of a setting.
#[derive(Clone, Debug)]
pub enum Value {
    /// Written as it is.
    Plain(toml::Value),
    /// A file of another job's result (an empty name: its folder).
    Result(Arc<Job>, Cow<'static, str>),
    /// The name under which a job's data are a task of an evaluation, by the kind of task: `nll:FILE`.
    Task(&'static str, Arc<Job>),
    /// A file of the very result that is being made (an empty name: its folder), for a job that follows a training run.
    Own(Cow<'static, str>),
    /// Several, with commas between them.
    List(Vec<Value>),
}

impl Value {
    /// The file that a job writes, in its result.
    pub fn output(job: &Arc<Job>) -> Self {
        Self::Result(job.clone(), job.verb.output().into())
    }

    /// As a command line has it; `place` says where a job's result lies.
    pub fn named(&self, place: &dyn Fn(&Job) -> PathBuf) -> String {
        text_of(self, Path::new(""), place)
    }
}

impl<T: Into<toml::Value>> From<T> for Value {
    fn from(value: T) -> Self {
        Self::Plain(value.into())
    }
}

/// One piece of work.
#[derive(Clone, Debug)]
#[must_use]
pub struct Job {
    /// For people, unique in a study: `train gsm8k masked-mle seed 0`. Not part of the identity.
    pub name: String,
    /// What is done.
    pub verb: Verb,
    /// Expected time on two cores, for estimates only.
    pub seconds: f64,
    /// Positional arguments, in order.
    arguments: Vec<Value>,
    /// `train` and `topk`: keys of the configuration; else options without their dashes.
    settings: Vec<(String, Value)>,
    /// Data sets and models that are read by name, with the hash of their content.
    reads: Vec<(String, String)>,
    /// What is done with the trained model, in the same folder.
    then: Option<Box<Job>>,
}

impl Job {
    /// A job without settings.
    pub fn new(verb: Verb, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            verb,
            seconds: 10.0,
            arguments: Vec::new(),
            settings: Vec::new(),
            reads: Vec::new(),
            then: None,
        }
    }

    /// Makes documents of a split of a data set, so many from the `first` one on.
    pub fn made(set: &str, split: &str, seed: u64, first: u64, rows: u64) -> Self {
        Self::new(Verb::Make, format!("make {set} {split} {rows} from {first} seed {seed}"))
            .argument(set)
            .set("split", split)
            .set("first", first as i64)
            .set("n", rows as i64)
            .set("seed", seed as i64)
            .taking(1.0)
    }

    /// One more positional argument.
    pub fn argument(mut self, value: impl Into<Value>) -> Self {
        self.arguments.push(value.into());
        self
    }

    /// A key of the configuration, or an option without its dashes. `true` is an option without a value, a list is
    /// written with commas. Setting a key again replaces its value.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.into(), value.into()));
        self
    }

    /// The keys of a table of the configuration.
    pub fn set_table(self, name: &str, table: &toml::Table) -> Self {
        table.iter().fold(self, |job, (key, value)| job.set(&format!("{name}.{key}"), value.clone()))
    }

    /// Without a key.
    pub fn without(mut self, key: &str) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self
    }

    /// Says that the program reads this set of the catalogue; a name that is none (a folder, a hub name) counts as
    /// it is written.
    pub fn reading(mut self, set: &str) -> Result<Self> {
        let catalogue = Catalogue::load()?;
        let hash = catalogue.set(set).map_or_else(
            |_| "by name".into(),
            |set| {
                set.files
                    .iter()
                    .map(|(key, file)| format!("{key} {}", file.sha256))
                    .collect::<Vec<_>>()
                    .join(" ")
            },
        );
        self.reads.push((set.into(), hash));
        Ok(self)
    }

    /// The same of several sets.
    pub fn reading_all(self, sets: &[&str]) -> Result<Self> {
        sets.iter().try_fold(self, |job, set| job.reading(set))
    }

    /// Expected seconds.
    pub fn taking(self, seconds: f64) -> Self {
        Self { seconds, ..self }
    }

    /// Keeps the models after these steps, too.
    pub fn saving_at(self, steps: &[u64]) -> Self {
        self.set("train.save_at", steps.iter().map(|step| *step as i64).collect::<Vec<_>>())
    }

    /// Trains an adapter whose rank grows in equal parts of so many steps. The shortest runs are over before the last ranks.
    /// Without ranks it is unchanged.
    pub fn with_ranks(self, ranks: &[i64], steps: usize) -> Self {
        let [first, later @ ..] = ranks else { return self };
        let steps_and_ranks = later.iter().enumerate().map(|(at, rank)| {
            let step = ((at + 1) * steps / ranks.len()).max(at + 1);
            (step, *rank)
        });
        let grown = steps_and_ranks.filter(|(step, _)| *step < steps).map(|(step, rank)| {
            let pair = [("rank".to_owned(), rank.into()), ("step".to_owned(), (step as i64).into())];
            toml::Value::Table(pair.into_iter().collect())
        });
        self.set("lora.r", *first)
            .set("lora.lora_alpha", 2 * *first)
            .set("train.grow_rank", grown.collect::<Vec<_>>())
    }

    /// Evaluates the model that a training run leaves ([`Value::Own`]) and keeps only what comes of it: a study of
    /// thousands of runs needs none of their models again.
    pub fn then(self, evaluation: Self) -> Self {
        let seconds = self.seconds + evaluation.seconds;
        Self { then: Some(Box::new(evaluation)), seconds, ..self }
    }

    /// What is done with the trained model.
    pub(crate) fn following(&self) -> Option<&Self> {
        self.then.as_deref()
    }

    /// Shares the job with others that need it.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// What names its result: the hash of verb, code, settings and the content of everything read.
    pub fn id(&self) -> String {
        self.hash(Verb::code)
    }

    /// The same without the code: what somebody chose.
    pub fn settings_id(&self) -> String {
        self.hash(|_| "")
    }

    fn hash(&self, code: fn(Verb) -> &'static str) -> String {
        let mut settings: Vec<String> =
            self.settings.iter().map(|(key, value)| format!("{key} {}", identity(value, code))).collect();
        settings.sort();
        let arguments: Vec<String> = self.arguments.iter().map(|value| identity(value, code)).collect();
        let mut reads: Vec<String> = self.reads.iter().map(|(name, hash)| format!("{name} {hash}")).collect();
        reads.sort();
        let parts = [settings, arguments, reads].map(|lines| lines.join("\n"));
        key(&[
            self.verb.name(),
            code(self.verb),
            &parts[0],
            &parts[1],
            &parts[2],
            &self.then.as_ref().map_or_else(String::new, |job| job.hash(code)),
        ])
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.arguments.iter().chain(self.settings.iter().map(|(_, value)| value))
    }

    /// The jobs whose results it reads.
    pub fn needs(&self) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::once(self)
            .chain(self.following())
            .flat_map(Self::values)
            .flat_map(|value| match value {
                Value::List(list) => list.as_slice(),
                one => std::slice::from_ref(one),
            })
            .filter_map(|value| match value {
                Value::Result(job, _) | Value::Task(_, job) => Some(job),
                _ => None,
            })
    }

    /// Whether the settings are a configuration file.
    pub(crate) fn is_configured(&self) -> bool {
        matches!(self.verb, Verb::Train | Verb::Truth)
    }

    /// The configuration file; `place` says where a job's result lies.
    pub(crate) fn configuration(&self, folder: &Path, place: &dyn Fn(&Self) -> PathBuf) -> String {
        let line = |(key, value): &(String, Value)| {
            let value = match value {
                Value::Plain(value) => value.to_string(),
                other => toml::Value::String(text_of(other, folder, place)).to_string(),
            };
            format!("{key} = {value}\n")
        };
        self.settings.iter().map(line).collect()
    }

    /// The command line behind the program's name; `folder` is where the result is being written.
    pub(crate) fn command(&self, folder: &Path, place: &dyn Fn(&Self) -> PathBuf) -> Vec<String> {
        let mut words = vec![self.verb.name().to_owned()];
        let output = folder.join(self.verb.output()).display().to_string();
        let configuration = || folder.join(CONFIGURATION).display().to_string();
        if self.verb == Verb::Train {
            words.extend([configuration(), "--out".into(), folder.display().to_string()]);
            return words;
        }
        if self.verb == Verb::Truth {
            words.extend([configuration(), output]);
            words.extend(self.arguments.iter().map(|value| text_of(value, folder, place)));
            return words;
        }
        words.extend(self.arguments.iter().map(|value| text_of(value, folder, place)));
        for (key, value) in &self.settings {
            words.push(if key.len() == 1 { format!("-{key}") } else { format!("--{key}") });
            if !matches!(value, Value::Plain(toml::Value::Boolean(true))) {
                words.push(text_of(value, folder, place));
            }
        }
        words.extend([self.verb.output_option().into(), output]);
        words
    }

    /// The entries of a setting that is a list, as the command line has them.
    pub(crate) fn list(&self, key: &str, place: &dyn Fn(&Self) -> PathBuf) -> Vec<String> {
        match self.settings.iter().find_map(|(known, value)| (known == key).then_some(value)) {
            Some(Value::List(list)) => {
                list.iter().map(|value| text_of(value, Path::new(""), place)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A setting that is a file of the job's own result.
    pub(crate) fn own(&self, key: &str) -> Option<&str> {
        match self.settings.iter().find(|(known, _)| known == key) {
            Some((_, Value::Own(file))) => Some(file),
            _ => None,
        }
    }

    /// A setting that is a whole number.
    pub(crate) fn whole(&self, key: &str) -> Option<i64> {
        match self.settings.iter().find(|(known, _)| known == key) {
            Some((_, Value::Plain(value))) => value.as_integer(),
            _ => None,
        }
    }

    /// Settings as JSON, for provenance; results of other jobs by their names.
    pub fn describe(&self) -> serde_json::Value {
        let settings: serde_json::Map<String, serde_json::Value> =
            self.settings.iter().map(|(key, value)| (key.clone(), described(value))).collect();
        let mut described = serde_json::json!({
            "verb": self.verb.name(),
            "arguments": self.arguments.iter().map(described).collect::<Vec<_>>(),
            "settings": settings,
            "reads": self.reads.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        });
        if let Some(following) = self.following() {
            described["then"] = following.describe();
        }
        described
    }
}

/// Folder of the model in the result of a run that trains all weights.
pub const MODEL: &str = "model";
/// Name of a training run's configuration in its folder.
pub(crate) const CONFIGURATION: &str = "job.toml";

/// A value as the command line has it; `own` is the folder of the result that is being made.
fn text_of(value: &Value, own: &Path, place: &dyn Fn(&Job) -> PathBuf) -> String {
    match value {
        Value::Plain(toml::Value::String(text)) => text.clone(),
        Value::Plain(value) => value.to_string(),
        Value::Result(job, file) => place(job).join(file.as_ref()).display().to_string(),
        Value::Task(kind, job) => format!("{kind}:{}", place(job).join(job.verb.output()).display()),
        Value::Own(file) => own.join(file.as_ref()).display().to_string(),
        Value::List(list) => {
            list.iter().map(|value| text_of(value, own, place)).collect::<Vec<_>>().join(",")
        }
    }
}

/// What of a value decides numbers.
fn identity(value: &Value, code: fn(Verb) -> &'static str) -> String {
    match value {
        Value::Plain(value) => format!("= {value}"),
        Value::Result(job, file) => format!("job {}/{file}", job.hash(code)),
        Value::Task(kind, job) => format!("{kind} of job {}", job.hash(code)),
        Value::Own(file) => format!("own {file}"),
        Value::List(list) => list.iter().map(|value| identity(value, code)).collect::<Vec<_>>().join(", "),
    }
}

/// A value as people read it, without places of this machine.
fn described(value: &Value) -> serde_json::Value {
    match value {
        Value::Plain(value) => serde_json::to_value(value).unwrap_or_default(),
        Value::Result(job, file) => format!("{} → {file}", job.name).into(),
        Value::Task(kind, job) => format!("{kind} of {}", job.name).into(),
        Value::Own(file) => file.as_ref().into(),
        Value::List(list) => list.iter().map(described).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train() -> Job {
        Job::new(Verb::Train, "twin").set("data.train", "gsm8k").set("train.seed", 0)
    }

    #[test]
    fn what_decides_the_numbers_is_the_identity_and_nothing_else() {
        let id = train().id();
        assert_eq!(id.len(), 32);
        assert_eq!(Job { name: "other".into(), seconds: 1e9, ..train() }.id(), id);
        let reordered = Job::new(Verb::Train, "").set("train.seed", 0).set("data.train", "gsm8k");
        assert_eq!(reordered.id(), id);
        assert_eq!(train().set("train.seed", 1).set("train.seed", 0).id(), id);
        assert_ne!(train().set("train.seed", 1).id(), id);
        assert_ne!(Job { verb: Verb::Evaluate, ..train() }.id(), id);
        assert_ne!(train().reading("gsm8k").unwrap().id(), id);
    }

    #[test]
    fn a_change_of_a_needed_job_is_a_change() {
        let student =
            |twin: Job| train().set("reference.adapter", Value::Result(twin.shared(), "adapter".into()));
        assert_eq!(student(train()).id(), student(train()).id());
        assert_ne!(student(train()).id(), student(train().set("train.seed", 7)).id());
        assert_eq!(student(train()).needs().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["twin"]);
    }

    #[test]
    fn commands_and_configurations_are_as_the_program_reads_them() {
        let place = |job: &Job| PathBuf::from(format!("/lab/{}", job.name));
        let twin = train().shared();
        let evaluate = Job::new(Verb::Uncertainty, "u")
            .argument("alpaca")
            .set("n", 64)
            .set("adapter", Value::Result(twin.clone(), "adapter".into()))
            .set("places", Value::List(vec!["attention".into(), "residual".into()]))
            .set("resume", true);
        assert_eq!(
            evaluate.command(Path::new("/lab/x"), &place).join(" "),
            "uncertainty alpaca -n 64 --adapter /lab/twin/adapter --places attention,residual --resume --out \
             /lab/x/tokens.jsonl"
        );
        let student = train().set("reference.adapter", Value::Result(twin, "adapter".into()));
        let text = student.configuration(Path::new("/lab/x"), &place);
        assert!(text.parse::<toml::Table>().is_ok(), "{text}");
        assert!(text.contains("reference.adapter = \"/lab/twin/adapter\"\n"), "{text}");
        assert_eq!(
            student.command(Path::new("/lab/x"), &place).join(" "),
            "train /lab/x/job.toml --out /lab/x"
        );
    }
}
