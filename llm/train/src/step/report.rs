//! What a step did, for logs.

use std::time::Instant;

use tokensieve_model::Document;
use tokensieve_objective::{Pull, Pulls, TokenStats};

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
    /// Mean −log p of the predicted tokens.
    pub nll: f64,
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
}

/// Seconds by phase.
#[derive(Default)]
pub(super) struct Clock([f64; 4]);

impl Clock {
    pub(super) fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0[phase as usize] += start.elapsed().as_secs_f64();
        result
    }

    pub(super) fn phases(&self) -> Vec<(&'static str, f64)> {
        ["reference", "forward", "head", "backward"].into_iter().zip(self.0).collect()
    }
}

/// The report of a step with these tokens and pulls.
pub(super) fn report(
    rule: &dyn Rule,
    batch: &[&Document],
    tokens: &Tokens,
    pulls: &Pulls,
    phases: Vec<(&'static str, f64)>,
) -> StepReport {
    let each = tokens.stats.iter().zip(&pulls.pulls).zip(&pulls.selected).zip(&tokens.cross_entropy);
    let loss = |(((token, pull), selected), distance): (((&TokenStats, &Pull), &bool), &f64)| {
        rule.loss(token, *pull, *selected, *distance)
    };
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
        loss: each.map(loss).sum::<f64>() / pulls.normaliser,
        nll: tokens.stats.iter().map(|token| token.loss).sum::<f64>() / tokens.stats.len().max(1) as f64,
        tokens: tokens.stats.len(),
        selected: pulls.kept,
        pulled: pulls.pulled,
        normaliser: pulls.normaliser,
        records: tokens.stats.iter().zip(&tokens.labels).zip(&pulls.selected).map(record).collect(),
        phases,
    }
}
