//! The beginning of a run: what the configuration names is loaded, and a checkpoint where there is one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::sync::atomic::AtomicBool;

use rand_chacha::rand_core::RngCore as _;
use serde_json::json;
use tokensieve_objective::Plan;

use super::checkpoint::{Lock, State};
use super::config::{Config, Length};
use super::former::Former;
use super::resume::{Checkpoints, Found};
use super::{CONFIG, Log, Optimizer, Run, Schedule, Trained, given, references};
use tokensieve_base::files::write_atomically;
use tokensieve_base::streams::keyed;
use tokensieve_documents::{DataSet, DataSource, Order};
use tokensieve_kernels::memory;
use tokensieve_model::Error;
use tokensieve_model::Model;
use tokensieve_model::Result;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;

/// What to do about a run that is in the folder already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Continue it if it is the same, else begin.
    Either,
    /// Continue it; it must be there.
    Resume,
    /// Begin, and remove it.
    Fresh,
}

impl<'a> Run<'a> {
    /// Loads everything, from the newest checkpoint if there is one. The run stops when `interrupted` becomes true.
    pub fn start(config: Config, begin: Begin, interrupted: &'a AtomicBool) -> Result<Self> {
        memory::keep();
        config.check_topk()?;
        config.train.ranking.check(config.model.device)?;
        let out = config.train.out.clone();
        fs::create_dir_all(&out).map_err(Error::io(&out))?;
        let lock = Lock::claim(&out)?;
        if config.is_by_hand(&out.join(CONFIG)) {
            let what = "is where the run writes the configuration that it derives; give yours another name, or another --out";
            return Err(Error::file(out.join(CONFIG), what));
        }
        let checkpoints = Checkpoints::find(&config, begin)?;
        let former = (begin == Begin::Fresh).then(|| Former::find(&config)).transpose()?;
        let base = config.base()?;
        let tokenizer = Tokenizer::open_on(&base, config.date)?;
        let mut documents = read("train", &config.data, &base, &tokenizer)?;
        let estimates = given::complete(&config, &mut documents, &base.hash())?;
        let evaluations = config.evaluations.iter();
        let evaluations: Vec<(String, DataSet)> = evaluations
            .map(|(name, data)| Ok((name.clone(), read(name, data, &base, &tokenizer)?)))
            .collect::<Result<_>>()?;
        let batch = config.train.batch_size as u64;
        let total = match config.train.length {
            Length::Steps(steps) => steps.saturating_mul(batch),
            // At most what a checkpoint's TOML can say.
            Length::Epochs(epochs) => {
                ((epochs * documents.documents.len() as f64).ceil().max(1.0) as i64).unsigned_abs()
            }
        };
        let steps = total.div_ceil(batch);
        config.check_steps(steps)?;
        let mut training = config.objective.begin(Plan { steps, seed: config.train.seed });
        let mut data = BTreeMap::from([("train".to_owned(), documents.hash.clone())]);
        data.extend(estimates.map(|hash| ("train.uncertainty".to_owned(), hash)));
        data.extend(evaluations.iter().map(|(name, set)| (format!("eval.{name}"), set.hash.clone())));
        let mut model = Model::load(&base, config.model.kind, config.model.device)?;
        let (reference, reference_hash) = references::open(&config, &model, &documents.hash, &tokenizer)?;
        let new = State {
            step: 0,
            steps,
            evaluated: None,
            progress: None,
            config: config.hash(),
            model: base.hash(),
            data,
            reference: reference_hash,
            logs: BTreeMap::new(),
            objective: training.state(),
        };
        let found = checkpoints.open(&config, &model, &new)?;
        let saved = found.as_ref().map(|found| found.state.step);
        let Found { state, trained, optimizer } = if let Some(found) = found {
            found
        } else {
            let trained = Trained::new(&model, config.lora.as_ref(), config.train.seed)?;
            let optimizer = Optimizer::new(&config.train, trained.parameters());
            Found { state: new, trained, optimizer }
        };
        training.resume(state.objective.clone())?;
        trained.refresh(&mut model)?;
        // Everything is open: from here on the folder is the new run's.
        former.map_or(Ok(()), Former::remove)?;
        // First, so that whatever else lies there, it says of which run.
        write_atomically(&out.join(CONFIG), config.derived().as_bytes())?;
        list_skipped(&config, "train", &documents)?;
        evaluations.iter().try_for_each(|(name, set)| list_skipped(&config, &format!("eval-{name}"), set))?;
        let log = Log::open(&out, config.log, &state.logs, state.step, steps)?;
        let mut run = Self {
            schedule: Schedule::new(&config.train, steps),
            order: Order::new(documents.documents.len(), config.train.seed).until(total),
            saved,
            documents: documents.documents,
            evaluations: evaluations.into_iter().map(|(name, set)| (name, set.documents)).collect(),
            head: tokensieve_model::head::Head::on(config.model.device),
            config,
            base,
            model,
            tokenizer,
            trained,
            reference,
            training,
            optimizer,
            state,
            log,
            interrupted,
            lock,
        };
        run.introduce()?;
        if run.saved.is_none() {
            run.survey()?;
        }
        Ok(run)
    }

