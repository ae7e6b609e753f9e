//! The exact sign test.

/// Two-sided exact sign test: p-value of `wins` against `losses` (ties left out) if both were equally likely.
pub fn sign_test(wins: usize, losses: usize) -> f64 {
    (2.0 * binomial_upper_half(wins.max(losses), wins + losses)).min(1.0)
}

/// One-sided exact sign test: p-value of seeing at least `wins` if a loss were as likely as a win.
pub fn sign_test_greater(wins: usize, losses: usize) -> f64 {
    binomial_upper_half(wins, wins + losses)
}

/// Wins, losses and ties of `a` against `b`, pair by pair: what [`sign_test`] wants.
pub fn sign_counts(a: &[f64], b: &[f64]) -> (usize, usize, usize) {
    a.iter().zip(b).fold((0, 0, 0), |(wins, losses, ties), (x, y)| {
        (wins + usize::from(x > y), losses + usize::from(x < y), ties + usize::from(x == y))
    })
}

/// P(X ≥ `k`) for X binomial(`n`, ½), each term through log-gamma.
pub(super) fn binomial_upper_half(k: usize, n: usize) -> f64 {
    let log_factorial = |m: usize| libm::lgamma(m as f64 + 1.0);
    let log_term =
        |i| log_factorial(n) - log_factorial(i) - log_factorial(n - i) - n as f64 * std::f64::consts::LN_2;
    (k..=n).rev().map(|i| libm::exp(log_term(i))).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::close;

    #[test]
    fn sign_tests_are_exact() {
        assert!(close(sign_test(5, 0), 0.0625, 1e-14));
        assert!(close(sign_test_greater(5, 0), 0.03125, 1e-14));
        assert!(close(sign_test(8, 2), 2.0 * 56.0 / 1024.0, 1e-14));
        assert_eq!(sign_test(3, 3), 1.0);
        assert_eq!(sign_test(0, 0), 1.0);
        assert!(close(sign_test_greater(0, 4), 1.0, 1e-14));
        assert_eq!(sign_counts(&[1.0, 2.0, 3.0], &[0.0, 2.0, 4.0]), (1, 1, 1));
    }
}
