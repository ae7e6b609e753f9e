//! The beginning of a run: what the configuration names is loaded, and a checkpoint where there is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rand_chacha::rand_core::RngCore as _;
use serde_json::json;
use tch::Tensor;
use tokensieve_objective::Plan;

use super::checkpoint::{self, Lock, State};
use super::config::{Config, Length};
use super::{CHECKPOINTS, CONFIG, OPTIMIZER};
use super::{Log, Optimizer, Run, Schedule, Trained};
use super::{given, references};
use crate::data::{self, DataSet, DataSource, Order, stream};
use crate::model::Model;
use crate::text::Tokenizer;
use crate::weights::Checkpoint;
use crate::{Error, Result, memory};

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
        config.train.ranking.check(config.model.device)?;
        let out = config.train.out.clone();
        fs::create_dir_all(&out).map_err(Error::io(&out))?;
        let lock = Lock::claim(&out)?;
        let found = resumable(&config, begin)?;
        let base = Checkpoint::open(&config.model.source)?;
        let tokenizer = Tokenizer::open(&base)?;
        let mut documents = read(&config, "train", &config.data, &base, &tokenizer)?;
        let estimates = given::complete(&config, &mut documents, &base.hash())?;
        let evaluations = config.evaluations.iter();
        let evaluations: Vec<(String, DataSet)> = evaluations
            .map(|(name, data)| Ok((name.clone(), read(&config, name, data, &base, &tokenizer)?)))
            .collect::<Result<_>>()?;
        let steps = match config.train.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                (epochs * documents.documents.len() as f64 / config.train.batch_size as f64).ceil().max(1.0)
                    as u64
            }
        };
        config.check_steps(steps)?;
        let mut training = config.objective.begin(Plan { steps, seed: config.train.seed });
        let mut data = BTreeMap::from([("train".to_owned(), documents.hash.clone())]);
        data.extend(estimates.map(|hash| ("train.uncertainty".to_owned(), hash)));
        data.extend(evaluations.iter().map(|(name, set)| (format!("eval.{name}"), set.hash.clone())));
        let new = State {
            step: 0,
            steps,
            evaluated: None,
            progress: None,
            config: config.hash(),
            model: base.hash(),
            data,
            logs: BTreeMap::new(),
            objective: training.state(),
        };
        let mut model = Model::load(&base, config.model.kind, config.model.device)?;
        let (state, trained) = match &found {
            None => (new, Trained::new(&model, config.lora.as_ref(), config.train.seed)?),
            Some(folder) => {
                let state = unchanged(State::load(folder)?, &new, folder)?;
                training.resume(state.objective.clone())?;
                (state, Trained::load(&model, config.lora.is_some(), folder)?)
            }
        };
        let mut optimizer = Optimizer::new(&config.train, trained.parameters());
        if let Some(folder) = &found {
            let path = folder.join(OPTIMIZER);
            let saved = Tensor::read_safetensors(&path).map_err(|error| Error::file(&path, error))?;
            optimizer.resume(&saved, state.step)?;
        }
        trained.refresh(&mut model)?;
        let reference = references::open(&config, &model, &documents.hash)?;
        let log = Log::open(&out, config.log, &state.logs, state.step, steps)?;
        let mut run = Self {
            schedule: Schedule::new(&config.train, steps),
            order: Order::new(documents.documents.len(), config.train.seed),
            saved: found.is_some().then_some(state.step),
            documents: documents.documents,
            evaluations: evaluations.into_iter().map(|(name, set)| (name, set.documents)).collect(),
            config,
            base,
            model,
            tokenizer,
            trained,
            reference,
            head: crate::head::Head::default(),
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
        checkpoint::write_durably(&config.train.out.join(CONFIG), config.derived().as_bytes())?;
        let provenance = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "torch": crate::machine::TORCH_VERSION,
            "config_sha256": state.config,
            "model": { "source": config.model.source, "sha256": state.model },
            "data_sha256": state.data,
            "objective": config.objective.describe().to_string(),
            "steps": state.steps,
            "seed": config.train.seed,
            "device": format!("{:?}", config.model.device),
            "threads": tch::get_num_threads(),
            "command": std::env::args().collect::<Vec<_>>(),
        });
        checkpoint::write_durably(
            &config.train.out.join("run.json"),
            format!("{provenance:#}\n").as_bytes(),
        )?;
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
            dropout: stream("dropout", self.config.train.seed, step).next_u64(),
            ranking: self.config.train.ranking,
        }
    }
}

/// The newest checkpoint, if the run is to go on from it.
fn resumable(config: &Config, begin: Begin) -> Result<Option<std::path::PathBuf>> {
    let parent = config.train.out.join(CHECKPOINTS);
    if begin == Begin::Fresh && parent.exists() {
        fs::remove_dir_all(&parent).map_err(Error::io(&parent))?;
    }
    let Some((_, newest)) = checkpoint::list(&parent)?.pop() else {
        if begin == Begin::Resume {
            return Err(Error::file(&parent, "there is no checkpoint to continue from; leave out --resume"));
        }
        return Ok(None);
    };
    let path = newest.join(CONFIG);
    let derived = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let differences = config.differences(&derived)?;
    if differences.is_empty() {
        return Ok(Some(newest));
    }
    let what = format!(
        "holds a run of another configuration:\n  {}\n--fresh removes it and starts over, --out DIR leaves it",
        differences.join("\n  ")
    );
    Err(Error::file(&config.train.out, what))
}

/// The checkpoint's state, if model and data still are what it was made from.
fn unchanged(saved: State, new: &State, folder: &Path) -> Result<State> {
    let changed = |what: &str| {
        let what =
            format!("was made with another {what}, though under the same name; start over with --fresh");
        Err(Error::file(folder, what))
    };
    if saved.model != new.model {
        return changed("model");
    }
    if let Some(name) = new.data.keys().find(|name| saved.data.get(*name) != new.data.get(*name)) {
        return changed(&format!("data set `{name}`"));
    }
    if saved.steps != new.steps {
        return changed("number of steps");
    }
    Ok(saved)
}

/// Reads a data set, and says what was left out or cut.
pub(super) fn read(
    config: &Config,
    name: &str,
    data: &DataSource,
    base: &Checkpoint,
    tokenizer: &Tokenizer,
) -> Result<DataSet> {
    let mut source = data.clone();
    let longest = base.config().max_positions.max(1) as usize;
    source.max_length = Some(source.max_length.unwrap_or(longest).min(longest));
    let set = data::load(&source, tokenizer)?;
    if let Some(why) = &set.substitution {
        eprintln!("{name}: {why}");
    }
    if set.truncated > 0 {
        eprintln!("{name}: {} documents cut at the end", set.truncated);
    }
    if !set.skipped.is_empty() {
        fs::create_dir_all(&config.train.out).map_err(Error::io(&config.train.out))?;
        let path = config.train.out.join(format!("skipped-{name}.jsonl"));
        let line = |bad: &data::Skipped| format!("{}\n", json!({ "line": bad.line, "reason": bad.reason }));
        let lines: String = set.skipped.iter().map(line).collect();
        checkpoint::write_durably(&path, lines.as_bytes())?;
        eprintln!("{name}: {} of {} rows left out; {} says why", set.skipped.len(), set.rows, path.display());
    }
    Ok(set)
}
