//! The statistics that tables and claims share: ranks, correlations, intervals, exact tests.
//!
//! Every function returns `None` where its answer is undefined (too few values, a NaN, a constant sample)
//! instead of a NaN that a figure would draw as a gap and a claim would read as "false".

#![allow(clippy::float_cmp, reason = "ties are exact equality by definition")]

use serde::{Deserialize, Serialize};

use crate::rng::Stream;

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

    /// With an interval that reaches at least so far from the value on both sides.
    #[must_use]
    pub fn reaching(self, half_width: f64) -> Self {
        let (low, high) = (self.value - half_width, self.value + half_width);
        Self { low: self.low.min(low), high: self.high.max(high), ..self }
    }
}

/// Ranks 1..=n; tied values share the mean of the ranks that they occupy.
pub fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        // `==`, not bits: 0.0 and −0.0 are a tie.
        let end = (start + 1..order.len())
            .find(|&i| values[order[i]] != values[order[start]])
            .unwrap_or(order.len());
        let shared = (start + end + 1) as f64 / 2.0;
        for &i in &order[start..end] {
            ranks[i] = shared;
        }
        start = end;
    }
    ranks
}

/// Pearson's correlation; `None` for fewer than two pairs, unequal lengths, a constant or a non-finite sample.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let (mean_x, mean_y) = (mean(x)?, mean(y)?);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mean_x, b - mean_y);
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    let scale = xx.sqrt() * yy.sqrt();
    (scale > 0.0 && scale.is_finite()).then(|| (xy / scale).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation with mid-ranks for ties; `None` as for [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if !x.iter().chain(y).all(|v| v.is_finite()) {
        return None;
    }
    pearson(&mid_ranks(x), &mid_ranks(y))
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

/// Mean with Student's 95 % interval; `None` for fewer than two values.
pub fn mean_interval(values: &[f64]) -> Option<Estimate> {
    let (value, error) = (mean(values)?, standard_error(values)?);
    let half = student_quantile(0.975, values.len() - 1)? * error;
    Some(Estimate { value, low: value - half, high: value + half, n: values.len() })
}

/// Two-sided p-value of Student's test that the mean of `values` (differences of pairs, usually) is zero.
///
/// Values that are all equal and not zero give 0: no spread contradicts the difference.
pub fn student_test(values: &[f64]) -> Option<f64> {
    let (value, error) = (mean(values)?, standard_error(values)?);
    match (value == 0.0, error == 0.0) {
        (true, true) => Some(1.0),
        (false, true) => Some(0.0),
        _ => Some(2.0 * student_tail((value / error).abs(), values.len() - 1)),
    }
}

/// The `q`-quantile by linear interpolation between order statistics (R's type 7).
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    quantile_of_sorted(&sorted(values)?, q)
}

/// Median with the central `coverage` band of the values themselves: their spread, not the median's error.
pub fn median_band(values: &[f64], coverage: f64) -> Option<Estimate> {
    let sorted = sorted(values)?;
    let at = |q| quantile_of_sorted(&sorted, q);
    let tail = (1.0 - coverage) / 2.0;
    Some(Estimate { value: at(0.5)?, low: at(tail)?, high: at(1.0 - tail)?, n: values.len() })
}

/// Median with its exact distribution-free interval of at least 95 %: two order statistics, by the sign test.
///
/// `None` for fewer than six values: not even their whole range covers the median with 95 %.
pub fn median_interval(values: &[f64]) -> Option<Estimate> {
    let sorted = sorted(values)?;
    let n = sorted.len();
    // The largest r with P(fewer than r of n fall below the median) ≤ 2.5 %: the interval is [x₍ᵣ₎, x₍ₙ₊₁₋ᵣ₎].
    let r = (1..=n / 2).take_while(|&r| binomial_upper_half(n + 1 - r, n) <= 0.025).last()?;
    Some(Estimate { value: quantile_of_sorted(&sorted, 0.5)?, low: sorted[r - 1], high: sorted[n - r], n })
}

/// `statistic` of `values` with its 95 % percentile-bootstrap interval over `resamples` resamples.
///
/// To resample pairs or clusters, let `values` be their indices' items: any `T` will do.
/// `None` if the statistic is undefined on the sample, or on more than half of the resamples.
pub fn bootstrap<T: Clone>(
    values: &[T],
    resamples: usize,
    stream: &mut Stream,
    statistic: impl Fn(&[T]) -> Option<f64>,
) -> Option<Estimate> {
    let value = statistic(values)?;
    let mut sample = values.to_vec();
    let mut draws = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        for slot in &mut sample {
            slot.clone_from(&values[stream.below(values.len())]);
        }
        draws.extend(statistic(&sample));
    }
    if draws.is_empty() || draws.len() * 2 < resamples {
        return None;
    }
    let band = median_band(&draws, 0.95)?;
    Some(Estimate { value, low: band.low, high: band.high, n: values.len() })
}

