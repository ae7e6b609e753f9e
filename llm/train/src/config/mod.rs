//! The configuration of a training run: a TOML file and overrides `--set key=value`, checked and typed.
//!
//! Precedence: `--set`, then the file, then the defaults of [`KEYS`].

mod choices;
mod init;
mod keys;
mod settings;
mod train;

use std::iter;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tch::{Cuda, Device};
use tokensieve_base::files::read_text;
use tokensieve_data::Catalogue;
use tokensieve_objective::{Against, Error as ObjectiveError, Expression, Objective, Variable};
use toml::{Table, Value};

pub use choices::{Ranking, Shape};
pub use keys::{KEYS, Key, Kind, listing};
use settings::Settings;
pub use train::{EarlyStop, Length, Optimizer, Span, Train};

use crate::reads::{NO_BASE, NO_REFERENCE, Reads};
use tokensieve_documents::{DataSource, SourceError};
use tokensieve_kernels::{Backend, machine};
use tokensieve_model::text::{ChatTemplate, Moment};
use tokensieve_model::weights::{self, Checkpoint, RandomModel};
use tokensieve_model::{Error, Precision, Result};

/// Bytes of the largest configuration (choice).
pub const LARGEST: u64 = 1 << 20;

/// A training run, checked.
#[derive(Debug)]
pub struct Config {
    /// The base model.
    pub model: Model,
    /// What is trained on.
    pub data: DataSource,
    /// Date passed to chat templates that print today's date.
    pub date: Moment,
    /// Estimates of the training documents' uncertainty.
    pub uncertainty: Option<PathBuf>,
    /// Held-out sets by name.
    pub evaluations: Vec<(String, DataSource)>,
    /// The objective.
    pub objective: Objective,
    /// Where the reference distribution comes from, if not from the base itself.
    pub reference: Option<Reference>,
    /// The adapter as a table with PEFT's names; `None` trains all weights.
    pub lora: Option<Table>,
    /// How it is trained.
    pub train: Train,
    /// What is written besides the metrics.
    pub log: Log,
    settings: Settings,
}

/// The base model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Set of the catalogue, folder, GGUF file or hub name; of a model that is initialised at random, its table's name.
    pub source: String,
    /// What is initialised at random instead.
    pub init: Option<RandomModel>,
    /// A chat template to use instead of the model's own, as [`ChatTemplate::read`] takes it.
    pub template: Option<String>,
    /// Types of weights and activations.
    pub precision: Precision,
    /// Where it runs.
    pub device: Device,
}

impl Model {
    /// Opens it, with the chat template that was chosen.
    pub fn open(&self) -> Result<Checkpoint> {
        let template = self.template.as_deref().map(ChatTemplate::read).transpose()?;
        match &self.init {
            Some(random) => Ok(Checkpoint::random(random)?.with_template(template)),
            None => Checkpoint::open_with(&self.source, template),
        }
    }
}

/// Where a reference distribution comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// An adapter on the same base.
    Adapter(PathBuf),
    /// Another model.
    Model(String),
    /// A file of its most probable tokens.
    TopK(PathBuf),
}

impl Reference {
    /// The key that names it.
    fn key(&self) -> &'static str {
        match self {
            Self::Adapter(_) => "reference.adapter",
            Self::Model(_) => "reference.model",
            Self::TopK(_) => "reference.topk",
        }
    }
}

/// What is written besides the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Event files for `TensorBoard`.
    pub tensorboard: bool,
    /// Counts per token class.
    pub selection: bool,
}

impl Config {
    /// Reads a file and overrides `key=value`, and checks that the files and sets exist that it names.
    pub fn read(file: &Path, overrides: &[String]) -> Result<Self> {
        let text = read_text(file, LARGEST)?;
        let config = Self::parse(file, &text, overrides)?;
        config.check_names()?;
        Ok(config)
    }

