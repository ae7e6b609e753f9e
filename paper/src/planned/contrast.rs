//! Differences between runs, over seeds.

use crate::Estimate;
use serde::{Deserialize, Serialize};
use tokensieve_base::statistics::{mean, mean_interval, standard_error};

/// The mean over seeds with its interval, which is the number itself where there is only one.
pub fn over_seeds(values: &[f64]) -> Option<Estimate> {
    match values {
        [one] => Some(Estimate { value: *one, low: *one, high: *one, n: 1 }),
        several => mean_interval(several),
    }
}

/// A difference of means over seeds, paired.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Seeds that have both.
    pub seeds: usize,
    /// Mean of the first.
    pub value: f64,
    /// Mean of the second.
    pub versus: f64,
    /// Mean difference.
    pub difference: f64,
    /// Standard error of the difference.
    pub error: f64,
    /// Lower end of Student's 95 % interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

impl Difference {
    /// Of pairs; `None` for fewer than two.
    pub fn of(pairs: &[[f64; 2]]) -> Option<Self> {
        let differences: Vec<f64> = pairs.iter().map(|[a, b]| a - b).collect();
        let Estimate { value, low, high, n } = mean_interval(&differences)?;
        let column = |at: usize| mean(&pairs.iter().map(|pair| pair[at]).collect::<Vec<_>>());
        Some(Self {
            seeds: n,
            value: column(0)?,
            versus: column(1)?,
            difference: value,
            error: standard_error(&differences)?,
            low,
            high,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_paired() {
        let found = Difference::of(&[[1.0, 0.5], [2.0, 1.4], [3.0, 2.6]]).unwrap();
        assert!((found.value - 2.0).abs() < 1e-12 && (found.versus - 1.5).abs() < 1e-12);
        assert!((found.difference - 0.5).abs() < 1e-12 && found.low < 0.5 && found.high > 0.5);
        // The standard deviation of 0.5, 0.6, 0.4 is 0.1.
        assert!((found.error - 0.1 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((found.seeds, Difference::of(&[[1.0, 2.0]])), (3, None));
    }
}
