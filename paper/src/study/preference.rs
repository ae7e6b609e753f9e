//! Which of two models' replies is preferred: in the eyes of a judge, or by a stand-in for one, for which the reply wins that
//! overlaps more with the reference, whichever comes first. Win rates are length-controlled as AlpacaEval's are.

use super::draws::Draws;
use crate::lab::evaluation::Tallies;
use tokensieve_tasks::alpaca_eval::{Contest, PENALTY, fit};

/// How much more often than half the time the arm's reply is preferred to the baseline's, each with one entry per seed,
/// if both replies were of one length. `None` where no replies are measured.
pub(super) fn preference(arm: &[&Tallies], baseline: &[&Tallies]) -> Option<Draws> {
    let questions = arm.first()?.lengths.len();
    let sides = arm.iter().chain(baseline);
    let complete =
        sides.map(|side| [side.lengths.len(), side.pairs.len()]).all(|counts| counts == [questions; 2]);
    let overlap = |[shared, all]: [f64; 2]| if all > 0.0 { shared / all } else { 0.0 };
    let contest = |arm: &Tallies, baseline: &Tallies, question: usize| {
        let [ours, theirs] = [arm, baseline].map(|side| overlap(side.pairs[question]));
        let preference = ours.partial_cmp(&theirs).map_or(0.5, |order| f64::from(order as i8 + 1) / 2.0);
        Some(between(preference, arm.lengths[question], baseline.lengths[question]))
    };
    let of_seed = |(arm, baseline): (&&Tallies, &&Tallies)| {
        (0..questions).map(|question| contest(arm, baseline, question)).collect()
    };
    (complete && arm.len() == baseline.len())
        .then(|| length_controlled(&arm.iter().zip(baseline).map(of_seed).collect::<Vec<_>>(), questions))?
}

/// The same where a judge has compared the arm's replies with the baseline's. What it did not decide does not count.
pub(super) fn judged(arm: &[&Tallies]) -> Option<Draws> {
    let questions = arm.first()?.pairs.len();
    let complete = arm
        .iter()
        .map(|side| [side.pairs.len(), side.lengths.len(), side.baseline_lengths.len()])
        .all(|counts| counts == [questions; 3]);
    let of_seed = |side: &&Tallies| {
        let lengths = side.lengths.iter().zip(&side.baseline_lengths);
        let verdicts = side.pairs.iter().zip(lengths);
        verdicts
            .map(|([preference, counts], (own, baseline))| {
                (*counts > 0.0).then(|| between(preference / counts, *own, *baseline))
            })
            .collect()
    };
    complete.then(|| length_controlled(&arm.iter().map(of_seed).collect::<Vec<_>>(), questions))?
}

fn between(preference: f64, model_length: f64, baseline_length: f64) -> Contest {
    Contest {
        preference,
        model_length: model_length as usize,
        baseline_length: baseline_length as usize,
        difficulty: 0.0,
    }
}

/// Of the contests of every seed, question by question.
fn length_controlled(contests: &[Vec<Option<Contest>>], questions: usize) -> Option<Draws> {
    let above_half = |seeds: &[usize], questions: &[usize]| {
        let pairs = seeds.iter().flat_map(|seed| questions.iter().map(move |question| (seed, question)));
        let chosen: Vec<Contest> = pairs.filter_map(|(seed, question)| contests[*seed][*question]).collect();
        fit(&chosen, None, PENALTY).preference(0.0) - 0.5
    };
    (questions >= 2).then(|| Draws::of(above_half, contests.len(), questions, "preference"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies of these lengths, of which so many characters are in a reference of a hundred.
    fn replies(all: impl IntoIterator<Item = (f64, f64)>) -> Tallies {
        let (lengths, pairs): (Vec<f64>, Vec<[f64; 2]>) =
            all.into_iter().map(|(length, shared)| (length, [2.0 * shared, length + 100.0])).unzip();
        Tallies {
            ids: (0..pairs.len()).map(|id| id.to_string()).collect(),
            pairs,
            lengths,
            ..Tallies::default()
        }
    }

    #[test]
    fn equal_replies_are_preferred_half_the_time_and_better_ones_more_often() {
        let plain = replies((0..60).map(|i| (80.0 + f64::from(i % 7), 40.0)));
        let better = replies((0..60).map(|i| (80.0 + f64::from(i % 5), 45.0)));
        let gain = |arm: &Tallies| preference(&[arm], &[&plain]).and_then(|draws| draws.estimate());
        assert_eq!(gain(&plain).map(|e| (e.value, e.low, e.high)), Some((0.0, 0.0, 0.0)));
        let estimate = gain(&better).expect("a preference");
        assert!(estimate.value > 0.4 && estimate.low > 0.3, "{estimate:?}");
    }

    #[test]
    fn what_only_length_wins_is_no_preference() {
        // The longer reply wins every time; each side is the longer one half of the time.
        let sides = |turn: i32| {
            replies((0..200).map(move |i| if i % 2 == turn { (100.0, 60.0) } else { (60.0, 30.0) }))
        };
        let (even, odd) = (sides(0), sides(1));
        let estimate = preference(&[&even], &[&odd]).and_then(|draws| draws.estimate());
        assert!(estimate.is_some_and(|e| e.value.abs() < 0.05), "{estimate:?}");
        // The arm is longer three times of four: raw preference 0.75, controlled about a half.
        let long = replies((0..200).map(|i| if i % 4 > 0 { (100.0, 60.0) } else { (60.0, 30.0) }));
        let short = replies((0..200).map(|i| if i % 4 > 0 { (60.0, 30.0) } else { (100.0, 60.0) }));
        let estimate = preference(&[&long], &[&short]).and_then(|draws| draws.estimate());
        assert!(estimate.is_some_and(|e| e.value.abs() < 0.1), "{estimate:?}");
    }

    #[test]
    fn without_replies_there_is_none() {
        let shares = Tallies { ids: vec!["a".into()], pairs: vec![[1.0, 1.0]], ..Tallies::default() };
        assert_eq!(preference(&[&shares], &[&shares]), None);
        assert_eq!(preference(&[], &[]), None);
        assert_eq!((judged(&[&shares]), judged(&[])), (None, None));
    }

    #[test]
    fn a_judge_s_verdicts_count_and_its_nonsense_does_not() {
        let verdicts = |preferences: &[[f64; 2]]| Tallies {
            pairs: preferences.to_vec(),
            lengths: (0..preferences.len()).map(|i| 90.0 + (i % 7) as f64).collect(),
            baseline_lengths: (0..preferences.len()).map(|i| 90.0 + (i % 5) as f64).collect(),
            ..Tallies::default()
        };
        let decided: Vec<[f64; 2]> = (0..60).map(|i| [f64::from(u8::from(i % 4 > 0)), 1.0]).collect();
        let estimate = |sides: &[&Tallies]| judged(sides).and_then(|draws| draws.estimate());
        let three_quarters = estimate(&[&verdicts(&decided)]).expect("a preference");
        assert!((three_quarters.value - 0.25).abs() < 0.03, "{three_quarters:?}");
        let with_nonsense: Vec<[f64; 2]> =
            decided.iter().flat_map(|verdict| [*verdict, [0.0, 0.0]]).collect();
        let same = estimate(&[&verdicts(&with_nonsense)]).expect("a preference");
        assert!((same.value - 0.25).abs() < 0.04, "{same:?}");
    }
}
