//! Bootstrap intervals of measures, resampling questions; those that ask the same are drawn together.

use std::collections::{BTreeSet, HashMap};

use tokensieve_base::statistics::{Estimate, binomial_interval, bootstrap_counts, jackknife_half_width};
use tokensieve_base::streams::HashedStream;

use crate::{Measure, Unit};

/// Resamplings behind every interval: the 2.5 % quantile then rests on 50 of them.
const RESAMPLINGS: usize = 2000;

/// Of more questions the percentiles are as wide as the jackknife's interval, but for the chance of resampling.
const MANY: usize = 2000;

/// A measure of the questions' tallies. Its `n` is the number of questions on which it rests: those that add something to
/// its sums. `asked` says for each question what it asks, as text or hash; without it no two are taken for the same.
pub fn estimate(measure: &Measure, tallies: &[&[f64]], asked: &[String], seed: u64) -> Estimate {
    let of = |sums: &[&[f64]]| (measure.of)(sums[0]);
    let (n, found) = bootstrap(&[tallies], asked, of, seed);
    let found = match measure.unit {
        Unit::Share => with_unseen(of_share(found)),
        Unit::Nats | Unit::Number => Estimate { low: found.low.clamp(measure.least, f64::INFINITY), ..found },
    };
    Estimate { n, ..found }
}

/// A share, which lies between 0 and 1, as does its interval.
pub(crate) fn of_share(found: Estimate) -> Estimate {
    Estimate { low: found.low.clamp(0.0, 1.0), high: found.high.clamp(0.0, 1.0), ..found }
}

/// A share of nothing or of everything, with the interval of `n` observations that all came out the same: resampling them
/// shows no other.
pub(crate) fn with_unseen(found: Estimate) -> Estimate {
    if found.low < found.high || ![0.0, 1.0].contains(&found.value) {
        return found;
    }
    let seen = binomial_interval(if found.value == 0.0 { 0 } else { found.n }, found.n, 0.95);
    seen.map_or(found, |Estimate { low, high, .. }| Estimate { low, high, ..found })
}

/// How much more the measure is on `tallies` than on `baseline`, of the same questions in the same order: both are
/// resampled together. Its `n` is the number of questions that add something to both sides' sums.
///
/// # Panics
/// If there are more of the one than of the other.
pub fn compare(
    measure: &Measure,
    tallies: &[&[f64]],
    baseline: &[&[f64]],
    asked: &[String],
    seed: u64,
) -> Estimate {
    assert_eq!(tallies.len(), baseline.len(), "the same questions");
    let of = |sums: &[&[f64]]| (measure.of)(sums[0]) - (measure.of)(sums[1]);
    let (n, found) = bootstrap(&[tallies, baseline], asked, of, seed);
    Estimate { n, ..found }
}

