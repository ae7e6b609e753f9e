//! The trait of all tasks, and their measures.

use serde::{Deserialize, Serialize};

use crate::{Answer, Question, Result};

/// Questions, and how their answers are graded. One file per task.
pub trait Task: Send + Sync {
    /// Its name on the command line and in tables.
    fn name(&self) -> &str;

    /// The questions, in the order of the data.
    fn questions(&self) -> &[Question];

    /// Its measures; the first is the headline.
    fn measures(&self) -> &[Measure];

    /// For each measure the numbers that this answer adds to it.
    fn tally(&self, question: usize, answer: &Answer) -> Result<Vec<Vec<f64>>>;
}

/// A number that a task yields. It is a function of sums over the questions, so that it can be computed for any resample.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name within the task.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub meaning: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Whether more is better.
    pub more_is_better: bool,
    /// The measure as a function of the tallies' sums.
    pub of: fn(&[f64]) -> f64,
}

/// The unit of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A share, shown in percent.
    Share,
    /// Nats.
    Nats,
    /// A plain number.
    Number,
}

impl Measure {
    /// A share of right answers; each tally is `[right, total]`.
    pub const fn share(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, unit: Unit::Share, more_is_better: true, of: ratio }
    }

    /// A mean in nats of which less is better; each tally is `[sum, count]`.
    pub const fn nats(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, unit: Unit::Nats, more_is_better: false, of: ratio }
    }

    /// An expected calibration error; each tally has the sum of (probability − hit) for each bin, then the number of tokens.
    pub const fn calibration_error(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, unit: Unit::Share, more_is_better: false, of: calibration_error }
    }
}

/// Σ |Σ in the bin of (probability − hit)| / tokens.
fn calibration_error(sums: &[f64]) -> f64 {
    let (gaps, tokens) = sums.split_at(sums.len() - 1);
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / tokens[0]
}

/// The first sum divided by the second.
pub(crate) fn ratio(sums: &[f64]) -> f64 {
    sums[0] / sums[1]
}