    /// Checks a text; `file` names it in errors and names the folder of the results. Nothing else is read.
    pub fn parse(file: &Path, text: &str, overrides: &[String]) -> Result<Self> {
        let mut settings = Settings::read(file, text, overrides)?;
        let train = train::train(&mut settings, file)?;
        let objective = objective(&settings)?;
        let uncertainty = settings.optional("data.uncertainty");
        let reference = reference(&settings)?;
        let lora = lora(&mut settings)?;
        growth(&settings, &train)?;
        train::keeps_documents(&settings, &train, &objective)?;
        if let Length::Steps(steps) = train.length {
            within_the_run(&settings, &train, steps)?;
        }
        supplied(&settings, &objective, reference.as_ref())?;
        if train.ranking == Ranking::Int8 && !objective.chooses_documents() {
            let what = "`int8` needs an objective that chooses documents and leaves the others alone: select.of = \
                        \"documents\", otherwise = \"none\"";
            return Err(settings.wrong("train.ranking", what));
        }
        let model = model(&mut settings)?;
        Ok(Self {
            model,
            data: data(&settings, "data", "train")?,
            date: settings
                .required::<String>("data.date")?
                .parse()
                .map_err(|what: String| settings.wrong("data.date", what))?,
            evaluations: evaluations(&settings)?,
            uncertainty,
            objective,
            reference,
            lora,
            train,
            log: Log {
                tensorboard: settings.required("log.tensorboard")?,
                selection: settings.required("log.selection")?,
            },
            settings,
        })
    }

