//! What an evaluation found, as a file: measures with their intervals, and the sums behind them question by question.

use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tokensieve_tasks::{Estimate, Measure, Unit, estimate};

use tokensieve_base::files::write_atomically;
use tokensieve_model::Error;
use tokensieve_model::Result;

/// All tasks of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The model as it was named.
    pub model: String,
    /// The adapter's folder.
    pub adapter: Option<PathBuf>,
    /// `bf16` or `f32`.
    pub precision: String,
    /// Of the order of questions, and of the bootstrap.
    pub seed: u64,
    /// Questions per task, at most.
    pub limit: Option<usize>,
    /// By name, in the order of the suite.
    pub tasks: IndexMap<String, TaskResults>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResults {
    /// Questions.
    pub n: usize,
    /// Time that the answers took.
    pub seconds: f64,
    /// By name; the first is the headline.
    pub measures: IndexMap<String, Measured>,
    /// What the measures are functions of.
    pub tallies: Tallies,
}

/// A measure with its 95 % interval. A number that does not exist (0 / 0) is null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The number itself.
    pub value: Option<f64>,
    /// The interval's lower end.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// Questions that it rests on.
    pub n: usize,
    /// What it counts in.
    pub unit: Counted,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// What a measure counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// A share of one.
    Share,
    /// Nats.
    Nats,
    /// A plain number.
    Number,
}

/// Per question and measure the numbers whose sums the measure is a function of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tallies {
    /// The questions.
    pub ids: Vec<String>,
    /// By measure, in the questions' order.
    #[serde(flatten)]
    pub of: IndexMap<String, Vec<Vec<f64>>>,
}

impl Measured {
    /// A measure's estimate.
    pub fn new(measure: &Measure, estimate: &Estimate) -> Self {
        let number = |x: f64| x.is_finite().then_some(x);
        Self {
            value: number(estimate.value),
            low: number(estimate.low),
            high: number(estimate.high),
            n: estimate.n,
            unit: match measure.unit {
                Unit::Share => Counted::Share,
                Unit::Nats => Counted::Nats,
                Unit::Number => Counted::Number,
            },
            more_is_better: measure.more_is_better,
        }
    }
}

impl TaskResults {
    /// The measures of all questions' tallies, each `[measure][number]`, with bootstrap intervals.
    pub fn new(
        measures: &[Measure],
        ids: Vec<String>,
        tallies: &[Vec<Vec<f64>>],
        seconds: f64,
        seed: u64,
    ) -> Self {
        let of_measure =
            |i: usize| -> Vec<&[f64]> { tallies.iter().map(|tally| tally[i].as_slice()).collect() };
        let named = |i: usize| measures[i].name.to_owned();
        let places = || 0..measures.len();
        let estimated = |i| Measured::new(&measures[i], &estimate(&measures[i], &of_measure(i), seed));
        let rows = |i: usize| of_measure(i).into_iter().map(<[f64]>::to_vec).collect();
        Self {
            n: ids.len(),
            seconds,
            measures: places().map(|i| (named(i), estimated(i))).collect(),
            tallies: Tallies { ids, of: places().map(|i| (named(i), rows(i))).collect() },
        }
    }
}

impl Results {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        serde_json::from_str(&text).map_err(|error| {
            Error::line(path, error.line(), format!("not the results of an evaluation: {error}"))
        })
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|error| Error::file(path, error))?;
        Ok(write_atomically(path, text + "\n")?)
    }
}
