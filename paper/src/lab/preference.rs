//! Which of two models' replies is preferred, by a stand-in for a judge: the reply that overlaps more with the reference
//! wins, whichever comes first. Win rates are length-controlled as AlpacaEval's are.

use super::outcome::{Draws, Tallies};
use tokensieve_tasks::alpaca_eval::{Contest, PENALTY, fit};

/// How much more often than half the time the arm's reply is preferred to the baseline's, each with one entry per seed,
/// if both replies were of one length. `None` where no replies are measured.
pub(super) fn preference(arm: &[&Tallies], baseline: &[&Tallies]) -> Option<Draws> {
    let first = arm.first()?;
    let questions = first.lengths.len();
    let sides = arm.iter().chain(baseline);
    let complete =
        sides.map(|side| [side.lengths.len(), side.pairs.len()]).all(|counts| counts == [questions; 2]);
    if questions < 2 || arm.len() != baseline.len() || !complete {
        return None;
    }
    let contests: Vec<Vec<Contest>> =
        arm.iter().zip(baseline).map(|(arm, baseline)| contests(arm, baseline)).collect();
    let above_half = |seeds: &[usize], questions: &[usize]| {
        let pairs = seeds.iter().flat_map(|seed| questions.iter().map(move |question| (seed, question)));
        let chosen: Vec<Contest> = pairs.map(|(seed, question)| contests[*seed][*question]).collect();
        fit(&chosen, None, PENALTY).preference(0.0) - 0.5
    };
    Some(Draws::of(above_half, arm.len(), questions, "preference"))
}

fn contests(arm: &Tallies, baseline: &Tallies) -> Vec<Contest> {
    let overlap = |[shared, all]: [f64; 2]| if all > 0.0 { shared / all } else { 0.0 };
    let contest = |question: usize| {
        let [ours, theirs] = [arm, baseline].map(|side| overlap(side.pairs[question]));
        let preference = if ours > theirs {
            1.0
        } else if ours < theirs {
            0.0
        } else {
            0.5
        };
        Contest {
            preference,
            model_length: arm.lengths[question] as usize,
            baseline_length: baseline.lengths[question] as usize,
            difficulty: 0.0,
        }
    };
    (0..arm.pairs.len()).map(contest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies of these lengths, of which so many characters are in a reference of a hundred.
    fn replies(all: impl IntoIterator<Item = (f64, f64)>) -> Tallies {
        let (lengths, pairs): (Vec<f64>, Vec<[f64; 2]>) =
            all.into_iter().map(|(length, shared)| (length, [2.0 * shared, length + 100.0])).unzip();
        Tallies { ids: (0..pairs.len()).map(|id| id.to_string()).collect(), pairs, lengths }
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
    }
}
