//! From logits to what an objective may look at: a stable softmax in fixed order on the pure-Rust `libm`.

use tokensieve_objective::TokenStats;

/// Turns logits into probabilities in place; returns (log of the partition sum, entropy in nats).
///
/// The largest logit is taken off first, so nothing overflows; the entropy is
/// log Σe^z − Σ p z, which needs no further logarithm per entry.
///
/// # Panics
/// On an empty slice, in debug builds.
pub fn softmax(logits: &mut [f64]) -> (f64, f64) {
    debug_assert!(!logits.is_empty(), "a softmax needs at least one logit");
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    let mut weighted = 0.0;
    for z in logits.iter_mut() {
        let shifted = *z - largest;
        let e = libm::exp(shifted);
        sum += e;
        // A logit of −∞ is a probability of 0, which adds nothing to the entropy.
        if e > 0.0 {
            weighted += e * shifted;
        }
        *z = e;
    }
    for p in logits.iter_mut() {
        *p /= sum;
    }
    let log_sum = libm::log(sum);
    // Rounding may leave a certain prediction's entropy a hair below 0.
    (log_sum + largest, (log_sum - weighted / sum).max(0.0))
}

/// Statistics of one token from its logits, which become the probabilities.
pub fn token_stats(logits: &mut [f64], label: usize) -> TokenStats {
    let label_logit = logits[label];
    let (log_partition, entropy) = softmax(logits);
    let mut stats = TokenStats::new((log_partition - label_logit).max(0.0), entropy);
    stats.vocabulary = u32::try_from(logits.len()).unwrap_or(u32::MAX);
    stats
}

/// Entropy in nats of a distribution given by its probabilities.
pub fn entropy(p: &[f64]) -> f64 {
    -p.iter().filter(|p| **p > 0.0).map(|p| p * libm::log(*p)).sum::<f64>()
}

/// Entropy in nats of the `k` largest probabilities, renormalised to sum to one.
pub fn top_entropy(p: &[f64], k: usize) -> f64 {
    let mut sorted = p.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted.truncate(k);
    let sum: f64 = sorted.iter().sum();
    for p in &mut sorted {
        *p /= sum;
    }
    entropy(&sorted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]
    use super::*;
    use tokensieve_base::streams::Stream;

    #[test]
    fn agrees_with_the_definition() {
        let mut stream = Stream::new(1, "softmax");
        for case in 0..200 {
            let logits: Vec<f64> = (0..2 + case % 40).map(|_| 3.0 * stream.normal()).collect();
            let label = stream.below(logits.len());
            let sum: f64 = logits.iter().map(|z| libm::exp(*z)).sum();
            let p: Vec<f64> = logits.iter().map(|z| libm::exp(*z) / sum).collect();
            let mut ours = logits.clone();
            let stats = token_stats(&mut ours, label);
            for (ours, p) in ours.iter().zip(&p) {
                assert!((ours - p).abs() < 1e-14, "{ours} {p}");
            }
            assert!((stats.loss + libm::log(p[label])).abs() < 1e-12);
            assert!((stats.entropy - entropy(&p)).abs() < 1e-12);
            assert!((top_entropy(&p, p.len()) - entropy(&p)).abs() < 1e-12);
        }
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let mut logits = [1000.0, -1000.0, f64::NEG_INFINITY];
        let stats = token_stats(&mut logits, 1);
        assert_eq!(logits, [1.0, 0.0, 0.0]);
        assert_eq!((stats.loss, stats.entropy), (2000.0, 0.0));
        let mut equal = [-5e8; 4];
        assert!((token_stats(&mut equal, 0).entropy - libm::log(4.0)).abs() < 1e-15);
    }
}
