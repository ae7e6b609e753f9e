//! The exact sign test.

use super::binomial::binomial_upper;

/// Two-sided exact sign test: p-value of `wins` against `losses` (ties left out) if both were equally likely.
pub fn sign_test(wins: usize, losses: usize) -> f64 {
    (2.0 * binomial_upper(wins.max(losses), wins + losses, 0.5)).min(1.0)
}

/// Wins, losses and ties of `a` against `b`, pair by pair: what [`sign_test`] wants.
pub fn sign_counts(a: &[f64], b: &[f64]) -> (usize, usize, usize) {
    a.iter().zip(b).fold((0, 0, 0), |(wins, losses, ties), (x, y)| {
        (wins + usize::from(x > y), losses + usize::from(x < y), ties + usize::from(x == y))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::close;

    #[test]
    fn sign_tests_are_exact() {
        assert!(close(sign_test(5, 0), 0.0625, 1e-14));
        assert!(close(sign_test(8, 2), 2.0 * 56.0 / 1024.0, 1e-14));
        assert_eq!(sign_test(3, 3), 1.0);
        assert_eq!(sign_test(0, 0), 1.0);
        assert_eq!(sign_counts(&[1.0, 2.0, 3.0], &[0.0, 2.0, 4.0]), (1, 1, 1));
    }
}