    /// Checks that the files, folders and data sets exist that it names. A model may still have to be downloaded, and
    /// `reference.topk` be written.
    fn check_names(&self) -> Result<()> {
        let catalogue = Catalogue::load()?;
        let evaluations = self.evaluations.iter();
        let evaluations = evaluations.map(|(name, source)| (format!("eval.{name}"), "data", source));
        for (table, key, source) in iter::once(("data".to_owned(), "train", &self.data)).chain(evaluations) {
            source.location(&catalogue).map_err(|wrong| match wrong {
                SourceError::Source(what) => self.wrong(&format!("{table}.{key}"), what),
                // The split may be part of the name, or a default.
                SourceError::Split(what) => {
                    let split = format!("{table}.split");
                    let is_set = self.settings.value(&split).is_some();
                    self.wrong(&if is_set { split } else { format!("{table}.{key}") }, what)
                }
            })?;
        }
        let reference = match &self.reference {
            Some(Reference::Model(source)) => Some(("reference.model", source)),
            _ => None,
        };
        let source = self.model.init.is_none().then_some(("model.source", &self.model.source));
        for (key, source) in source.into_iter().chain(reference) {
            weights::locate(source, &catalogue).map_err(|what| self.wrong(key, what))?;
        }
        if let Some(choice) = &self.model.template {
            ChatTemplate::read(choice).map_err(|error| self.wrong("model.chat_template", error))?;
        }
        if let Some(path) = self.uncertainty.as_ref().filter(|path| !path.is_file()) {
            return Err(self.wrong("data.uncertainty", format!("there is no file `{}`", path.display())));
        }
        match &self.reference {
            Some(Reference::Adapter(path)) if !path.is_dir() => {
                Err(self.wrong("reference.adapter", format!("there is no folder `{}`", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the file of probable tokens exists, if the run reads one.
    pub(super) fn check_topk(&self) -> Result<()> {
        match &self.reference {
            Some(Reference::TopK(path)) if !path.is_file() => {
                let what = format!("there is no file `{}`; `tokensieve topk` writes it", path.display());
                Err(self.wrong("reference.topk", what))
            }
            _ => Ok(()),
        }
    }

    /// Opens the base model.
    pub fn base(&self) -> Result<Checkpoint> {
        self.model.open().map_err(|error| self.of_model("model.source", error))
    }

    /// An error about a model as one about the key that names it, with its place in the file.
    pub(super) fn of_model(&self, key: &str, error: Error) -> Error {
        match error.model_named_by(key) {
            Error::Setting { key: by, what } if by == key => self.wrong(key, what),
            other => other,
        }
    }

    /// Checks that what is due after given steps falls within a run of so many steps.
    pub fn check_steps(&self, steps: u64) -> Result<()> {
        within_the_run(&self.settings, &self.train, steps)
    }

    /// The whole configuration with every default written out, as a file that can be run again.
    pub fn derived(&self) -> String {
        settings::write(self.settings.values())
    }

    /// Whether it was read from this file and a person wrote the file.
    pub(super) fn is_by_hand(&self, file: &Path) -> bool {
        let (path, text) = self.settings.origin();
        let same = path.canonicalize().ok().zip(file.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        same && !Self::is_derived(text)
    }

    /// Whether a run derived this configuration, of this version or another: it has keys that people leave to their defaults,
    /// and is as a run writes it, without remarks.
    pub(super) fn is_derived(text: &str) -> bool {
        const ALWAYS: [&str; 6] = [
            "model.dtype",
            "data.skip_bad",
            "train.seed",
            "train.out",
            "train.micro_tokens",
            "train.keep_last",
        ];
        Settings::written(Path::new(""), text).is_ok_and(|[own, _]| {
            ALWAYS.iter().all(|key| own.contains_key(*key)) && settings::write(&own) == text
        })
    }

    /// What the run reads (files, folders, names), with the keys that name it.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_input = |key: &str| match key {
            "model.source" | "model.chat_template" | "data.train" | "data.uncertainty" => true,
            _ => match key.split_once('.') {
                Some(("eval", rest)) => rest.strip_suffix(".data").is_some(),
                table => table.is_some_and(|(table, _)| table == "reference"),
            },
        };
        let values = self.settings.values().iter();
        values.filter_map(move |(key, value)| Some((key.as_str(), value.as_str().filter(|_| is_input(key))?)))
    }

    /// Identifies what the run computes: the hash of all keys that its numbers depend on.
    pub fn hash(&self) -> String {
        let values = self.settings.values().iter().filter(|(name, _)| !keys::FREE.contains(&name.as_str()));
        let values = values.map(|(name, value)| (name.clone(), settings::number(name, value))).collect();
        format!("{:x}", Sha256::digest(settings::write(&values)))
    }

    /// What differs from another derived configuration, one line per key, as far as numbers depend on it. That one need not
    /// be able to run here: its device may be another machine's.
    pub fn differences(&self, derived: &str) -> Result<Vec<String>> {
        // A key that its version did not have is at its default.
        let [written, theirs] = Settings::written(Path::new("the checkpoint's configuration"), derived)?;
        let ours = self.settings.values();
        let names: std::collections::BTreeSet<_> = ours.keys().chain(written.keys()).collect();
        let show = |value: Option<&Value>| value.map_or("not set".to_owned(), ToString::to_string);
        // Compared as text, because the order of patterns counts.
        let differ = |name: &&&String| {
            let value = |of: Option<&Value>| show(of.map(|value| settings::number(name, value)).as_ref());
            !keys::FREE.contains(&name.as_str()) && value(ours.get(**name)) != value(theirs.get(**name))
        };
        let line = |name: &String| {
            format!("{name}: {} there, {} here", show(theirs.get(name)), show(ours.get(name)))
        };
        Ok(names.iter().filter(differ).map(|name| line(name)).collect())
    }

    /// Where processes of one machine take turns at its GPUs, takes this one's, unless the configuration names one.
    pub fn share_devices(&mut self) {
        let named = self.settings.optional::<String>("model.device").is_some_and(|name| name.contains(':'));
        if let (Device::Cuda(_), false) = (self.model.device, named) {
            self.model.device = machine::device();
        }
    }

    /// An error about a key's value, with its place in the file.
    pub fn wrong(&self, name: &str, what: impl std::fmt::Display) -> Error {
        self.settings.wrong(name, what)
    }
}

fn model(settings: &mut Settings) -> Result<Model> {
    let name: String = settings.required("model.device")?;
    let device = match name.as_str() {
        "auto" => machine::device(),
        "cpu" => Device::Cpu,
        other => {
            let index = if other == "cuda" {
                Some(0)
            } else {
                other.strip_prefix("cuda:").and_then(|n| n.parse().ok())
            };
            let right =
                || settings.wrong("model.device", format!("`{other}` is not auto, cpu, cuda or cuda:N"));
            let index: usize = index.ok_or_else(right)?;
            machine::open_cuda();
            let found = Cuda::device_count();
            if index as i64 >= found {
                let what = format!("libtorch sees {found} CUDA devices (`tokensieve doctor` says more)");
                return Err(settings.wrong("model.device", what));
            }
            Device::Cuda(index)
        }
    };
    let word: String = settings.required("model.dtype")?;
    let precision = Precision::named(&word, Backend::of(device).fastest_kind())
        .ok_or_else(|| settings.wrong("model.dtype", format!("there is no `{word}`")))?;
    if precision.nf4 && settings.required::<bool>("train.full")? {
        let what = "weights in four bits are frozen; with `train.full = true` take bf16 or f32";
        return Err(settings.wrong("model.dtype", what));
    }
    // What `auto` is here, for another machine that continues the run.
    settings.set("model.dtype", Value::from(precision.name()));
    let template = settings.optional("model.chat_template");
    let init = init::init(settings)?;
    let source = if init.is_some() { "model.init".to_owned() } else { settings.required("model.source")? };
    Ok(Model { source, init, template, precision, device })
}

/// The data set of a table; `data` says for all sets how long a document may be and what happens to bad rows.
fn data(settings: &Settings, table: &str, name: &str) -> Result<DataSource> {
    let key = |name: &str| format!("{table}.{name}");
    let source: String = settings.required(&key(name))?;
    // A file has no splits, and a name may include one; the default of a held-out set is `test`.
    let split = settings.optional(&key("split"));
    let held_out = table != "data" && !Path::new(&source).exists() && !source.contains('/');
    let split = if held_out { split.or_else(|| Some("test".to_owned())) } else { split };
    let format = match settings.optional::<String>(&key("format")).filter(|format| format != "auto") {
        Some(format) => Some(format.parse().map_err(|what: String| settings.wrong(&key("format"), what))?),
        None => None,
    };
    Ok(DataSource {
        source,
        split,
        format,
        skip_bad: settings.required("data.skip_bad")?,
        truncate: settings.choice("data.truncate", &choices::TRUNCATE)?,
        max_length: settings.optional("data.max_length"),
        skip: settings.required(&key("skip"))?,
        limit: settings.optional(&key("limit")),
    })
}

fn evaluations(settings: &Settings) -> Result<Vec<(String, DataSource)>> {
    let names = settings.names_of_evals().into_iter();
    names.map(|name| Ok((name.clone(), data(settings, &format!("eval.{name}"), "data")?))).collect()
}

fn objective(settings: &Settings) -> Result<Objective> {
    let table = settings.value("objective").and_then(Value::as_table).cloned().unwrap_or_default();
    Objective::from_toml(&table.to_string()).map_err(|error| wrong_objective(settings, &table, &error))
}

/// An error about the key of the objective that it concerns, if the user gave it: the others are a preset's.
fn wrong_objective(settings: &Settings, table: &Table, error: &ObjectiveError) -> Error {
    let mut what = error.to_string();
    let key = match error {
        ObjectiveError::Value { key, .. } | ObjectiveError::UnknownKey { key, .. } => Some(key.as_str()),
        ObjectiveError::UnknownPreset { name, hint } => {
            let is_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
            match Expression::parse(name) {
                Ok(_) => {
                    what = format!(
                        "no preset is called `{name}`; an expression is given as `objective.selected`"
                    );
                }
                Err(error) if !name.chars().all(is_name) && !hint.contains("did you mean") => {
                    what = format!(
                        "is neither a preset nor an expression, which is given as `objective.selected`: {error}{hint}"
                    );
                }
                Err(_) => {}
            }
            Some("preset")
        }
        ObjectiveError::Syntax { text, .. } | ObjectiveError::Refused { text, .. } => {
            let is_it = |(_, value): &(&String, &Value)| value.as_str().is_some_and(|own| own.trim() == text);
            table.iter().find(is_it).map(|(key, _)| key.as_str())
        }
        _ => None,
    };
    let name = key.map(|key| format!("objective.{key}")).filter(|name| settings.mentions(name));
    settings.wrong(name.as_deref().unwrap_or("objective"), what)
}

fn reference(settings: &Settings) -> Result<Option<Reference>> {
    let named = [
        settings.optional("reference.adapter").map(Reference::Adapter),
        settings.optional("reference.model").map(Reference::Model),
        settings.optional("reference.topk").map(Reference::TopK),
    ];
    let mut named: Vec<_> = named.into_iter().flatten().collect();
    if named.len() > 1 {
        return Err(settings.wrong("reference", "give one of adapter, model and topk"));
    }
    Ok(named.pop())
}

/// The table `[lora]` with PEFT's names; none where all weights are trained.
fn lora(settings: &mut Settings) -> Result<Option<Table>> {
    let names: Vec<_> = KEYS.iter().filter_map(|key| key.name.strip_prefix("lora.")).collect();
    if settings.required::<bool>("train.full")? {
        if settings.mentions("lora") {
            return Err(
                settings.wrong("lora", "has no effect with `train.full = true`; remove one of the two")
            );
        }
        if settings.mentions("train.grow_rank") {
            return Err(settings.wrong("train.grow_rank", "there is no rank with `train.full = true`"));
        }
        for name in &names {
            settings.remove(&format!("lora.{name}"));
        }
        settings.remove("train.grow_rank");
        return Ok(None);
    }
    let value = |name: &&str| Some(((*name).to_owned(), settings.value(&format!("lora.{name}"))?.clone()));
    Ok(Some(names.iter().filter_map(value).collect()))
}

/// Checks that the adapter's ranks rise.
fn growth(settings: &Settings, train: &Train) -> Result<()> {
    let Some(rank) = settings.optional::<u64>("lora.r") else { return Ok(()) };
    if let Some((_, first)) = train.grow_rank.first()
        && first.unsigned_abs() <= rank
    {
        let what = format!(
            "an adapter of rank {rank} (lora.r) cannot grow to {first}; the ranks must rise above it"
        );
        return Err(settings.wrong("train.grow_rank", what));
    }
    Ok(())
}

/// Checks that a run of so many steps gets to the end of the warm-up, and to the steps after which the rank grows or the
/// model is saved.
fn within_the_run(settings: &Settings, train: &Train, steps: u64) -> Result<()> {
    if let Some((step, rank)) = train.grow_rank.last().filter(|(step, _)| *step >= steps) {
        let what = format!(
            "the rank grows to {rank} after step {step}, but the run has {steps} steps: no step would have that rank"
        );
        return Err(settings.wrong("train.grow_rank", what));
    }
    if let Some(step) = train.save_at.last().filter(|step| **step > steps) {
        let what = format!("the run has {steps} steps and does not get to step {step}");
        return Err(settings.wrong("train.save_at", what));
    }
    if let Span::Steps(warmup) = train.warmup
        && warmup > steps
    {
        let what = format!(
            "the warm-up takes {warmup} steps, but the run has {steps} steps: none would have the whole learning rate"
        );
        return Err(settings.wrong("train.warmup", what));
    }
    Ok(())
}

/// Checks that there is a source for everything that the objective reads, and none that it does not read.
fn supplied(settings: &Settings, objective: &Objective, reference: Option<&Reference>) -> Result<()> {
    let (reads, full) = (Reads::of(objective), settings.required::<bool>("train.full")?);
    let own = match reference {
        None => objective.against() == Some(Against::Base),
        Some(reference) => matches!(reference, Reference::Adapter(_)),
    };
    if reads.needs_reference() {
        if reference.is_none() && !own {
            return Err(settings.wrong("objective", NO_REFERENCE));
        }
        if own && full {
            let key = if reference.is_some() { "reference.adapter" } else { "objective" };
            return Err(settings.wrong(key, NO_BASE));
        }
    }
    // Files of the base's predictions are the base's.
    let other = reference.filter(|reference| !matches!(reference, Reference::TopK(_)));
    if let (Some(other), Some(Against::Base), false) = (other, objective.against(), full) {
        let what = "`against = \"base\"` compares with the model without its adapter: remove the key, or set objective.against = \"reference\"";
        return Err(settings.wrong(other.key(), what));
    }
    if let Some(unread) = reference.filter(|_| !reads.needs_reference()) {
        let what =
            format!("has no effect with the objective `{}`, which reads no reference", objective.name());
        return Err(settings.wrong(unread.key(), what));
    }
    let (bald, base_is_gone) = (objective.reads(Variable::Bald), reads.base_loss && full);
    let estimates = settings.value("data.uncertainty").is_some();
    if estimates && !bald && !reads.base_loss {
        let what = format!(
            "has no effect with the objective `{}`, which reads neither `bald` nor `base_loss`",
            objective.name()
        );
        return Err(settings.wrong("data.uncertainty", what));
    }
    if !estimates && (bald || base_is_gone) {
        let read = if base_is_gone { "base_loss" } else { "bald" };
        let mut what = format!(
            "is missing: the objective reads `{read}` from a file that `tokensieve uncertainty` writes for these rows"
        );
        if base_is_gone {
            what += "; with `train.full = true` the base model is overwritten and cannot compute it";
        }
        return Err(settings.wrong("data.uncertainty", what));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
