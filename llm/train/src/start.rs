//! The start of a run: what the configuration names is loaded, and the newest checkpoint, if there is one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::atomic::AtomicBool;

use serde_json::json;
use tokensieve_base::files::{make_folder, write_atomically};
use tokensieve_base::status;
use tokensieve_documents::Order;
use tokensieve_kernels::nccl::Communicator;
use tokensieve_kernels::{Backend, machine, memory};
use tokensieve_model::head::Head;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Error, Model, Result};
use tokensieve_objective::Plan;
use tokensieve_processes::Group;

use crate::checkpoint::{self, Lock, State};
use crate::config::{Config, Length};
use crate::existing_run::{BY_HAND, ExistingRun};
use crate::layout::{CHECKPOINTS, CONFIG, PROVENANCE};
use crate::load::{self, Data};
use crate::log::Log;
use crate::optimizer::Optimizer;
use crate::resume::{Begin, Checkpoints, Found};
use crate::run::{Run, Writer};
use crate::schedule::{Schedule, share_of};
use crate::trained::Trained;
use crate::{gpus, precomputed, references, step, together};

impl<'a> Run<'a> {
    /// Loads everything, from the newest checkpoint if there is one. The run stops when `interrupted` becomes true.
    ///
    /// The processes of a `group` share the run: each loads everything, process 0 alone writes.
    ///
    /// The stages come in this order: what can fail quickly, before what is slow; everything that can fail, before the
    /// folder of the results is changed.
    pub fn start(
        config: Config,
        begin: Begin,
        interrupted: &'a AtomicBool,
        group: Option<&'a Group>,
    ) -> Result<Self> {
        memory::keep();
        config.check_topk()?;
        step::check_ranking(config.train.ranking, config.model.device)?;
        let writes = group.is_none_or(|group| group.rank() == 0);
        let lock = writes.then(|| claim_folder(&config)).transpose()?;
        let checkpoints = writes.then(|| Checkpoints::find(&config, begin)).transpose()?;
        let fresh = writes && begin == Begin::Fresh;
        let existing = fresh.then(|| ExistingRun::find(&config)).transpose()?;

        let base = config.base()?;
        let tokenizer = Tokenizer::open_on(&base, config.date)?;
        let mut train = load::read("train", &config.data, &base, &tokenizer)?;
        if let Some(why) = load::never_ends(&train, &tokenizer) {
            status!(
                "warning: no trained token ends a reply, so that the model does not learn to stop: {why}"
            );
        }
        let estimates = precomputed::complete(&config, &mut train, &base.hash())?;
        let data = Data::with_evaluations(train, &config, &base, &tokenizer)?;
        let (steps, documents_in_all) = run_length(&config, data.train.documents.len())?;

        let mut model = Model::load(&base, config.model.precision, config.model.device)?;
        let (reference, reference_hash) = references::open(&config, &base, &model, &data.train, &tokenizer)?;
        let mut training = config.objective.begin(Plan { steps, seed: config.train.seed });
        let new = State {
            step: 0,
            steps,
            evaluated: None,
            progress: None,
            lowest: None,
            config: config.hash(),
            model: base.hash(),
            data: hashes(&data, estimates),
            reference: reference_hash,
            logs: BTreeMap::new(),
            objective: training.state(),
            files: BTreeMap::new(),
        };
        let found = checkpoints.map_or(Ok(None), |checkpoints| checkpoints.open(&config, &model, &new))?;
        let found = together::begin(group, &config, &model, &new, found)?;
        let saved = found.as_ref().map(|found| found.state.step);
        let Found { state, trained, optimizer } =
            found.map_or_else(|| begin_anew(&config, &model, new), Ok)?;
        let numbers = trained.parameters().values().numel();
        let connect = |group| gpus::connect(group, config.model.device, numbers);
        let gpus = group.map(connect).transpose()?.flatten();
        training.resume(state.objective.clone())?;
        trained.refresh(&mut model)?;

        existing.map_or(Ok(()), ExistingRun::remove)?;
        let open = |lock| {
            // Written first: whatever else lies in the folder, this file says which run it belongs to.
            write_atomically(&config.train.out.join(CONFIG), config.derived().as_bytes())?;
            data.list_skipped(&config)?;
            let log = Log::open(&config.train.out, config.log, &state.logs, state.step, steps)?;
            // A run that stopped while it removed old checkpoints left some of them.
            checkpoint::prune(&config.train.out.join(CHECKPOINTS), config.train.keep_last)?;
            Ok::<_, Error>(Writer { log, lock })
        };
        let writer = lock.map(open).transpose()?;
        let mut run = Self {
            schedule: Schedule::new(&config.train, steps),
            order: Order::new(data.train.documents.len(), config.train.seed).until(documents_in_all),
            saved,
            documents: data.train.documents,
            evaluations: data.evaluations.into_iter().map(|(name, set)| (name, set.documents)).collect(),
            head: Head::on(config.model.device),
            config,
            base,
            model,
            tokenizer,
            trained,
            reference,
            training,
            optimizer,
            state,
            group,
            gpus: gpus.as_ref().and_then(|gpus| gpus.as_ref().ok().copied()),
            writer,
            interrupted,
        };
        if run.writer.is_some() {
            run.write_provenance()?;
            run.introduce(gpus.as_ref());
        }
        if run.saved.is_none() {
            run.survey()?;
        }
        Ok(run)
    }

