//! How to train: the table `train`.

use std::path::{Path, PathBuf};

use toml::Value;

use super::keys;
use super::settings::{self, Settings};
use crate::step::Ranking;
use tokensieve_model::Result;

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the mean gradient and of its square.
        betas: [f64; 2],
        /// Added to the root.
        eps: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Decay of the mean gradient.
        momentum: f64,
    },
}

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Optimizer steps.
    Steps(u64),
    /// Times through the data.
    Epochs(f64),
}

/// A length within a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Optimizer steps.
    Steps(u64),
    /// A share of the run.
    Share(f64),
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
    /// Not at all.
    Constant,
}

/// When to stop before the end.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStop {
    /// The held-out set whose NLL counts.
    pub on: String,
    /// Evaluations without progress.
    pub patience: u64,
    /// Less than this is no progress.
    pub min_delta: f64,
}

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// How long.
    pub length: Length,
    /// Documents per optimizer step.
    pub batch_size: usize,
    /// Most tokens computed at once.
    pub micro_tokens: usize,
    /// How a gradient becomes a step.
    pub optimizer: Optimizer,
    /// Learning rate at its peak.
    pub lr: f64,
    /// Share by which matrices shrink per step and learning rate.
    pub weight_decay: f64,
    /// How the learning rate falls.
    pub schedule: Shape,
    /// How long it rises first.
    pub warmup: Span,
    /// Its end as a share of its peak.
    pub lr_end: f64,
    /// Longest gradient.
    pub clip: Option<f64>,
    /// Whether only layers' inputs are kept for the backward pass.
    pub checkpointing: bool,
    /// In what numbers documents are put in order.
    pub ranking: Ranking,
    /// Everything random follows from it.
    pub seed: u64,
    /// Steps between evaluations.
    pub eval_every: Option<u64>,
    /// When to stop before the end.
    pub early_stop: Option<EarlyStop>,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Checkpoints kept.
    pub keep_last: usize,
    /// The adapter's ranks from given steps on.
    pub grow_rank: Vec<(u64, i64)>,
    /// Folder of the results.
    pub out: PathBuf,
}

/// The table `train`, of a run whose configuration is this file.
pub(super) fn train(settings: &mut Settings, file: &Path) -> Result<Train> {
    // Two ways to say one thing: an override takes back the file's.
    for (one, other) in [("train.steps", "train.epochs"), ("train.epochs", "train.steps")] {
        if settings.overridden(one) && !settings.overridden(other) {
            settings.remove(other);
        }
    }
    let both = settings.mentions("train.epochs") && settings.value("train.epochs").is_some();
    let length = match settings.whole("train.steps") {
        Some(_) if both => {
            return Err(settings.wrong("train.epochs", "give train.steps or train.epochs, not both"));
        }
        Some(steps) => {
            settings.remove("train.epochs");
            Length::Steps(steps)
        }
        None => Length::Epochs(settings.number("train.epochs")),
    };
    let sgd = settings.text("train.optimizer").as_deref() == Some("sgd");
    let (optimizer, foreign) = if sgd {
        (
            Optimizer::Sgd { momentum: settings.number("train.momentum") },
            ["train.betas", "train.eps"].as_slice(),
        )
    } else {
        let betas = settings.value("train.betas").and_then(Value::as_array).map(Vec::as_slice);
        let betas = betas.unwrap_or_default().iter().filter_map(settings::number).collect::<Vec<_>>();
        let betas = [0, 1].map(|i| betas.get(i).copied().unwrap_or(0.0));
        (Optimizer::AdamW { betas, eps: settings.number("train.eps") }, ["train.momentum"].as_slice())
    };
    for name in foreign {
        if settings.mentions(name) {
            let optimizer = if sgd { "sgd" } else { "adamw" };
            return Err(settings.wrong(name, format!("means nothing to train.optimizer = \"{optimizer}\"")));
        }
        settings.remove(name);
    }
    let schedule = match settings.text("train.schedule").as_deref() {
        Some("linear") => Shape::Linear,
        Some("constant") => Shape::Constant,
        _ => Shape::Cosine,
    };
    let warmup = match settings.value("train.warmup") {
        Some(Value::Integer(steps)) => Span::Steps(steps.unsigned_abs()),
        other => Span::Share(other.and_then(Value::as_float).unwrap_or(0.0)),
    };
    let early_stop = early_stop(settings)?;
    if settings.text("train.out").is_none() {
        let name = file.file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned());
        settings.set("train.out", Value::String(format!("runs/{name}")));
    }
    let growth = settings.value("train.grow_rank").and_then(Value::as_array).map(Vec::as_slice);
    Ok(Train {
        length,
        batch_size: settings.whole("train.batch_size").unwrap_or(1) as usize,
        micro_tokens: settings.whole("train.micro_tokens").unwrap_or(1) as usize,
        optimizer,
        lr: settings.number("train.lr"),
        weight_decay: settings.number("train.weight_decay"),
        schedule,
        warmup,
        lr_end: settings.number("train.lr_end"),
        clip: Some(settings.number("train.clip")).filter(|clip| *clip > 0.0),
        checkpointing: settings.flag("train.checkpointing"),
        ranking: match settings.text("train.ranking").as_deref() {
            Some("int8") => Ranking::Int8,
            _ => Ranking::Exact,
        },
        seed: settings.whole("train.seed").unwrap_or(0),
        eval_every: settings.whole("train.eval_every"),
        early_stop,
        save_every: settings.whole("train.save_every").unwrap_or(1),
        keep_last: settings.whole("train.keep_last").unwrap_or(1) as usize,
        grow_rank: growth.unwrap_or_default().iter().filter_map(keys::growth).collect(),
        out: settings.required("train.out")?.into(),
    })
}

fn early_stop(settings: &mut Settings) -> Result<Option<EarlyStop>> {
    let Some(on) = settings.text("train.early_stop.on") else {
        for name in ["train.early_stop.patience", "train.early_stop.min_delta"] {
            if settings.mentions(name) {
                return Err(settings.wrong(name, "needs train.early_stop.on, the name of an eval set"));
            }
            settings.remove(name);
        }
        return Ok(None);
    };
    let names = settings.names_of_evals();
    if !names.contains(&on) {
        let known = if names.is_empty() { "none; add [eval.NAME]".to_owned() } else { names.join(", ") };
        return Err(settings
            .wrong("train.early_stop.on", format!("no eval set is called `{on}` (there are {known})")));
    }
    if settings.whole("train.eval_every").is_none() {
        return Err(settings.wrong("train.early_stop", "needs train.eval_every"));
    }
    let patience = settings.whole("train.early_stop.patience").unwrap_or(1);
    Ok(Some(EarlyStop { on, patience, min_delta: settings.number("train.early_stop.min_delta") }))
}