/// Half the width of Student's 95 % interval by the jackknife: of a statistic's values with each one of n things `left_out` in
/// turn. Of few things a bootstrap's percentiles are too narrow, of ten by a seventh. `None` for fewer than two values.
pub fn jackknife_half_width(left_out: &[f64]) -> Option<f64> {
    let error = standard_error(left_out)? * (left_out.len() - 1) as f64;
    Some(student_quantile(0.975, left_out.len() - 1)? * error)
}

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
    let (mut low, mut high) = (-bound, bound);
    // Each halving wins one bit: 80 exhaust a double's 53 from any bracket that a tail needs.
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if student_cdf(middle, freedom) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(f64::midpoint(low, high))
}

fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let (low, high, fraction) = (sorted[below], sorted[above], place - place.floor());
    // An infinite neighbour at weight zero would turn ∞·0 into NaN.
    Some(if fraction == 0.0 || low == high { low } else { low + fraction * (high - low) })
}

/// P(X ≥ `k`) for X binomial(`n`, ½), each term through log-gamma.
fn binomial_upper_half(k: usize, n: usize) -> f64 {
    let log_factorial = |m: usize| libm::lgamma(m as f64 + 1.0);
    let log_term =
        |i| log_factorial(n) - log_factorial(i) - log_factorial(n - i) - n as f64 * std::f64::consts::LN_2;
    (k..=n).rev().map(|i| libm::exp(log_term(i))).sum::<f64>().min(1.0)
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
    use proptest::prelude::*;

    fn close(a: f64, b: f64, tolerance: f64) -> bool {
        (a - b).abs() <= tolerance
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(mid_ranks(&[3.0, 1.0, 3.0, 0.0, -0.0, 3.0]), [5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
        assert!(mid_ranks(&[]).is_empty());
    }

    #[test]
    fn correlations_of_known_samples() {
        // 1 − 6·Σd²/(n(n²−1)) with d = (0, 1, −1, 0, 0).
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 9.0, 4.0, 16.0, 25.0]).unwrap();
        assert!(close(rho, 0.9, 1e-15));
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 2.0]), None);
        assert!(close(pearson(&[0.0, 1.0, 2.0], &[5.0, 3.0, 1.0]).unwrap(), -1.0, 1e-15));
    }

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
        assert_eq!(student_test(&[1.0, 1.0]), Some(0.0));
        assert_eq!(student_test(&[0.0, 0.0]), Some(1.0));
        assert_eq!(mean_interval(&[1.0]), None);
    }

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

    #[test]
    fn quantiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(quantile(&values, 1.5), None);
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1.0, f64::INFINITY], 0.0), Some(1.0));
        let band = median_band(&values, 0.5).unwrap();
        assert_eq!((band.low, band.value, band.high), (1.75, 2.5, 3.25));
    }

    /// Against the printed tables of the sign test's order statistics: ranks 1, 2, 10 and 40 of 6, 9, 32 and 100.
    #[test]
    fn median_intervals_are_exact() {
        for (n, rank) in [(6, 1), (9, 2), (32, 10), (100, 40)] {
            let values: Vec<f64> = (1..=n).map(f64::from).collect();
            let interval = median_interval(&values).unwrap();
            assert_eq!((interval.low, interval.high), (f64::from(rank), f64::from(n + 1 - rank)), "{n}");
        }
        assert_eq!(median_interval(&[1.0, 2.0, 3.0, 4.0, 5.0]), None);
    }

    #[test]
    fn bootstrap_covers_the_mean_and_repeats() {
        let mut draw = Stream::new(5, "sample");
        let sample: Vec<f64> = (0..400).map(|_| draw.normal()).collect();
        let run = || bootstrap(&sample, 2000, &mut Stream::new(5, "bootstrap"), mean).unwrap();
        let (first, student) = (run(), mean_interval(&sample).unwrap());
        assert_eq!(first, run());
        assert!(close(first.low, student.low, 0.01) && close(first.high, student.high, 0.01), "{first:?}");
        assert_eq!(bootstrap(&[1.0], 10, &mut Stream::new(1, "x"), standard_error), None);
    }

    proptest! {
        #[test]
        fn ranks_sum_to_those_of_a_permutation(values in prop::collection::vec(-3..3_i32, 0..40)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let n = values.len() as f64;
            prop_assert_eq!(mid_ranks(&values).iter().sum::<f64>(), n * (n + 1.0) / 2.0);
        }

        #[test]
        fn spearman_ignores_increasing_maps(x in prop::collection::vec(-5.0..5.0_f64, 3..30), seed: u64) {
            let mut stream = Stream::new(seed, "y");
            let y: Vec<f64> = x.iter().map(|_| stream.normal()).collect();
            let mapped: Vec<f64> = x.iter().map(|v| v * v * v).collect();
            prop_assert_eq!(spearman(&x, &y), spearman(&mapped, &y));
        }
    }
}
