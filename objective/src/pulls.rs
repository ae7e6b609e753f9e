//! The pulls of a batch's tokens, and the normaliser of the sum of their gradients.

use crate::{Pull, TokenStats};

/// The result for a batch: a pull per token, the normaliser, and counts for reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pulls {
    /// The pulls, one per token of the batch, in its order.
    pub pulls: Vec<Pull>,
    /// Which tokens were selected; masked tokens never are.
    pub selected: Vec<bool>,
    /// The step's gradient is Σ of the tokens' gradients divided by this; positive and finite.
    pub normaliser: f64,
    /// Tokens that are not masked.
    pub tokens: usize,
    /// Tokens that were selected.
    pub kept: usize,
    /// Tokens with a pull that is not zero.
    pub pulled: usize,
}

impl Pulls {
    /// Pulls computed by the caller: tokens whose pull is not zero count as selected, and their number is the normaliser.
    pub fn of(pulls: Vec<Pull>) -> Self {
        let selected: Vec<bool> = pulls.iter().map(|pull| !pull.is_zero()).collect();
        let pulled = selected.iter().filter(|selected| **selected).count();
        let normaliser = pulled.max(1) as f64;
        Self { tokens: pulls.len(), kept: pulled, pulled, normaliser, selected, pulls }
    }
}

/// 1 − p without losing the digits of a p near 1.
pub(crate) fn one_minus_p(token: &TokenStats) -> f64 {
    -libm::expm1(-token.loss.max(0.0))
}
