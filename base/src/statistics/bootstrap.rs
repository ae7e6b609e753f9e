//! Bootstrap intervals.

use super::{Estimate, median_band};
use crate::streams::{HashedStream, Stream};

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

/// A quantity of `n` questions, given how often each counts, with its 95 % percentile-bootstrap interval over `resamples`
/// resamples drawn from `stream`; the ends are the nearest of the resamples' values. A resample in which the quantity is not
/// finite is left out; NaN where there is no question.
pub fn bootstrap_counts(
    n: usize,
    resamples: usize,
    stream: &mut HashedStream,
    mut value_of: impl FnMut(&[u32]) -> f64,
) -> Estimate {
    if n == 0 {
        return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN, n };
    }
    let value = value_of(&vec![1; n]);
    let mut counts = vec![0; n];
    let mut values: Vec<f64> = (0..resamples)
        .map(|_| {
            counts.fill(0);
            for _ in 0..n {
                counts[stream.below(n as u64) as usize] += 1;
            }
            value_of(&counts)
        })
        .filter(|value| value.is_finite())
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let quantile =
        |q: f64| values.get(((values.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(f64::NAN);
    Estimate { value, low: quantile(0.025), high: quantile(0.975), n }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{close, mean, mean_interval, standard_error};

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

    /// Both derivations on the same sample: other draws, the same interval up to their noise.
    #[test]
    fn both_bootstraps_agree() {
        let mut draw = Stream::new(6, "sample");
        let sample: Vec<f64> = (0..400).map(|_| draw.normal()).collect();
        let by_items = bootstrap(&sample, 2000, &mut Stream::new(6, "bootstrap"), mean).unwrap();
        let mean_of = |counts: &[u32]| {
            let sum: f64 = counts.iter().zip(&sample).map(|(count, value)| f64::from(*count) * value).sum();
            sum / sample.len() as f64
        };
        let by_counts = bootstrap_counts(400, 2000, &mut HashedStream::new(6, "bootstrap"), mean_of);
        assert!(close(by_items.value, by_counts.value, 1e-12));
        assert!(close(by_items.low, by_counts.low, 0.01) && close(by_items.high, by_counts.high, 0.01));
        assert!(bootstrap_counts(0, 10, &mut HashedStream::new(6, "none"), |_| 1.0).value.is_nan());
    }
}
