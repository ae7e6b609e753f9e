//! Bootstrap intervals of measures, resampling questions.

use serde::{Deserialize, Serialize};

use crate::{Measure, Stream};

/// Resamplings behind every interval: the 2.5 % quantile then rests on 50 of them.
const RESAMPLINGS: usize = 2000;

/// A number with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number itself.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Questions that it rests on.
    pub n: usize,
}

/// A measure of the questions' tallies.
pub fn estimate(measure: &Measure, tallies: &[&[f64]], seed: u64) -> Estimate {
    let of = |sums: &[&[f64]]| (measure.of)(sums[0]);
    bootstrap(&[tallies], of, seed)
}

/// How much more the measure is on `tallies` than on `baseline`, of the same questions in the same order: both are
/// resampled together.
///
/// # Panics
/// If there are more of the one than of the other.
pub fn compare(measure: &Measure, tallies: &[&[f64]], baseline: &[&[f64]], seed: u64) -> Estimate {
    assert_eq!(tallies.len(), baseline.len(), "the same questions");
    let of = |sums: &[&[f64]]| (measure.of)(sums[0]) - (measure.of)(sums[1]);
    bootstrap(&[tallies, baseline], of, seed)
}

/// The quantity `of` the sums of each group's tallies.
pub(crate) fn bootstrap(groups: &[&[&[f64]]], of: impl Fn(&[&[f64]]) -> f64, seed: u64) -> Estimate {
    let n = groups[0].len();
    let widths: Vec<usize> =
        groups.iter().map(|group| group.first().map_or(0, |tally| tally.len())).collect();
    let value_of = |counts: &[u32]| {
        let sums: Vec<Vec<f64>> =
            groups.iter().zip(&widths).map(|(group, width)| sum(group, counts, *width)).collect();
        of(&sums.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    resample(n, seed, value_of)
}

/// A quantity of `n` questions, given how often each counts. A resampling in which it is not finite is left out.
pub(crate) fn resample(n: usize, seed: u64, mut value_of: impl FnMut(&[u32]) -> f64) -> Estimate {
    if n == 0 {
        return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN, n };
    }
    let value = value_of(&vec![1; n]);
    let mut stream = Stream::new(seed, "bootstrap");
    let mut counts = vec![0; n];
    let mut values: Vec<f64> = (0..RESAMPLINGS)
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

fn sum(group: &[&[f64]], counts: &[u32], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    for (tally, count) in group.iter().zip(counts) {
        for (sum, number) in sums.iter_mut().zip(*tally) {
            *sum += f64::from(*count) * number;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(right: &[bool]) -> Vec<Vec<f64>> {
        right.iter().map(|right| vec![f64::from(u8::from(*right)), 1.0]).collect()
    }

    fn slices(tallies: &[Vec<f64>]) -> Vec<&[f64]> {
        tallies.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn a_share_has_its_binomial_interval() {
        let measure = Measure::share("right", "");
        let tallies = tallies(&(0..400).map(|i| i % 4 == 0).collect::<Vec<_>>());
        let estimate = estimate(&measure, &slices(&tallies), 1);
        // 0.25 ± 1.96·√(0.25·0.75/400)
        assert!((estimate.value - 0.25).abs() < 1e-12);
        assert!((estimate.low - 0.2076).abs() < 0.006, "{estimate:?}");
        assert!((estimate.high - 0.2924).abs() < 0.006, "{estimate:?}");
    }

    #[test]
    fn pairs_are_resampled_together() {
        let measure = Measure::share("right", "");
        let one = tallies(&(0..100).map(|i| i % 2 == 0).collect::<Vec<_>>());
        let difference = compare(&measure, &slices(&one), &slices(&one), 1);
        assert_eq!((difference.value, difference.low, difference.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn without_questions_there_is_no_number() {
        assert!(estimate(&Measure::share("right", ""), &[], 1).value.is_nan());
    }
}