    /// Writes beside the results what they are made from, and tells the person watching.
    fn introduce(&self) -> Result<()> {
        let (config, state) = (&self.config, &self.state);
        let provenance = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "torch": tokensieve_kernels::machine::TORCH_VERSION,
            "config_sha256": state.config,
            "model": { "source": config.model.source, "sha256": state.model },
            "data_sha256": state.data,
            "reference_sha256": state.reference,
            "objective": config.objective.describe().to_string(),
            "steps": state.steps,
            "seed": config.train.seed,
            "device": format!("{:?}", config.model.device),
            "threads": tch::get_num_threads(),
            "command": command(std::env::args_os()),
        });
        write_atomically(&config.train.out.join("run.json"), format!("{provenance:#}\n").as_bytes())?;
        let trained = self.trained.parameters().values().numel();
        self.log.say(&format!(
            "{}: {} documents, {} steps of {}, {trained} trained parameters, objective {}",
            config.model.source,
            self.documents.len(),
            state.steps,
            config.train.batch_size,
            config.objective.name(),
        ));
        if state.step > 0 {
            self.log.say(&format!("continuing after step {}", state.step));
        }
        Ok(())
    }

    /// What a step is told besides the batch.
    pub(super) fn options(&self, step: u64) -> crate::step::StepOptions {
        crate::step::StepOptions {
            micro_tokens: self.config.train.micro_tokens,
            checkpointing: self.config.train.checkpointing,
            dropout: keyed("dropout", self.config.train.seed, step).next_u64(),
            ranking: self.config.train.ranking,
        }
    }
}

/// The words of a command line, as far as they are text.
fn command(words: impl Iterator<Item = OsString>) -> Vec<String> {
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Reads a data set, and says what was left out or cut.
pub(super) fn read(
    name: &str,
    data: &DataSource,
    base: &Checkpoint,
    tokenizer: &Tokenizer,
) -> Result<DataSet> {
    let mut source = data.clone();
    let longest = base.config().max_positions.max(1) as usize;
    source.max_length = Some(source.max_length.unwrap_or(longest).min(longest));
    let set = tokensieve_documents::load(&source, tokenizer)?;
    if let Some(why) = &set.substitution {
        tokensieve_model::status!("{name}: {why}");
    }
    if set.truncated > 0 {
        tokensieve_model::status!("{name}: {} documents cut at the end", set.truncated);
    }
    Ok(set)
}

/// Writes which rows were left out, if any were.
pub(super) fn list_skipped(config: &Config, name: &str, set: &DataSet) -> Result<()> {
    if set.skipped.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&config.train.out).map_err(Error::io(&config.train.out))?;
    let path = config.train.out.join(format!("skipped-{name}.jsonl"));
    let line = |bad: &tokensieve_documents::Skipped| {
        format!("{}\n", json!({ "line": bad.line, "reason": bad.reason }))
    };
    let lines: String = set.skipped.iter().map(line).collect();
    write_atomically(&path, lines.as_bytes())?;
    tokensieve_model::status!(
        "{name}: {} of {} rows left out; {} says why",
        set.skipped.len(),
        set.rows,
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_command_need_not_be_text() {
        let words = [&b"train"[..], b"mg\xff.toml"].map(|word| OsString::from_vec(word.to_vec()));
        assert_eq!(command(words.into_iter()), ["train", "mg\u{fffd}.toml"]);
    }
}
