//! One row of the training figures' tables: how much better one way of training is than another.

use super::arm::Arm;
use super::corpus::Corpora;
use super::outcome::{Distribution, Measure, Outcome, Unit};
use crate::{Column, Estimate, Table, columns};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// One comparison of two ways of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Base model.
    pub model: String,
    /// Corpus trained on.
    pub trained_on: Corpora,
    /// The way of training.
    pub arm: Arm,
    /// What it is compared with.
    pub versus: Arm,
    /// What is measured.
    #[serde(rename = "outcome")]
    pub measure: Measure,
    /// In the trained corpus' distribution, or out of it.
    pub distribution: Distribution,
    /// Unit of the gain.
    pub unit: Unit,
    /// Training runs of each.
    pub seeds: u64,
    /// Questions or documents.
    pub questions: usize,
    /// The outcomes of a mean, or those among which wins are counted; empty for single outcomes.
    #[serde(default)]
    pub of: String,
    /// The outcome itself, or its mean.
    pub value: Option<f64>,
    /// The same for the way of training that it is compared with.
    pub versus_value: Option<f64>,
    /// The difference, positive when better.
    pub gain: f64,
    /// Lower end of the 95 % interval.
    pub gain_low: f64,
    /// Upper end of the 95 % interval.
    pub gain_high: f64,
}

/// Between the outcomes of [`Gain::of`].
const AND: &str = " + ";

/// The outcomes of [`Gain::of`], as it names them.
pub(super) fn names(outcomes: impl IntoIterator<Item = Outcome>) -> String {
    outcomes.into_iter().map(Outcome::name).collect::<Vec<_>>().join(AND)
}

impl Gain {
    /// The gain with its interval; `n` are seeds.
    pub fn estimate(&self) -> Estimate {
        Estimate { value: self.gain, low: self.gain_low, high: self.gain_high, n: self.seeds as usize }
    }

    /// Whether a judge's verdicts are in it.
    pub fn is_judged(&self) -> bool {
        let judged = Outcome::AlpacaEval;
        self.measure == Measure::Of(judged) || self.of.split(AND).any(|outcome| outcome == judged.name())
    }

    /// Who prefers, where replies are preferred.
    pub fn judge(&self) -> &'static str {
        if self.measure == Measure::Of(Outcome::AlpacaEval) { "by the judge" } else { "by overlap" }
    }

    /// With an interval of possible values: a share lies between 0 and 1, whatever Student says. The difference of two
    /// shares is left as it is.
    #[must_use]
    pub(super) fn possible(self) -> Self {
        if self.unit != Unit::Tasks || self.versus != Arm::Mle {
            return self;
        }
        Self { gain_low: self.gain_low.max(0.0), gain_high: self.gain_high.min(1.0), ..self }
    }

    /// The rows of a table of wins, which may have been made before intervals were cut to possible values.
    pub fn won(table: &Table) -> Result<Vec<Self>> {
        Ok(table.rows::<Self>()?.into_iter().map(Self::possible).collect())
    }

    /// The columns of a table of gains.
    pub fn columns() -> Vec<Column> {
        columns! {
            "model": "base model",
            "trained_on": "corpus trained on",
            "arm": "way of training",
            "versus": "way of training that it is compared with",
            "outcome": "what is measured: an outcome; `mean`: the mean of all outcomes of the unit and distribution, \
                        where shares at the floor (neither model answers more than 2 % correctly) are left out \
                        unless all are at the floor; `won`: the share of all outcomes on which the gain is positive, \
                        a judge's win rate among them if there is a judge",
            "distribution": "`in` the trained corpus' distribution, `out` of it, or `all`; `out - in`: the mean gain \
                             out of the distribution minus the mean gain in it",
            "unit": "`nats`: mean loss per response token; `share`: of correct answers, of constraints met, of \
                     characters shared with a reference (alpaca-overlap); `preference`: length-controlled win rate \
                     minus one half, by a judge (alpaca-eval) or by a stand-in for one; `tasks`: share of outcomes",
            "seeds": "training runs of each",
            "questions": "questions, or held-out documents",
            "of": "the outcomes that a mean is taken over, or among which wins are counted",
            "value": "the outcome itself over all seeds, or the mean of the outcomes",
            "versus_value": "the same for the way of training that it is compared with",
            "gain": "the difference of the two, positive when better",
            "gain_low": "lower end of the 95 % interval: paired bootstrap over questions and seeds, never narrower \
                         than Student's interval over seeds or, except for `won`, over questions; for a share of \
                         outcomes, cut at 0 and 1",
            "gain_high": "upper end of the interval",
        }
    }
}
