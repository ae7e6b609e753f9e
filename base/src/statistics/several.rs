//! Several tests together, and tests that a difference is small.

use super::{is_rounding, mean, standard_error, student_cdf};

/// Holm's adjusted p-values of a family of tests, in the order of `p`: the family's rate of false alarms stays below any
/// level at which the adjusted ones are judged.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (at, test) in order.into_iter().enumerate() {
        largest = largest.max((p.len() - at) as f64 * p[test]).min(1.0);
        adjusted[test] = largest;
    }
    adjusted
}

/// p-value of two one-sided tests that the mean of `values` lies within `bound` of zero; 1 where all are the same, as of
/// Student's test; `None` for fewer than two values.
pub fn equivalence_test(values: &[f64], bound: f64) -> Option<f64> {
    let (value, error) = (mean(values)?, standard_error(values)?);
    let freedom = values.len() - 1;
    if is_rounding(error, value.abs()) {
        return Some(1.0);
    }
    let above = |distance: f64| 1.0 - student_cdf(distance / error, freedom);
    Some(above(value + bound).max(above(bound - value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{close, student_quantile};

    /// Worked by hand: 3·0.01, max(0.03, 2·0.02), max(0.04, 0.03).
    #[test]
    fn holm_multiplies_by_the_tests_that_are_left() {
        let adjusted = holm(&[0.02, 0.01, 0.03]);
        assert!(adjusted.iter().zip([0.04, 0.03, 0.04]).all(|(a, b)| close(*a, b, 1e-12)), "{adjusted:?}");
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    /// The p-value is 5 % where the 90 % interval just fits between the bounds.
    #[test]
    fn what_is_equivalent_has_its_interval_within_the_bounds() {
        let values = [0.01, -0.02, 0.03, 0.0, 0.01];
        let half = student_quantile(0.95, 4).unwrap() * standard_error(&values).unwrap();
        let bound = mean(&values).unwrap() + half;
        assert!(close(equivalence_test(&values, bound).unwrap(), 0.05, 1e-9));
        assert!(equivalence_test(&values, 2.0 * bound).unwrap() < 0.01);
        assert!(equivalence_test(&values, 0.5 * bound).unwrap() > 0.05);
        assert_eq!(equivalence_test(&[0.0, 0.0], 0.1), Some(1.0));
        assert_eq!(equivalence_test(&[0.1; 3], 0.2), Some(1.0));
    }
}
