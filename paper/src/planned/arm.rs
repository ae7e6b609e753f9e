//! A way to train, and how large its steps are.

use serde::Deserialize;
use std::fmt;

/// A way to train.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm<Q: Default> {
    /// The configuration's table `objective`.
    pub objective: toml::Table,
    /// The model or distribution that the objective compares with.
    #[serde(default)]
    pub reference: Reference,
    /// Whether the objective reads estimates of uncertainty.
    #[serde(default)]
    pub estimates: bool,
    /// How many times as many steps as the others.
    #[serde(default = "once")]
    pub steps: f64,
    /// Ranks of the adapter that is trained instead of all weights, in equal parts of the run.
    #[serde(default)]
    pub ranks: Vec<i64>,
    /// The learning rate, chosen on the tuning seeds unless it is fixed.
    pub rate: f64,
    /// Whether the rate follows from another arm's.
    #[serde(default)]
    pub fixed_rate: bool,
    /// What decides the choice: a measure of the study.
    #[serde(default)]
    pub tuned_by: Q,
}

pub(super) fn once() -> f64 {
    1.0
}

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
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// The arm's own learning rate.
    #[default]
    Tuned,
    /// Plain training's learning rate and step length.
    Matched,
    /// A learning rate to be compared with others.
    Tried(f64),
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tuned => formatter.write_str("tuned"),
            Self::Matched => formatter.write_str("matched"),
            Self::Tried(rate) => write!(formatter, "{rate:e}"),
        }
    }
}
