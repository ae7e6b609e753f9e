//! Tasks and their measures.

use serde::{Deserialize, Serialize};

use crate::{Answer, Question, Result};

/// Questions, and how their answers are graded. One file per task.
pub struct Task {
    name: String,
    questions: Vec<Question>,
    measures: &'static [Measure],
    grade: Box<Grade>,
}

type Grade = dyn Fn(usize, &Answer) -> Result<Vec<Vec<f64>>> + Send + Sync;

impl Task {
    /// Questions with their keys. `grade` holds an answer against its question's key: for each measure the numbers that it
    /// adds.
    pub fn new<K: Send + Sync + 'static>(
        name: impl Into<String>,
        items: impl IntoIterator<Item = (Question, K)>,
        measures: &'static [Measure],
        grade: fn(&K, &Answer) -> Result<Vec<Vec<f64>>>,
    ) -> Self {
        let (questions, keys): (_, Vec<K>) = items.into_iter().unzip();
        let grade = Box::new(move |question: usize, answer: &Answer| grade(&keys[question], answer));
        Self { name: name.into(), questions, measures, grade }
    }

    /// The task with these of its questions, in this order.
    #[must_use]
    pub(crate) fn choosing(self, chosen: Vec<usize>) -> Self {
        let Self { name, questions, measures, grade } = self;
        let questions = chosen.iter().map(|index| questions[*index].clone()).collect();
        let grade = Box::new(move |question: usize, answer: &Answer| grade(chosen[question], answer));
        Self { name, questions, measures, grade }
    }

    /// Its name on the command line and in tables.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The questions, in the order of the data.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// Its measures; the first is the headline.
    pub fn measures(&self) -> &[Measure] {
        self.measures
    }

    /// For each measure the numbers that this answer adds to it.
    pub fn tally(&self, question: usize, answer: &Answer) -> Result<Vec<Vec<f64>>> {
        (self.grade)(question, answer)
    }
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
    /// Whether more is better; `None` if neither is.
    pub more_is_better: Option<bool>,
    /// The smallest value that it can have.
    pub least: f64,
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
        Self { name, meaning, unit: Unit::Share, more_is_better: Some(true), least: 0.0, of: ratio }
    }

    /// A mean in nats that is not negative and of which less is better; each tally is `[sum, count]`.
    pub const fn nats(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, unit: Unit::Nats, more_is_better: Some(false), least: 0.0, of: ratio }
    }

    /// An expected calibration error; each tally has the sum of (probability − hit) for each bin, then the number of tokens.
    pub const fn calibration_error(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            unit: Unit::Share,
            more_is_better: Some(false),
            least: 0.0,
            of: calibration_error,
        }
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

/// The tally of a share for one question, answered rightly or not.
pub(crate) fn one(right: bool) -> Vec<f64> {
    vec![f64::from(u8::from(right)), 1.0]
}

/// The tally of a mean for one question.
pub(crate) fn value(value: f64) -> Vec<f64> {
    vec![value, 1.0]
}
