//! The file of results: measures with their intervals, and for each question the sums behind them.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tokensieve_tasks::{Estimate, Measure, Unit, estimate};

use super::groups::Group;
use tokensieve_base::files::{LARGEST, read_text, write_atomically};
use tokensieve_model::{Error, Result};

/// Results of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The model as the user named it.
    pub model: String,
    /// Folder of the adapter.
    pub adapter: Option<PathBuf>,
    /// `bf16` or `f32`.
    pub precision: String,
    /// Seed of the order of questions and of the bootstrap.
    pub seed: u64,
    /// Maximum number of questions per task.
    pub limit: Option<usize>,
    /// SHA-256 of the chat template in place of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Results by name of the task, in the order of the suite.
    pub tasks: IndexMap<String, TaskResults>,
}

/// Results of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResults {
    /// Number of questions.
    pub n: usize,
    /// Seconds spent on the answers.
    pub seconds: f64,
    /// Measures by name; the first is the main one.
    pub measures: IndexMap<String, Measured>,
    /// The sums from which the measures are computed.
    pub tallies: Tallies,
    /// For each id of the tallies the first digits of the SHA-256 of what is asked: other data may have the same
    /// ids. Files from before there were any do not have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sha256: Vec<String>,
    /// Of judged replies: by whom, and against what. Files from before this was stored do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// Of `oracle:FILE`: groups of tokens by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub groups: IndexMap<String, Group>,
}

/// Which judge compared replies, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// As `--judge` named it.
    pub judge: String,
    /// As `--baseline-outputs` named it.
    pub baseline: String,
    /// The first digits of the SHA-256 of the baseline's outputs.
    pub sha256: String,
}

/// A measure with its 95 % interval. An undefined number (0 / 0) is null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The value.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Number of questions on which the value rests.
    pub n: usize,
    /// Unit of the value.
    pub unit: Unit,
    /// Whether a larger value is better; none where neither is.
    pub more_is_better: Option<bool>,
}

/// For each question and measure, the numbers whose sums determine the measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tallies {
    /// Ids of the questions.
    pub ids: Vec<String>,
    /// By measure: the numbers of each question, in the order of `ids`.
    #[serde(flatten)]
    pub of: IndexMap<String, Vec<Vec<f64>>>,
}

impl Measured {
    /// The estimate of a measure.
    pub fn new(measure: &Measure, estimate: &Estimate) -> Self {
        let number = |x: f64| x.is_finite().then_some(x);
        Self {
            value: number(estimate.value),
            low: number(estimate.low),
            high: number(estimate.high),
            n: estimate.n,
            unit: measure.unit,
            more_is_better: measure.more_is_better,
        }
    }
}

impl TaskResults {
    /// Computes the measures and their bootstrap intervals from the tallies of all questions, each `[measure][number]`.
    /// `sha256` are the hashes of what they ask.
    pub fn new(
        measures: &[Measure],
        ids: Vec<String>,
        sha256: Vec<String>,
        tallies: &[Vec<Vec<f64>>],
        seconds: f64,
        seed: u64,
    ) -> Self {
        let of_measure =
            |i: usize| -> Vec<&[f64]> { tallies.iter().map(|tally| tally[i].as_slice()).collect() };
        let named = |i: usize| measures[i].name.to_owned();
        let places = || 0..measures.len();
        let estimated =
            |i| Measured::new(&measures[i], &estimate(&measures[i], &of_measure(i), &sha256, seed));
        let rows = |i: usize| of_measure(i).into_iter().map(<[f64]>::to_vec).collect();
        Self {
            n: ids.len(),
            seconds,
            measures: places().map(|i| (named(i), estimated(i))).collect(),
            tallies: Tallies { ids, of: places().map(|i| (named(i), rows(i))).collect() },
            sha256,
            judged: None,
            groups: IndexMap::new(),
        }
    }
}

impl Results {
    /// Reads a file of results.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, LARGEST)?;
        serde_json::from_str(&text)
            .map_err(|error| Error::line(path, error.line(), format!("is not a file of results: {error}")))
    }

    /// Writes the file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|error| Error::file(path, error))?;
        Ok(write_atomically(path, text + "\n")?)
    }
}
