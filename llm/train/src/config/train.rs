//! How to train: the table `train`.

use std::path::{Path, PathBuf};

use toml::Value;

use super::choices::{self, OptimizerName, Ranking, Shape};
use super::keys;
use super::settings::Settings;
use tokensieve_model::Result;
use tokensieve_objective::{Band, Granularity, Objective, Selection, Within};

/// The optimizer and its settings.
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
    /// The optimizer and its settings.
    pub optimizer: Optimizer,
    /// Learning rate at its peak.
    pub lr: f64,
    /// Decoupled weight decay of matrices, per step and learning rate.
    pub weight_decay: f64,
    /// How the learning rate falls.
    pub schedule: Shape,
    /// How long it rises first.
    pub warmup: Span,
    /// Learning rate after the last step as a share of the peak.
    pub lr_end: f64,
    /// The norm that gradients are clipped to.
    pub clip: Option<f64>,
    /// Whether only layers' inputs are kept for the backward pass.
    pub checkpointing: bool,
    /// How documents are ranked, for objectives that choose documents.
    pub ranking: Ranking,
    /// Seed of everything random.
    pub seed: u64,
    /// Steps between evaluations.
    pub eval_every: Option<u64>,
    /// When to stop before the end.
    pub early_stop: Option<EarlyStop>,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Checkpoints kept.
    pub keep_last: usize,
    /// Steps after which what is trained is also written as at the end.
    pub save_at: Vec<u64>,
    /// The adapter's ranks from given steps on.
    pub grow_rank: Vec<(u64, i64)>,
    /// Folder of the results.
    pub out: PathBuf,
}

/// The table `train`, of a run whose configuration is this file.
pub(super) fn train(settings: &mut Settings, file: &Path) -> Result<Train> {
    // Both keys set the length: an override of one replaces the file's value of the other.
    for (one, other) in [("train.steps", "train.epochs"), ("train.epochs", "train.steps")] {
        if settings.overridden(one) && !settings.overridden(other) {
            settings.remove(other);
        }
    }
    let both = settings.mentions("train.epochs") && settings.value("train.epochs").is_some();
    let length = match settings.optional("train.steps") {
        Some(_) if both => {
            return Err(settings.wrong("train.epochs", "give train.steps or train.epochs, not both"));
        }
        Some(steps) => {
            settings.remove("train.epochs");
            Length::Steps(steps)
        }
        None => Length::Epochs(settings.required("train.epochs")?),
    };
    let name = settings.choice("train.optimizer", &choices::OPTIMIZER)?;
    let (optimizer, foreign) = match name {
        OptimizerName::AdamW => {
            let (betas, eps): ([f64; 2], f64) =
                (settings.required("train.betas")?, settings.required("train.eps")?);
            // A mean that takes nothing in.
            if betas.iter().any(|beta| *beta as f32 >= 1.0) {
                let what = "is 1 as the f32 that steps are computed in; at most 0.9999999";
                return Err(settings.wrong("train.betas", what));
            }
            (Optimizer::AdamW { betas, eps }, ["train.momentum"].as_slice())
        }
        OptimizerName::Sgd => {
            let momentum = settings.required("train.momentum")?;
            (Optimizer::Sgd { momentum }, ["train.betas", "train.eps"].as_slice())
        }
    };
    for name in foreign {
        if settings.mentions(name) {
            let optimizer: String = settings.required("train.optimizer")?;
            return Err(settings.wrong(name, format!("has no effect with train.optimizer = \"{optimizer}\"")));
        }
        settings.remove(name);
    }
    let schedule = settings.choice("train.schedule", &choices::SCHEDULE)?;
    if schedule == Shape::Constant && settings.mentions("train.lr_end") {
        return Err(settings.wrong("train.lr_end", "has no effect with train.schedule = \"constant\""));
    }
    let warmup = match settings.value("train.warmup") {
        Some(Value::Integer(steps)) => Span::Steps(steps.unsigned_abs()),
        Some(Value::Float(share)) => Span::Share(*share),
        _ => return Err(settings.missing("train.warmup")),
    };
    let early_stop = early_stop(settings)?;
    let eval_every: Option<u64> = settings.optional("train.eval_every");
    if eval_every.is_some() && settings.names_of_evals().is_empty() {
        return Err(
            settings.wrong("train.eval_every", "has no effect without a held-out set; add [eval.NAME]")
        );
    }
    if settings.value("train.out").is_none() {
        let name = file.file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned());
        settings.set("train.out", Value::String(format!("runs/{name}")));
    }
    let list = |name: &str| settings.value(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Ok(Train {
        length,
        batch_size: settings.required("train.batch_size")?,
        micro_tokens: settings.required("train.micro_tokens")?,
        optimizer,
        lr: settings.required("train.lr")?,
        weight_decay: settings.required("train.weight_decay")?,
        schedule,
        warmup,
        lr_end: settings.required("train.lr_end")?,
        clip: Some(settings.required("train.clip")?).filter(|clip| *clip > 0.0),
        checkpointing: settings.required("train.checkpointing")?,
        ranking: settings.choice("train.ranking", &choices::RANKING)?,
        seed: settings.required("train.seed")?,
        eval_every,
        early_stop,
        save_every: settings.required("train.save_every")?,
        keep_last: settings.required("train.keep_last")?,
        save_at: list("train.save_at").iter().filter_map(keys::step).collect(),
        grow_rank: list("train.grow_rank").iter().filter_map(keys::growth).collect(),
        out: settings.required("train.out")?,
    })
}

/// Checks that a step selects something where it ranks its own documents: of few of them a band can be empty.
pub(super) fn keeps_documents(settings: &Settings, train: &Train, objective: &Objective) -> Result<()> {
    let of_a_step =
        |selection: &&Selection| selection.of == Granularity::Document && selection.within == Within::Batch;
    let keep = objective.selection().filter(of_a_step).map_or(Band::ALL, |selection| selection.keep);
    if !keep.ranks(train.batch_size).is_empty() {
        return Ok(());
    }
    let what = format!(
        "keeps none of the {} documents of a step (train.batch_size); set a larger batch, a wider band, or \
         objective.select.within = \"running\"",
        train.batch_size
    );
    Err(settings.wrong("objective.select.keep", what))
}

fn early_stop(settings: &mut Settings) -> Result<Option<EarlyStop>> {
    let Some(on) = settings.optional("train.early_stop.on") else {
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
    if settings.value("train.eval_every").is_none() {
        return Err(settings.wrong("train.early_stop", "needs train.eval_every"));
    }
    let patience = settings.required("train.early_stop.patience")?;
    Ok(Some(EarlyStop { on, patience, min_delta: settings.required("train.early_stop.min_delta")? }))
}