/// The number of questions that add something to all sides' sums, and the quantity `of` these sums, resampling groups of
/// questions; its `n` is the number of groups.
fn bootstrap(
    sides: &[&[&[f64]]],
    asked: &[String],
    of: impl Fn(&[&[f64]]) -> f64,
    seed: u64,
) -> (usize, Estimate) {
    let n = sides[0].len();
    let group_of = groups(n, asked);
    let widths: Vec<usize> = sides.iter().map(|side| side.first().map_or(0, |tally| tally.len())).collect();
    let value_of = |counts: &[u32]| {
        let counts: Vec<u32> = group_of.iter().map(|group| counts[*group]).collect();
        let sums: Vec<Vec<f64>> =
            sides.iter().zip(&widths).map(|(side, width)| sum(side, &counts, *width)).collect();
        of(&sums.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let is_behind = |question: &usize| sides.iter().all(|side| counts_in(side[*question]));
    let behind: Vec<usize> = (0..n).filter(is_behind).map(|question| group_of[question]).collect();
    let groups_behind: Vec<usize> = behind.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let count = group_of.iter().max().map_or(0, |last| last + 1);
    (behind.len(), resample(count, &groups_behind, seed, value_of))
}

/// The group of each of `n` questions, in the order of their first ones. Questions that ask the same have one answer
/// between them, and are one observation.
fn groups(n: usize, asked: &[String]) -> Vec<usize> {
    let mut known = HashMap::new();
    (0..n)
        .map(|question| {
            let next = known.len();
            *known.entry(asked.get(question).ok_or(question)).or_insert(next)
        })
        .collect()
}

/// Whether a question has a part in a measure: one of another level adds nothing, not even to the number of questions.
fn counts_in(tally: &[f64]) -> bool {
    tally.iter().any(|number| *number != 0.0)
}

/// A quantity of `n` questions, given how often each counts, that rests on those `behind` it. A resampling in which it is not
/// finite is left out. Of few questions percentiles are too narrow, and of one they have no width: the interval reaches
/// as far as the jackknife's does, and one question has none.
pub(crate) fn resample(
    n: usize,
    behind: &[usize],
    seed: u64,
    mut value_of: impl FnMut(&[u32]) -> f64,
) -> Estimate {
    let found = bootstrap_counts(n, RESAMPLINGS, &mut HashedStream::new(seed, "bootstrap"), &mut value_of);
    let found = Estimate { n: behind.len(), ..found };
    if behind.len() > MANY {
        return found;
    }
    let mut counts = vec![1; n];
    let left_out: Vec<f64> = behind
        .iter()
        .map(|question| {
            counts[*question] = 0;
            let value = value_of(&counts);
            counts[*question] = 1;
            value
        })
        .collect();
    match jackknife_half_width(&left_out) {
        Some(half) => found.reaching(half),
        None => Estimate { low: f64::NAN, high: f64::NAN, ..found },
    }
}

fn sum(side: &[&[f64]], counts: &[u32], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    for (tally, count) in side.iter().zip(counts) {
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
        let estimate = estimate(&measure, &slices(&tallies), &[], 1);
        // 0.25 ± 1.96·√(0.25·0.75/400)
        assert!((estimate.value - 0.25).abs() < 1e-12);
        assert!((estimate.low - 0.2076).abs() < 0.006, "{estimate:?}");
        assert!((estimate.high - 0.2924).abs() < 0.006, "{estimate:?}");
    }

    #[test]
    fn pairs_are_resampled_together() {
        let measure = Measure::share("right", "");
        let one = tallies(&(0..100).map(|i| i % 2 == 0).collect::<Vec<_>>());
        let difference = compare(&measure, &slices(&one), &slices(&one), &[], 1);
        assert_eq!((difference.value, difference.low, difference.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn questions_that_ask_the_same_are_one_observation() {
        let measure = Measure::share("right", "");
        let right = |stride: usize| tallies(&(0..60).map(|i| i % stride == 0).collect::<Vec<_>>());
        let (one, other) = (right(3), right(4));
        let twice = |tallies: &[Vec<f64>]| [tallies, tallies].concat();
        let names: Vec<String> = (0..60).map(|i| i.to_string()).collect();
        let both = [&names[..], &names[..]].concat();
        let once = estimate(&measure, &slices(&one), &names, 1);
        assert_eq!(once, estimate(&measure, &slices(&one), &[], 1), "none asks the same");
        let found = estimate(&measure, &slices(&twice(&one)), &both, 1);
        assert_eq!(found, Estimate { n: 120, ..once });
        let apart = estimate(&measure, &slices(&twice(&one)), &[], 1);
        assert!(apart.high - apart.low < 0.8 * (found.high - found.low), "{apart:?} {found:?}");
        let once = compare(&measure, &slices(&one), &slices(&other), &names, 1);
        let found = compare(&measure, &slices(&twice(&one)), &slices(&twice(&other)), &both, 1);
        assert_eq!(found, Estimate { n: 120, ..once });
        // Two questions that ask the same are no sample.
        let pair = estimate(&measure, &slices(&one[..2]), &["a", "a"].map(str::to_owned), 1);
        assert!(pair.n == 2 && pair.low.is_nan(), "{pair:?}");
        let all = tallies(&[true; 20]);
        let once = estimate(&measure, &slices(&all), &[], 1);
        assert!((once.low - 0.8316).abs() < 1e-4, "{once:?}");
        let names = &both[..20];
        let found = estimate(&measure, &slices(&twice(&all)), &[names, names].concat(), 1);
        assert_eq!(found, Estimate { n: 40, ..once });
    }

    #[test]
    fn questions_without_a_part_in_the_measure_are_not_counted() {
        let measure = Measure::share("level 1", "");
        let asked =
            |n: usize| -> Vec<Vec<f64>> { (0..40).map(|i| vec![0.0, f64::from(u8::from(i < n))]).collect() };
        let (ten, four) = (asked(10), asked(4));
        let found = estimate(&measure, &slices(&ten), &[], 1);
        assert_eq!((found.n, found.value), (10, 0.0));
        assert_eq!(compare(&measure, &slices(&ten), &slices(&four), &[], 1).n, 4);
        // The denominator need not come last: a reply may share no words with its reference.
        assert_eq!(estimate(&measure, &[&[1.0, 1.0, 0.0]], &[], 1).n, 1);
    }

    #[test]
    fn no_interval_reaches_below_what_a_measure_can_be() {
        let tallies = [[0.1, 1.0], [3.0, 1.0]];
        let tallies: Vec<&[f64]> = tallies.iter().map(<[f64; 2]>::as_slice).collect();
        let low = |least| estimate(&Measure { least, ..Measure::nats("nll", "") }, &tallies, &[], 1).low;
        assert!(low(0.0).abs() < 1e-12 && (low(1.0) - 1.0).abs() < 1e-12 && low(f64::NEG_INFINITY) < -10.0);
    }

    #[test]
    fn few_questions_have_wide_intervals_and_one_has_none() {
        let nats = Measure::nats("nll", "");
        let tallies: Vec<Vec<f64>> = [2.1, 1.9, 2.4, 2.0, 1.6].iter().map(|x| vec![*x, 1.0]).collect();
        let [one, five] = [1, 5].map(|n| estimate(&nats, &slices(&tallies[..n]), &[], 1));
        assert!(
            (one.value - 2.1).abs() < 1e-12 && one.low.is_nan() && one.high.is_nan() && one.n == 1,
            "{one:?}"
        );
        let undefined = estimate(&nats, &[&[0.0, 0.0], &[0.0, 0.0]], &[], 1);
        assert!(undefined.value.is_nan() && undefined.low.is_nan(), "{undefined:?}");
        // Student's: 2.0 ± 2.776·0.1304.
        assert!((five.low - 1.638).abs() < 1e-3 && (five.high - 2.362).abs() < 1e-3, "{five:?}");
        let zero = [[0.0, 1.0]];
        let two: Vec<&[f64]> = vec![&tallies[0], &tallies[1]];
        assert!(compare(&nats, &two[..1], &[&zero[0]], &[], 1).low.is_nan());
        // Neither is twenty right answers of twenty a certainty: Clopper and Pearson's interval begins at 0.832.
        let right = self::tallies(&[true; 20]);
        let all = estimate(&Measure::share("right", ""), &slices(&right), &[], 1);
        assert!((all.low - 0.8316).abs() < 1e-3 && all.high > 0.9999, "{all:?}");
        // Student's interval of one in eight begins below nothing: 0.125 ± 2.365·0.125.
        let right = self::tallies(&[true, false, false, false, false, false, false, false]);
        let one = estimate(&Measure::share("right", ""), &slices(&right), &[], 1);
        assert!(one.low.abs() < 1e-12 && (one.high - 0.4206).abs() < 1e-3, "{one:?}");
    }

    #[test]
    fn without_questions_there_is_no_number() {
        assert!(estimate(&Measure::share("right", ""), &[], &[], 1).value.is_nan());
    }
}
