//! What a task is.

use crate::{Answer, Question, Result};

/// Questions, and how their answers are graded. One file per task.
pub trait Task: Send + Sync {
    /// As it is called on the command line and in tables.
    fn name(&self) -> &str;

    /// The questions, in the order of the data.
    fn questions(&self) -> &[Question];

    /// What the answers are measured by; the first is the headline.
    fn measures(&self) -> &[Measure];

    /// For each measure the numbers that this answer adds to it.
    fn tally(&self, question: usize, answer: &Answer) -> Result<Vec<Vec<f64>>>;
}

/// One number that a task yields: a function of sums over the questions, so that any resampling of them is a sum too.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name within the task.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub meaning: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// Whether more is better.
    pub more_is_better: bool,
    /// Of the tallies' sums.
    pub of: fn(&[f64]) -> f64,
}

/// What a measure counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share, shown in percent.
    Share,
    /// Nats.
    Nats,
    /// A plain number.
    Number,
}

impl Measure {
    /// A share of right answers: each tally is `[right, of how many]`.
    pub const fn share(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, unit: Unit::Share, more_is_better: true, of: ratio }
    }
}

/// The first sum by the second.
pub(crate) fn ratio(sums: &[f64]) -> f64 {
    sums[0] / sums[1]
}
