//! How many labels are wrong, as far as the model can tell: a mixture of its own calibrated prediction and of labels
//! that contradict it.
//!
//! Where the model gives its best token the probability c, that token is the label with probability (1 − η)·σ(β·logit
//! c). β, an inverse temperature, calibrates the model; η is the share of labels that contradict it however sure it is.
//! A plain temperature would take the contradictions for doubt. η also counts right labels that the model confidently
//! contradicts, so it is an upper bound for the wrong labels among the tokens of which the model is sure. About the
//! other tokens it gives no information.

use serde::Serialize;
use tokensieve_base::statistics::{Estimate, binomial_interval, jackknife_half_width};

/// A prediction and whether the label is its best token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// Index of the document.
    pub(crate) document: usize,
    /// Probability of the best token.
    pub(crate) confidence: f64,
    pub(crate) is_label: bool,
}

/// An estimate of label noise, and how far to trust it.
#[derive(Clone, Debug, Serialize)]
pub struct LabelNoise {
    /// η with its interval over documents.
    pub share: Estimate,
    /// β, which calibrates the model's confidence: below 1 it is too sure of itself.
    pub inverse_temperature: f64,
    /// Tokens of which the calibrated model is sure: the estimate rests on them.
    pub sure: usize,
    /// Mean distance of the fitted from the observed share of hits, over bins of confidence weighted by their tokens.
    pub calibration_error: f64,
    /// Why the estimate is not to be trusted; empty if nothing speaks against it.
    pub doubts: Vec<String>,
}

/// The name of the estimate of all tokens.
pub(crate) const ALL: &str = "all";

/// Width and number of the bins of the logit of the confidence, from [`FIRST`] on: beyond the last, rounding decides.
const WIDTH: f64 = 0.25;
const BINS: usize = 64;
const FIRST: f64 = -4.0;

/// Where β is looked for (choice): from a model that is far too certain to one that is far too uncertain.
const BETAS: [f64; 2] = [0.05, 4.0];

/// Groups of documents for the interval (choice).
const GROUPS: usize = 10;

/// A model is sure where it expects fewer mistakes than this.
const SURE: f64 = 0.01;

/// Fewer sure tokens than this decide nothing (choice: 2 expected mistakes).
const ENOUGH: usize = 200;

/// Expected number of wrong labels among tokens: hits and counts by bin.
type Counts = [[f64; 2]; BINS];

fn bin(confidence: f64) -> usize {
    let inside = confidence.clamp(1e-12, 1.0 - 1e-12);
    let logit = (inside / (1.0 - inside)).ln();
    (((logit - FIRST) / WIDTH).max(0.0) as usize).min(BINS - 1)
}

/// σ(β·logit) in the middle of a bin.
fn calibrated(bin: usize, beta: f64) -> f64 {
    let logit = FIRST + (bin as f64 + 0.5) * WIDTH;
    1.0 / (1.0 + (-beta * logit).exp())
}

/// Whether the calibrated model is sure of its best token.
fn is_sure(confidence: f64, beta: f64) -> bool {
    calibrated(bin(confidence), beta) > 1.0 - SURE
}

/// β and η of the largest likelihood: a grid, of β in its logarithm, refined around its best six times.
fn fit(counts: &Counts) -> (f64, f64) {
    let likelihood = |beta: f64, eta: f64| -> f64 {
        let of = |(bin, [hits, all]): (usize, &[f64; 2])| {
            let p = ((1.0 - eta) * calibrated(bin, beta)).clamp(1e-9, 1.0 - 1e-9);
            hits * p.ln() + (all - hits) * (1.0 - p).ln()
        };
        counts.iter().enumerate().filter(|(_, [_, all])| *all > 0.0).map(of).sum()
    };
    let [low, high] = BETAS.map(f64::ln);
    let (mut best, mut reach) = ((f64::midpoint(low, high), 0.1), ((high - low) / 2.0, 0.1));
    for _ in 0..7 {
        let grid = |(middle, reach): (f64, f64), low: f64, high: f64| -> Vec<f64> {
            (-12..=12).map(|step| (middle + reach * f64::from(step) / 12.0).clamp(low, high)).collect()
        };
        let etas = if reach.1 > 0.09 {
            (0..=40).map(|step| f64::from(step) / 40.0 * 0.95).collect()
        } else {
            grid((best.1, reach.1), 0.0, 0.95)
        };
        let mut largest = f64::NEG_INFINITY;
        for log_beta in grid((best.0, reach.0), low, high) {
            for eta in &etas {
                let here = likelihood(log_beta.exp(), *eta);
                if here > largest {
                    (largest, best) = (here, (log_beta, *eta));
                }
            }
        }
        reach = (reach.0 / 3.0, if reach.1 > 0.09 { 0.03 } else { reach.1 / 3.0 });
    }
    (best.0.exp(), best.1)
}

