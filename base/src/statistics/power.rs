//! What tests of a mean will find, before there are values: for plans. Effects are in standard deviations of one value, which
//! is normal.

use super::{bisect, student_quantile};

/// Simpson's rule over the scaled chi distribution: intervals, and an end beyond which nothing is left from 3 degrees of freedom.
const INTERVALS: u32 = 4000;
const END: f64 = 6.0;

/// The probability that Student's two-sided test of `n` values at `level` rejects zero where the mean is `effect`; `None` for
/// fewer than two values or a level outside (0, 1).
pub fn student_power(effect: f64, n: usize, level: f64) -> Option<f64> {
    let freedom = n.checked_sub(1)?;
    let critical = student_quantile(1.0 - level / 2.0, freedom)?;
    let shift = effect * (n as f64).sqrt();
    Some(expected(freedom, |s| normal_cdf(shift - critical * s) + normal_cdf(-shift - critical * s)))
}

/// The probability that two one-sided tests of `n` values at `level` place the mean within `bound` of zero where it is zero.
pub fn equivalence_power(bound: f64, n: usize, level: f64) -> Option<f64> {
    let freedom = n.checked_sub(1)?;
    let critical = student_quantile(1.0 - level, freedom)?;
    let inside = |s: f64| (2.0 * normal_cdf(bound * (n as f64).sqrt() - critical * s) - 1.0).max(0.0);
    Some(expected(freedom, inside))
}

/// The least effect that [`student_power`] finds with a probability of `power`, from `level` to 1.
pub fn detectable_effect(power: f64, n: usize, level: f64) -> Option<f64> {
    if !(power > level && power < 1.0) {
        return None;
    }
    let mut high = 1.0;
    while student_power(high, n, level)? < power {
        high *= 2.0;
    }
    let is_missed = |effect| student_power(effect, n, level).is_some_and(|found| found < power);
    Some(bisect(0.0, high, 50, is_missed).1)
}

/// How many times the standard deviation of `n` values may be exceeded by the true one, with a confidence of 80 %.
pub fn deviation_limit(n: usize) -> Option<f64> {
    let freedom = n.checked_sub(1).filter(|freedom| *freedom > 0)?;
    let (_, high) = bisect(0.0, END, 50, |ratio| integral(ratio, |s| density(s, freedom)) < 0.2);
    Some(1.0 / high)
}

/// The mean of a function of the ratio of a sample's standard deviation to the true one.
fn expected(freedom: usize, of: impl Fn(f64) -> f64) -> f64 {
    integral(END, |s| of(s) * density(s, freedom)).clamp(0.0, 1.0)
}

/// The density of that ratio, whose square times `freedom` has a χ² distribution.
fn density(s: f64, freedom: usize) -> f64 {
    let half = freedom as f64 / 2.0;
    if s <= 0.0 {
        return if freedom == 1 { 2.0 * libm::exp(half * libm::log(half) - libm::lgamma(half)) } else { 0.0 };
    }
    let log = half * libm::log(half) - libm::lgamma(half) + (2.0 * half - 1.0) * libm::log(s) - half * s * s;
    2.0 * libm::exp(log)
}

/// From zero to an end, by Simpson's rule.
fn integral(end: f64, of: impl Fn(f64) -> f64) -> f64 {
    let step = end / f64::from(INTERVALS);
    let weight = |at: u32| match (at, at % 2) {
        (0 | INTERVALS, _) => 1.0,
        (_, 1) => 4.0,
        _ => 2.0,
    };
    (0..=INTERVALS).map(|at| weight(at) * of(f64::from(at) * step)).sum::<f64>() * step / 3.0
}

fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{close, equivalence_test, student_test};
    use crate::streams::Stream;

    #[test]
    fn power_is_the_level_without_an_effect_and_rises_with_it() {
        for (n, level) in [(4, 0.05), (20, 0.05), (20, 0.004)] {
            assert!(close(student_power(0.0, n, level).unwrap(), level, 1e-6));
            let effect = detectable_effect(0.8, n, level).unwrap();
            assert!(close(student_power(effect, n, level).unwrap(), 0.8, 1e-9));
            assert!(student_power(effect * 1.1, n, level).unwrap() > 0.8);
        }
        // Cohen's table for one sample of 20: half a standard deviation is found with 56 %.
        assert!(close(student_power(0.5, 20, 0.05).unwrap(), 0.5645, 1e-3));
        assert_eq!(student_power(1.0, 1, 0.05), None);
        assert_eq!(detectable_effect(1.0, 20, 0.05), None);
    }

    /// Against tests of drawn values.
    #[test]
    fn power_is_the_share_of_samples_that_the_tests_decide() {
        let (n, samples, effect, bound) = (6, 4000, 1.2, 1.4);
        let mut stream = Stream::new(7, "power");
        let draws: Vec<f64> = (0..n * samples).map(|_| stream.normal()).collect();
        let share = |is: &dyn Fn(&[f64]) -> bool| {
            draws.chunks(n).filter(|sample| is(sample)).count() as f64 / samples as f64
        };
        let shifted = |sample: &[f64]| sample.iter().map(|value| value + effect).collect::<Vec<_>>();
        let found = share(&|sample| student_test(&shifted(sample)).unwrap() <= 0.05);
        assert!(close(found, student_power(effect, n, 0.05).unwrap(), 0.03), "{found}");
        let equal = share(&|sample| equivalence_test(sample, bound).unwrap() <= 0.05);
        assert!(close(equal, equivalence_power(bound, n, 0.05).unwrap(), 0.03), "{equal}");
    }

    /// χ² with 3 degrees of freedom is below 1.0052 with 20 %, with 1 below 0.06418.
    #[test]
    fn the_true_deviation_may_be_larger() {
        assert!(close(deviation_limit(4).unwrap(), (3.0_f64 / 1.0052).sqrt(), 1e-3));
        assert!(close(deviation_limit(2).unwrap(), (1.0_f64 / 0.06418).sqrt(), 1e-2));
        assert_eq!(deviation_limit(1), None);
    }
}
