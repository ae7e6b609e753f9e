//! Statistics that tables, claims and evaluations share: ranks, correlations, intervals, exact tests.
//!
//! Every function but [`bootstrap_counts`] returns `None` where its answer is undefined (too few values, a NaN, a constant
//! sample) instead of a NaN that a figure would draw as a gap and a claim would read as "false".

#![allow(clippy::float_cmp, reason = "ties are exact equality by definition")]

mod binomial;
mod bootstrap;
mod order;
mod power;
mod ranks;
mod several;
mod sign;
mod student;

use serde::{Deserialize, Serialize};

pub use binomial::binomial_interval;
pub use bootstrap::{bootstrap, bootstrap_counts};
pub use order::{median_band, median_interval, quantile};
pub use power::{detectable_effect, deviation_limit, equivalence_power, student_power};
pub use ranks::{among_largest, auroc, mid_ranks, pearson, spearman};
pub use several::{equivalence_test, holm};
pub use sign::{sign_counts, sign_test};
pub use student::{jackknife_half_width, mean_interval, student_cdf, student_quantile, student_test};

/// A number with the interval that it comes with, and how many values it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Number of values behind it.
    pub n: usize,
}

impl Estimate {
    /// Whether the whole interval lies above `bound`.
    pub fn above(&self, bound: f64) -> bool {
        self.low > bound
    }

    /// Whether the whole interval lies below `bound`.
    pub fn below(&self, bound: f64) -> bool {
        self.high < bound
    }

    /// Whether the interval has no width, but for what rounding gives it. What it was made from was the same each time.
    pub fn is_without_spread(&self) -> bool {
        is_rounding(self.high - self.low, self.high.abs().max(self.low.abs()))
    }

    /// With an interval that reaches at least so far from the value on both sides.
    #[must_use]
    pub fn reaching(self, half_width: f64) -> Self {
        let (low, high) = (self.value - half_width, self.value + half_width);
        Self { low: self.low.min(low), high: self.high.max(high), ..self }
    }
}

/// Whether a spread of numbers of this size is rounding alone: the mean of equal differences such as 5/11 − 4/11 need not be
/// one of them.
fn is_rounding(spread: f64, size: f64) -> bool {
    spread <= 1e-12 * size
}

/// Arithmetic mean, summed in order; `None` if empty or not finite.
pub fn mean(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

/// Standard error of the mean, from the sample variance (n − 1); `None` for fewer than two values.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    let (mean, n) = (mean(values)?, values.len() as f64);
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt())
}

/// Where a condition that holds below some number ends between `low` and `high`: both ends after so many halvings.
pub fn bisect(mut low: f64, mut high: f64, halvings: usize, holds: impl Fn(f64) -> bool) -> (f64, f64) {
    for _ in 0..halvings {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

#[cfg(test)]
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}
