//! Student's distribution, and the intervals and tests of a mean that rest on it.

use super::{Estimate, bisect, is_rounding, mean, standard_error};

/// Mean with Student's 95 % interval; `None` for fewer than two values.
pub fn mean_interval(values: &[f64]) -> Option<Estimate> {
    let (value, error) = (mean(values)?, standard_error(values)?);
    let half = student_quantile(0.975, values.len() - 1)? * error;
    Some(Estimate { value, low: value - half, high: value + half, n: values.len() })
}

/// Two-sided p-value of Student's test that the mean of `values` (differences of pairs, usually) is zero.
///
/// Values that are all the same give 1: counts of a few answers are so by chance, and how much they vary is not known.
pub fn student_test(values: &[f64]) -> Option<f64> {
    let (value, error) = (mean(values)?, standard_error(values)?);
    let is_same = is_rounding(error, value.abs());
    Some(if is_same { 1.0 } else { 2.0 * student_tail((value / error).abs(), values.len() - 1) })
}

/// Half the width of Student's 95 % interval by the jackknife: of a statistic's values with each one of n things `left_out` in
/// turn. Of few things a bootstrap's percentiles are too narrow, of ten by a seventh. `None` for fewer than two values.
pub fn jackknife_half_width(left_out: &[f64]) -> Option<f64> {
    let error = standard_error(left_out)? * (left_out.len() - 1) as f64;
    Some(student_quantile(0.975, left_out.len() - 1)? * error)
}

/// P(X ≤ t) for Student's distribution with `freedom` degrees of freedom.
pub fn student_cdf(t: f64, freedom: usize) -> f64 {
    if t > 0.0 { 1.0 - student_tail(t, freedom) } else { student_tail(-t, freedom) }
}

/// P(X ≥ t) for t ≥ 0, accurate where it is tiny.
fn student_tail(t: f64, freedom: usize) -> f64 {
    let nu = freedom as f64;
    let whole = nu + t * t;
    0.5 * incomplete_beta(nu / 2.0, 0.5, nu / whole, t * t / whole)
}

/// The t with P(X ≤ t) = `probability`; `None` outside (0, 1) or without a degree of freedom.
pub fn student_quantile(probability: f64, freedom: usize) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0) || freedom == 0 {
        return None;
    }
    let mut bound = 1.0;
    while student_cdf(bound, freedom) < probability.max(1.0 - probability) {
        bound *= 2.0;
    }
    // Each halving wins one bit: 80 exhaust a double's 53 from any bracket that a tail needs.
    let (low, high) = bisect(-bound, bound, 80, |t| student_cdf(t, freedom) < probability);
    Some(f64::midpoint(low, high))
}

/// Regularised incomplete beta function by its continued fraction (Lentz's evaluation), `y` being 1 − `x`:
/// the caller has it without cancellation.
fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    // The fraction converges fast below the mean; above it, use the symmetry I_x(a,b) = 1 − I_{1−x}(b,a).
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, y, x);
    }
    let log_front = a * libm::log(x) + b * libm::log(y) + libm::lgamma(a + b)
        - libm::lgamma(a)
        - libm::lgamma(b)
        - libm::log(a);
    let guard = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..300_u32 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / guard(1.0 + coefficient * d);
            c = guard(1.0 + coefficient / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    libm::exp(log_front) * fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::close;

    /// Against the printed tables (three decimals), and the Cauchy and normal ends in closed form.
    #[test]
    fn student_quantiles() {
        for (freedom, table) in [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (31, 2.040), (999, 1.962)] {
            let t = student_quantile(0.975, freedom).unwrap();
            assert!(close(t, table, 6e-4), "{freedom}: {t}");
            assert!(close(student_quantile(0.025, freedom).unwrap(), -t, 1e-9));
        }
        assert!(close(student_cdf(1.0, 1), 0.75, 1e-13));
        assert!(close(student_quantile(0.5, 7).unwrap(), 0.0, 1e-12));
        assert_eq!(student_quantile(1.0, 4), None);
        assert_eq!(student_quantile(0.5, 0), None);
    }

    /// Of a mean the jackknife is Student's interval.
    #[test]
    fn the_jackknife_of_a_mean_is_students() {
        let values = [2.1, 1.9, 2.4, 2.0, 1.6];
        let of = mean_interval(&values).unwrap();
        let sum: f64 = values.iter().sum();
        let half = jackknife_half_width(&values.map(|value| (sum - value) / 4.0)).unwrap();
        assert!(close(half, of.high - of.value, 1e-12), "{half} {of:?}");
        assert_eq!(jackknife_half_width(&[1.0]), None);
        let narrow = Estimate { low: of.value - 0.001, high: of.high + 1.0, ..of }.reaching(half);
        assert!(close(narrow.low, of.low, 1e-12) && close(narrow.high, of.high + 1.0, 1e-12), "{narrow:?}");
    }

    #[test]
    fn interval_and_test_of_a_mean_agree() {
        let values = [2.1, 1.9, 2.4, 2.0, 1.6];
        let estimate = mean_interval(&values).unwrap();
        assert!(
            close(estimate.value, 2.0, 1e-12) && close(estimate.high - 2.0, 0.3620, 1e-3),
            "{estimate:?}"
        );
        let shifted: Vec<f64> = values.iter().map(|v| v - estimate.low).collect();
        assert!(close(student_test(&shifted).unwrap(), 0.05, 1e-9));
        // Far out, where 1 − P(X ≤ t) would be all rounding: with one degree of freedom the tail is 1/(πt).
        assert!(close(student_tail(1e12, 1) * 1e12 * std::f64::consts::PI, 1.0, 1e-12));
        assert_eq!(student_test(&[1.0, 1.0]), Some(1.0));
        assert_eq!(student_test(&[0.0, 0.0]), Some(1.0));
        // However the mean of equal differences is rounded.
        for values in [vec![18.0 / 24.0 - 17.0 / 24.0, 5.0 / 24.0 - 4.0 / 24.0], vec![0.1; 3]] {
            assert_eq!(student_test(&values), Some(1.0), "{values:?}");
        }
        for n in 2..40 {
            let values = vec![5.0 / 11.0 - 4.0 / 11.0; n];
            assert_eq!(student_test(&values), Some(1.0), "{n}");
            assert!(mean_interval(&values).unwrap().is_without_spread(), "{n}");
        }
        assert!(student_test(&[1.0, 1.0 + 1e-10]).unwrap() < 1e-9);
        assert_eq!(mean_interval(&[1.0]), None);
    }
}
