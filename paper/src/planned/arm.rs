//! What an objective compares with, and how large the steps of a run are.

use crate::lab::Job;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The arm of plain training, and its objective's preset.
pub const PLAIN: &str = "mle";

/// What an objective compares with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// Nothing.
    #[default]
    None,
    /// The model as it was before post-training.
    Start,
    /// Plain training on the same data.
    Twin,
    /// Plain training on other data without wrong values.
    Clean,
    /// The exact distribution.
    Truth,
}

/// How large the steps of a run are.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// The arm's own learning rate.
    #[default]
    Tuned,
    /// Plain training's learning rate.
    Plain,
    /// Plain training's learning rate, and gradients on the labels' logits as large as its own; the optimizer then sets the step.
    Matched,
    /// A learning rate to be compared with others; no table has one.
    Tried(f64),
}

impl Rate {
    /// The arm whose learning rate it is: the run's own, or plain training.
    pub fn arm_of(self, own: &str) -> &str {
        if matches!(self, Self::Plain | Self::Matched) { PLAIN } else { own }
    }
}

impl Job {
    /// Trains with an objective, in steps whose length is matched where the rate says so.
    pub(crate) fn with_objective(self, objective: &toml::Table, rate: Rate) -> Self {
        let job = self.set_table("objective", objective);
        if rate == Rate::Matched { job.set("objective.match", "grad-norm") } else { job }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tuned => formatter.write_str("tuned"),
            Self::Plain => formatter.write_str("plain"),
            Self::Matched => formatter.write_str("matched"),
            Self::Tried(rate) => write!(formatter, "{rate:e}"),
        }
    }
}
