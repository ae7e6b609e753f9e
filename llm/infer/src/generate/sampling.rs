//! From logits to a token.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rand_chacha::rand_core::RngCore;

use super::sequence::Sequence;
use tokensieve_kernels::logits;
use tokensieve_kernels::shim::parallel;
use tokensieve_model::Error;
use tokensieve_model::Result;

/// How the next token is drawn. The steps come in this order, each on what the one before has left, as in transformers:
/// repetition penalty, temperature, top-k, top-p, min-p.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0: the most probable token, always.
    pub temperature: f64,
    /// Only the k most probable tokens.
    pub top_k: Option<usize>,
    /// Only the fewest most probable tokens that have this probability together; 1: all.
    pub top_p: f64,
    /// Only tokens of at least this share of the most probable one's probability; 0: all.
    pub min_p: f64,
    /// Logits of tokens that occur already, in the prompt too, are divided by it if positive, else multiplied; 1: nothing.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: None, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 }
    }
}

impl Sampling {
    /// Says which setting cannot be used.
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

    /// Whether the most probable token is the next one and nothing else counts.
    fn is_plain(&self) -> bool {
        self.temperature == 0.0 && (self.repetition_penalty - 1.0).abs() < f64::EPSILON
    }

    /// Chooses a token, given the logits, the tokens so far and a number drawn uniformly from [0, 1).
    pub(super) fn choose(&self, logits: &[f32], before: &[u32], uniform: f64) -> usize {
        if self.is_plain() {
            return logits::largest(logits).0;
        }
        let mut weights = logits.to_vec();
        let penalty = self.repetition_penalty as f32;
        for token in before.iter().collect::<BTreeSet<_>>() {
            let logit = &mut weights[*token as usize];
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
        let (best, largest) = logits::largest(&weights);
        if self.temperature == 0.0 {
            return best;
        }
        logits::exponentials(&mut weights, largest, (1.0 / self.temperature) as f32);
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

/// The one at `uniform` of the weights' sum.
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

/// Every sequence's next token, from its row of the logits.
pub(super) fn draw(sequences: &mut [&mut Sequence], logits: &[f32], vocabulary: usize) -> Result<()> {
    let rows: Vec<_> = sequences.iter_mut().zip(logits.chunks_exact(vocabulary)).map(Mutex::new).collect();
    parallel(rows.len(), 1, |part| {
        for row in &rows[part] {
            let (sequence, logits) = &mut *row.lock().expect("each row is one thread's");
            draw_one(sequence, logits);
        }
    });
    drop(rows);
    match sequences.iter().find(|sequence| sequence.log_probability.is_nan()) {
        Some(sequence) => Err(Error::Run(format!(
            "request {}: the model's output is not finite after {} tokens",
            sequence.index,
            sequence.tokens.len() - 1
        ))),
        None => Ok(()),
    }
}

fn draw_one(sequence: &mut Sequence, logits: &[f32]) {
    let sampling = &sequence.request.sampling;
    let log_sum = logits::log_sum_exp(logits);
    let uniform = match sampling.temperature {
        0.0 => 0.0,
        _ => (sequence.random.next_u64() >> 11) as f64 * 0.5_f64.powi(53),
    };
    let token = sampling.choose(logits, &sequence.tokens, uniform);
    sequence.log_probability += f64::from(logits[token]) - log_sum;
    sequence.tokens.push(token as u32);
}
