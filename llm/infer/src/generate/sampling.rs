//! Sampling: from logits to a token.

use std::collections::BTreeSet;
use std::f32::consts::LOG2_E;

use tokensieve_kernels::logits;
use tokensieve_model::{Error, Result};

/// How the next token is sampled. As in transformers, the steps apply one after the other, each to the tokens that the
/// previous one kept: repetition penalty, temperature, top-k, top-p, min-p.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits; 0: always the most probable token (greedy).
    pub temperature: f64,
    /// Samples from the k most probable tokens. `None`: from all.
    pub top_k: Option<usize>,
    /// Samples from the smallest set of most probable tokens whose total probability is at least this; 1: from all.
    pub top_p: f64,
    /// Samples from tokens with at least this fraction of the highest probability; 0: from all.
    pub min_p: f64,
    /// Divisor of the positive logits, and factor of the negative ones, of tokens that already occur in prompt or reply; 1:
    /// no penalty.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: None, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 }
    }
}

impl Sampling {
    /// Checks the range of every setting.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, value: f64, right: &str| {
            Err(Error::setting(key, format!("must be {right}, not {value}")))
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong("temperature", self.temperature, "a finite number, 0 or more");
        }
        if self.top_k == Some(0) {
            return wrong("top-k", 0.0, "1 or more");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top-p", self.top_p, "above 0 and at most 1");
        }
        if !(self.min_p >= 0.0 && self.min_p <= 1.0) {
            return wrong("min-p", self.min_p, "from 0 to 1");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return wrong("repetition-penalty", self.repetition_penalty, "a finite number above 0");
        }
        Ok(())
    }

    /// Whether the next token is simply the most probable one.
    fn is_greedy(&self) -> bool {
        self.temperature == 0.0 && (self.repetition_penalty - 1.0).abs() < f64::EPSILON
    }

    /// Chooses a token, given the logits, the tokens so far and a uniform random number from [0, 1).
    pub(super) fn choose(&self, logits: &[f32], before: &[u32], uniform: f64) -> usize {
        if self.is_greedy() {
            return logits::largest(logits).0;
        }
        let mut weights = logits.to_vec();
        let penalty = self.repetition_penalty as f32;
        for token in before.iter().collect::<BTreeSet<_>>() {
            let logit = &mut weights[*token as usize];
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
        let (best, largest) = logits::largest(&weights);
        let factor = (1.0 / self.temperature) as f32;
        // So low a temperature leaves the most probable token alone. Kernels compute powers of 2.
        if !(factor * LOG2_E).is_finite() {
            return best;
        }
        logits::exponentials(&mut weights, largest, factor);
        if self.top_k.is_none() && self.top_p >= 1.0 {
            // The largest weight is 1.
            let least = self.min_p as f32;
            return pick(weights.iter().map(|w| if *w >= least { *w } else { 0.0 }).enumerate(), uniform);
        }
        let mut ranked: Vec<(usize, f32)> = weights.iter().copied().enumerate().collect();
        let by_weight = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if let Some(k) = self.top_k.filter(|k| *k < ranked.len()) {
            ranked.select_nth_unstable_by(k - 1, by_weight);
            ranked.truncate(k);
        }
        ranked.sort_unstable_by(by_weight);
        let total: f64 = ranked.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let mut sum = 0.0;
        let within = ranked.iter().take_while(|(_, weight)| {
            let goes_on = sum < self.top_p * total;
            sum += f64::from(*weight);
            goes_on
        });
        let kept = within.take_while(|(_, weight)| f64::from(*weight) >= self.min_p).count().max(1);
        pick(ranked[..kept].iter().copied(), uniform)
    }
}

/// The index at which the cumulative weight passes `uniform` times the total.
fn pick(weights: impl Iterator<Item = (usize, f32)> + Clone, uniform: f64) -> usize {
    let at = uniform * weights.clone().map(|(_, weight)| f64::from(weight)).sum::<f64>();
    let mut sum = 0.0;
    let mut last = 0;
    for (index, weight) in weights.filter(|(_, weight)| *weight > 0.0) {
        sum += f64::from(weight);
        last = index;
        if sum > at {
            break;
        }
    }
    last
}
