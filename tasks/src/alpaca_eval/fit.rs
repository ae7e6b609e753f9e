//! The fit of the published model to judged contests.

use super::contest::{Contest, Weights, rows};
use super::{Regulariser, logistic};

/// The weights that minimise the contests' logistic loss under an L1 penalty, with the regularising set if there is one.
pub fn fit(contests: &[Contest], regulariser: Option<&Regulariser>, penalty: f64) -> Weights {
    let mut rows = rows(contests);
    rows.extend(regulariser.into_iter().flat_map(Regulariser::rows).cloned());
    Weights::of(logistic::fit(&rows, penalty, [0.0; 3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_told_from_quality() {
        // The longer output wins; the model is the longer one in three contests of four.
        let contests: Vec<Contest> = (0..400)
            .map(|i| {
                let longer = i % 4 != 0;
                Contest {
                    preference: if longer { 0.8 } else { 0.2 },
                    model_length: if longer { 300 } else { 100 },
                    baseline_length: 200,
                    difficulty: 0.0,
                }
            })
            .collect();
        let weights = fit(&contests, None, 1e-6);
        assert!(weights.length < -1.0 && weights.difficulty == 0.0);
        assert!((weights.win_rate(&[0.0]) - 0.5).abs() < 1e-4, "{weights:?}");
    }

    #[test]
    fn one_length_everywhere_leaves_the_win_rate_alone() {
        let contests: Vec<Contest> = (0..10)
            .map(|i| Contest {
                preference: f64::from(i) / 20.0,
                model_length: 7,
                baseline_length: 7,
                difficulty: 0.0,
            })
            .collect();
        assert!((fit(&contests, None, 0.0).win_rate(&[0.0]) - 0.225).abs() < 1e-9);
    }
}
