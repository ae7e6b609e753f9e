//! Which tokens are selected: a criterion, a band of its quantiles, over what, and when.

use crate::{Band, Error, Expression, Schedule, Variable};

/// The number by which tokens are ranked.
#[derive(Clone, Debug, PartialEq)]
pub enum Criterion {
    /// A statistic of the token.
    Score(Expression),
    /// A hash of (seed, step, document, position): new at every step, the same on every machine.
    Random,
}

impl Criterion {
    /// The named criteria besides `random`: name, expression, meaning.
    pub const NAMED: [(&'static str, &'static str, &'static str); 7] = [
        ("loss", "loss", "−log p of the label"),
        ("entropy", "entropy", "entropy of the prediction"),
        ("probability", "p", "the label's probability"),
        ("excess-loss", "loss - reference_loss", "loss above the reference's (RHO)"),
        (
            "base-excess-loss",
            "base_loss - reference_loss",
            "loss of the untrained base above the reference's: fixed for the whole run",
        ),
        (
            "divergence",
            "divergence",
            "KL(reference ‖ model): how much the prediction differs from the reference's",
        ),
        ("bald", "bald", "epistemic uncertainty"),
    ];

    /// A named criterion, `random`, or any other expression in the token's scalars.
    pub fn named(name: &str) -> Result<Self, Error> {
        if name == "random" {
            return Ok(Self::Random);
        }
        let known = Self::NAMED.iter().find(|(known, ..)| *known == name);
        let text = known.map_or(name, |(_, expression, _)| *expression);
        Expression::parse(text).map(|expression| Self::Score(expression.simplified())).map_err(|error| {
            match error {
                Error::Syntax { column, problem, .. } => {
                    let names: Vec<&str> = Self::NAMED.iter().map(|(name, ..)| *name).collect();
                    let right = format!(
                        "column {column}: {problem}; it is one of {}, random, or an expression",
                        names.join(", ")
                    );
                    Error::value("select.by", format!("`{name}`, {right}"))
                }
                other => other,
            }
        })
    }

    /// −log p, the criterion of the first paper.
    pub fn loss() -> Self {
        Self::Score(Expression::variable(Variable::Loss))
    }
}

/// The unit of selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Granularity {
    /// Every token on its own.
    #[default]
    Token,
    /// Whole documents, by the mean of the criterion over their tokens; at random, by one number each.
    Document,
}

/// The set of tokens or documents among which one is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Within {
    /// The whole optimizer batch.
    #[default]
    Batch,
    /// Each micro-batch on its own.
    MicroBatch,
    /// This batch, and before it the most recent `window` to 2·`window` units. Batches are forgotten whole.
    Running {
        /// How many units are forgotten at a time.
        window: u64,
    },
    /// All data, surveyed once before training; the thresholds then stay.
    Corpus,
}

/// A selection: rank by a criterion, keep a band.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The criterion that ranks.
    pub by: Criterion,
    /// Which band of the ranks is kept.
    pub keep: Band,
    /// Tokens or documents.
    pub of: Granularity,
    /// The set to rank in.
    pub within: Within,
    /// How the band moves over training.
    pub schedule: Schedule,
}

impl Selection {
    /// The band [low, high) of this criterion: of tokens, within the batch, at every step.
    pub fn band(by: Criterion, low: f64, high: f64) -> Result<Self, Error> {
        let keep = Band::new(low, high)?;
        Ok(Self { by, keep, of: Granularity::Token, within: Within::Batch, schedule: Schedule::Constant })
    }

    /// Checks what the fields' types cannot: that every band is valid.
    pub(crate) fn check(&self) -> Result<(), Error> {
        Band::new(self.keep.low, self.keep.high)?;
        match self.schedule {
            Schedule::Constant => Ok(()),
            Schedule::Adaptive { from } => Band::new(from.low, from.high).map(|_| ()),
            Schedule::Ramp { over, .. } if !(over > 0.0 && over <= 1.0) => Err(Error::value(
                "select.over",
                format!("{over} is not a share of a run: 0 < over <= 1 is required"),
            )),
            Schedule::Ramp { from, .. } => Band::new(from.low, from.high).map(|_| ()),
        }
    }
}
