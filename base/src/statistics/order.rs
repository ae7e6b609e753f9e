//! Order statistics: quantiles, the median with its band and its interval.

use super::Estimate;
use super::binomial::binomial_upper;

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
    let r = (1..=n / 2).take_while(|&r| binomial_upper(n + 1 - r, n, 0.5) <= 0.025).last()?;
    Some(Estimate { value: quantile_of_sorted(&sorted, 0.5)?, low: sorted[r - 1], high: sorted[n - r], n })
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
