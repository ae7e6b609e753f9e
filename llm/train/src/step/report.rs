//! What a step did, for logs.

use std::time::Instant;

use tokensieve_model::Document;
use tokensieve_objective::{Pulls, TokenStats};

use super::rule::Rule;
use super::tokens::Tokens;

/// One predicted token of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Index of its document in the batch.
    pub document: u32,
    /// The document's row in the data set.
    pub row: usize,
    /// Its index among the document's predicted tokens.
    pub position: u32,
    /// The token.
    pub label: u32,
    /// −log p, nats.
    pub loss: f64,
    /// Entropy of the prediction, nats.
    pub entropy: f64,
    /// Whether the objective selected it.
    pub selected: bool,
}

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// The objective's loss, divided by the batch's normaliser.
    pub loss: f64,
    /// Mean −log p of the predicted tokens; `None` where int8 ranked the documents, as some are then approximate.
    pub nll: Option<f64>,
    /// Predicted tokens.
    pub tokens: usize,
    /// Those that the objective selected.
    pub selected: usize,
    /// Those with a pull that is not zero.
    pub pulled: usize,
    /// What the gradient was divided by.
    pub normaliser: f64,
    /// One per predicted token, document by document.
    pub records: Vec<Record>,
    /// Seconds by phase.
    pub phases: Vec<(&'static str, f64)>,
}

/// The phases of a step.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    Reference,
    Forward,
    Head,
    Backward,
    Exchange,
}

/// Seconds by phase.
#[derive(Default)]
pub(super) struct Clock([f64; 5]);

impl Clock {
    pub(super) fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0[phase as usize] += start.elapsed().as_secs_f64();
        result
    }

    pub(super) fn phases(&self) -> Vec<(&'static str, f64)> {
        ["reference", "forward", "head", "backward", "exchange"].into_iter().zip(self.0).collect()
    }
}

/// Sums over some of a step's tokens: of the objective's loss, before it is normalised, and of −log p.
pub(super) fn sums(
    rule: &dyn Rule,
    tokens: &Tokens,
    pulls: &Pulls,
    counts: impl Fn(&TokenStats) -> bool,
) -> [f64; 2] {
    let each = tokens.stats.iter().zip(&pulls.pulls).zip(&pulls.selected).zip(&tokens.distance);
    let own = each.filter(|(((token, _), _), _)| counts(token));
    own.fold([0.0; 2], |[loss, nll], (((token, pull), selected), distance)| {
        [loss + rule.loss(token, *pull, *selected, *distance), nll + token.loss]
    })
}

/// The report of a step with these tokens and pulls, and the sums over all tokens.
pub(super) fn report(
    batch: &[&Document],
    tokens: &Tokens,
    pulls: &Pulls,
    loss: f64,
    nll: Option<f64>,
    phases: Vec<(&'static str, f64)>,
) -> StepReport {
    let record = |((token, label), selected): ((&TokenStats, &u32), &bool)| Record {
        document: token.document,
        row: batch[token.document as usize].row,
        position: token.position,
        label: *label,
        loss: token.loss,
        entropy: token.entropy,
        selected: *selected,
    };
    StepReport {
        loss: loss / pulls.normaliser,
        nll: nll.map(|nll| nll / tokens.stats.len().max(1) as f64),
        tokens: tokens.stats.len(),
        selected: pulls.kept,
        pulled: pulls.pulled,
        normaliser: pulls.normaliser,
        records: tokens.stats.iter().zip(&tokens.labels).zip(&pulls.selected).map(record).collect(),
        phases,
    }
}
