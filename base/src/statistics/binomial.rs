//! The binomial distribution: exact intervals of a share.

use super::{Estimate, bisect};

/// Halvings of the interval in which an end is looked for: to the last bit.
const HALVINGS: usize = 60;

/// Clopper and Pearson's interval of a share of `n` of which `hits` were seen, with at least this coverage; none of nothing.
pub fn binomial_interval(hits: usize, n: usize, coverage: f64) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let tail = (1.0 - coverage) / 2.0;
    let low = if hits == 0 { 0.0 } else { root(|share| binomial_upper(hits, n, share) < tail) };
    let high = if hits == n { 1.0 } else { root(|share| binomial_upper(hits + 1, n, share) <= 1.0 - tail) };
    Some(Estimate { value: hits as f64 / n as f64, low, high, n })
}

/// Where a condition that holds from 0 on ends.
fn root(holds: impl Fn(f64) -> bool) -> f64 {
    let (low, high) = bisect(0.0, 1.0, HALVINGS, holds);
    f64::midpoint(low, high)
}

/// P(X ≥ `k`) for X binomial(`n`, `share`), 0 < `share` < 1, each term through log-gamma.
pub(super) fn binomial_upper(k: usize, n: usize, share: f64) -> f64 {
    let log_factorial = |m: usize| libm::lgamma(m as f64 + 1.0);
    let (log_hit, log_miss) = (libm::log(share), libm::log1p(-share));
    let log_term = |i: usize| {
        log_factorial(n) - log_factorial(i) - log_factorial(n - i)
            + i as f64 * log_hit
            + (n - i) as f64 * log_miss
    };
    // The small terms first.
    (k..=n).rev().map(|i| libm::exp(log_term(i))).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::close;

    /// R's `binom.test`.
    #[test]
    fn intervals_are_exact() {
        let ends = |hits, n, coverage| {
            let found = binomial_interval(hits, n, coverage).unwrap();
            (found.low, found.high)
        };
        let (low, high) = ends(56, 60, 0.95);
        assert!(close(low, 0.8380, 1e-4) && close(high, 0.9815, 1e-4), "{low} {high}");
        let (low, high) = ends(0, 10, 0.95);
        assert!(low <= 0.0 && close(high, 1.0 - libm::pow(0.025, 0.1), 1e-9), "{low} {high}");
        let (low, high) = ends(10, 10, 0.9);
        assert!(close(low, libm::pow(0.05, 0.1), 1e-9) && high >= 1.0, "{low} {high}");
        assert_eq!(binomial_interval(0, 0, 0.95), None);
    }
}