    /// Writes beside the results what they are made from.
    fn write_provenance(&self) -> Result<()> {
        let (config, state) = (&self.config, &self.state);
        let provenance = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "torch": machine::TORCH_VERSION,
            "config_sha256": state.config,
            "model": { "source": config.model.source, "sha256": state.model },
            "data_sha256": state.data,
            "reference_sha256": state.reference,
            "objective": config.objective.describe().to_string(),
            "steps": state.steps,
            "seed": config.train.seed,
            "device": format!("{:?}", config.model.device),
            "backend": Backend::of(config.model.device).name(),
            "dtype": config.model.precision.name(),
            "threads": tch::get_num_threads(),
            "processes": self.group.map_or(1, Group::size),
            "nccl": self.gpus.is_some(),
            "command": command(std::env::args_os()),
        });
        write_atomically(&config.train.out.join(PROVENANCE), format!("{provenance:#}\n"))?;
        Ok(())
    }

    /// Prints what is trained on what, and how. `gpus` are those of several processes: connected, or why not.
    fn introduce(&self, gpus: Option<&Result<&Communicator, String>>) {
        let (config, state) = (&self.config, &self.state);
        let trained = self.trained.parameters().values().numel();
        let sums = match gpus {
            None => String::new(),
            Some(Ok(_)) => ", gradients by NCCL".to_owned(),
            Some(Err(why)) => format!(", gradients through the processors' memory ({why})"),
        };
        let processes =
            self.group.map(|group| format!(", {} processes{sums}", group.size())).unwrap_or_default();
        self.say(&format!(
            "{}: {} documents, {} steps of {}, {trained} trained parameters, objective {}, in {} on {}{processes}",
            config.model.source,
            self.documents.len(),
            state.steps,
            config.train.batch_size,
            config.objective.name(),
            config.model.precision.name(),
            Backend::of(config.model.device),
        ));
        if state.step > 0 {
            self.say(&format!("continuing after step {}", state.step));
        }
    }
}

/// Creates and claims the folder of the results.
fn claim_folder(config: &Config) -> Result<Lock> {
    let out = &config.train.out;
    make_folder(out)?;
    let lock = Lock::claim(out)?;
    if config.is_by_hand(&out.join(CONFIG)) {
        return Err(Error::file(out.join(CONFIG), BY_HAND));
    }
    Ok(lock)
}

/// How many steps the run has, and how many documents they read in all, given how many there are.
fn run_length(config: &Config, documents: usize) -> Result<(u64, u64)> {
    let batch = config.train.batch_size as u64;
    let in_all = match config.train.length {
        Length::Steps(steps) => steps.saturating_mul(batch),
        // At most the largest integer of a checkpoint's TOML.
        Length::Epochs(epochs) => share_of(epochs, documents as u64).clamp(1, i64::MAX.unsigned_abs()),
    };
    let steps = in_all.div_ceil(batch);
    config.check_steps(steps)?;
    Ok((steps, in_all))
}

/// Hashes of all data that the run reads, by name.
fn hashes(data: &Data, estimates: Option<String>) -> BTreeMap<String, String> {
    let mut hashes = BTreeMap::from([("train".to_owned(), data.train.hash.clone())]);
    hashes.extend(estimates.map(|hash| ("train.uncertainty".to_owned(), hash)));
    hashes.extend(data.evaluations.iter().map(|(name, set)| (format!("eval.{name}"), set.hash.clone())));
    hashes
}

/// What a run without a checkpoint begins with.
fn begin_anew(config: &Config, model: &Model, state: State) -> Result<Found> {
    let trained = Trained::new(model, config.lora.as_ref(), config.train.seed)?;
    let optimizer = Optimizer::new(&config.train, trained.parameters());
    Ok(Found { state, trained, optimizer })
}

/// The words of a command line; what is not UTF-8 is replaced.
fn command(words: impl Iterator<Item = OsString>) -> Vec<String> {
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_command_need_not_be_text() {
        let words = [&b"train"[..], b"mg\xff.toml"].map(|word| OsString::from_vec(word.to_vec()));
        assert_eq!(command(words.into_iter()), ["train", "mg\u{fffd}.toml"]);
    }

    #[test]
    fn epochs_read_no_document_too_many() {
        let length = |epochs: &str, documents| {
            let set = [format!("train.epochs={epochs}"), "train.batch_size=11".to_owned()];
            let config = Config::parse(Path::new("run.toml"), "data.train = \"gsm8k\"", &set).unwrap();
            run_length(&config, documents).unwrap()
        };
        assert_eq!(length("1.1", 50), (5, 55));
        assert_eq!(length("1.1", 51), (6, 57));
        assert_eq!(length("0.001", 5), (1, 1));
        assert_eq!(length("1e300", 5).1, i64::MAX.unsigned_abs());
    }
}