/// The estimate; `None` without a token or with fewer than two documents.
pub(crate) fn estimate(hits: &[Hit]) -> Option<LabelNoise> {
    let count = |without: Option<usize>| {
        let mut counts: Counts = [[0.0; 2]; BINS];
        for hit in hits.iter().filter(|hit| Some(hit.document % GROUPS) != without) {
            let [hits, all] = &mut counts[bin(hit.confidence)];
            *hits += f64::from(u8::from(hit.is_label));
            *all += 1.0;
        }
        counts
    };
    let mut groups: Vec<usize> = hits.iter().map(|hit| hit.document % GROUPS).collect();
    groups.sort_unstable();
    groups.dedup();
    let counts = count(None);
    let (beta, eta) = fit(&counts);
    let left_out: Vec<f64> = groups.iter().map(|group| fit(&count(Some(*group))).1).collect();
    let half = jackknife_half_width(&left_out)?;
    let is_sure = |hit: &&Hit| is_sure(hit.confidence, beta);
    let sure = hits.iter().filter(is_sure).count();
    // A fit at the bound 0 varies too little for the jackknife: the share of misses where the model is sure bounds η, too.
    let missed = hits.iter().filter(is_sure).filter(|hit| !hit.is_label).count();
    let bound = binomial_interval(missed, sure, 0.95).map_or(1.0, |share| share.high);
    let high = (eta + half).max(bound).min(1.0);
    let share = Estimate { value: eta, low: (eta - half).max(0.0), high, n: hits.len() };
    let total: f64 = counts.iter().map(|[_, all]| all).sum();
    let error =
        |(bin, [hits, all]): (usize, &[f64; 2])| ((1.0 - eta) * calibrated(bin, beta) * all - hits).abs();
    let calibration_error = counts.iter().enumerate().map(error).sum::<f64>() / total;
    let mut doubts = Vec::new();
    if sure < ENOUGH {
        doubts.push(format!("the model is sure of {sure} tokens only; {ENOUGH} would be needed"));
    }
    if calibration_error > 0.02 {
        doubts.push(format!("the fitted model is off by {:.1} % of the tokens", 100.0 * calibration_error));
    }
    if share.high - share.low > 0.1 {
        doubts.push("the interval is wider than 10 %".to_owned());
    }
    Some(LabelNoise { share, inverse_temperature: beta, sure, calibration_error, doubts })
}

impl LabelNoise {
    /// Whether nothing speaks against the estimate.
    pub(crate) fn is_trusted(&self) -> bool {
        self.doubts.is_empty()
    }

    /// Whether the calibrated model is sure of a token: of others η says nothing.
    pub(crate) fn is_sure(&self, confidence: f64) -> bool {
        is_sure(confidence, self.inverse_temperature)
    }

    /// The probability that a label is wrong that is not the model's best token.
    pub(crate) fn suspicion(&self, confidence: f64) -> f64 {
        let (eta, hit) = (self.share.value, calibrated(bin(confidence), self.inverse_temperature));
        let missed = eta + (1.0 - eta) * (1.0 - hit);
        if missed > 0.0 { eta / missed } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use tokensieve_base::streams::Stream;

    use super::*;

    /// Tokens of a model that is too sure by the factor 1/`beta`, with wrong labels.
    fn sample(eta: f64, beta: f64, n: usize) -> Vec<Hit> {
        let mut stream = Stream::new(4, "hits");
        (0..n)
            .map(|i| {
                let logit = 8.0 * stream.uniform() - 1.0;
                let right = stream.uniform() < 1.0 / (1.0 + (-beta * logit).exp());
                let is_label = right && stream.uniform() >= eta;
                Hit { document: i / 50, confidence: 1.0 / (1.0 + (-logit).exp()), is_label }
            })
            .collect()
    }

    #[test]
    fn noise_and_overconfidence_are_told_apart() {
        for (eta, beta) in [(0.0, 1.0), (0.0, 0.7), (0.05, 1.0), (0.3, 0.8), (0.05, 3.0)] {
            let noise = estimate(&sample(eta, beta, 20_000)).unwrap();
            assert!((noise.share.value - eta).abs() < 0.02, "{eta} {beta}: {noise:?}");
            let off = (noise.inverse_temperature - beta).abs();
            assert!(off < 0.1 * beta.max(1.0), "{eta} {beta}: {noise:?}");
            assert!(noise.share.low <= eta + 0.005 && noise.share.high >= eta - 0.005, "{noise:?}");
            assert!(noise.calibration_error < 0.02);
        }
    }

    #[test]
    fn that_none_is_seen_does_not_make_it_none() {
        let hits: Vec<Hit> =
            (0..300).map(|i| Hit { document: i / 20, confidence: 0.9999, is_label: true }).collect();
        let share = estimate(&hits).unwrap().share;
        // 1 − 0.025^(1/300)
        assert!(share.low == 0.0 && (0.012..0.013).contains(&share.high), "{share:?}");
    }

    #[test]
    fn what_the_estimate_cannot_know_is_a_doubt() {
        let unsure: Vec<Hit> =
            (0..500).map(|i| Hit { document: i / 20, confidence: 0.5, is_label: i % 2 == 0 }).collect();
        let noise = estimate(&unsure).unwrap();
        assert!(noise.doubts.iter().any(|doubt| doubt.contains("0 tokens")), "{noise:?}");
        assert!(estimate(&[]).is_none());
        let noise = estimate(&sample(0.1, 1.0, 20_000)).unwrap();
        assert!(noise.doubts.is_empty(), "{noise:?}");
        assert!(noise.suspicion(0.999) > 0.9 && noise.suspicion(0.3) < 0.2);
    }
}
