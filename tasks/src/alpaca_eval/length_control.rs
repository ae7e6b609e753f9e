//! Raw and length-controlled win rates, with bootstrap intervals over the instructions.

use tokensieve_data::Catalogue;

use super::contest::rows;
use super::logistic;
use super::outputs::lengths;
use super::{Contest, PENALTIES, Published, Regulariser, Weights};
use crate::interval::{of_share, resample, with_unseen};
use crate::{Error, Estimate, Result};

/// The L1 penalty of our fits. The published ones choose theirs by cross-validation, mostly this or the next larger; with
/// this one every annotated model comes within 0.11 percentage points of its published rate (`tests/alpaca_eval.rs`), most
/// of them below it, because most published fits chose the larger penalty.
pub const PENALTY: f64 = PENALTIES[6];

/// The fewest judged instructions of which there is a win rate.
pub const FEWEST_VERDICTS: usize = 2;

/// The logistic model that removes the effect of length.
#[derive(Clone, Debug)]
pub struct LengthControl {
    difficulties: Vec<f64>,
    regulariser: Option<Regulariser>,
}

/// A model's win rates against a baseline, as shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WinRates {
    /// The mean preference.
    pub raw: Estimate,
    /// As if all outputs were as long as the baseline's.
    pub length_controlled: Estimate,
    /// The fitted model.
    pub weights: Weights,
}

impl LengthControl {
    /// AlpacaEval's own: with each of the 805 instructions' difficulty and the published regularising set.
    pub fn published(catalogue: &Catalogue) -> Result<Self> {
        let published = Published::load(catalogue)?;
        let regulariser = Some(published.regulariser(catalogue, |_| true)?);
        Ok(Self { difficulties: published.difficulties, regulariser })
    }

    /// For any `n` instructions: without difficulties, so length and quality alone explain the preferences.
    pub fn plain(n: usize) -> Self {
        Self { difficulties: vec![0.0; n], regulariser: None }
    }

    /// Win rates from the preference for the model's output on each instruction (see [`crate::judge::pairwise`]; one that
    /// is missing is left out) and both sides' outputs.
    pub fn win_rates(
        &self,
        preferences: &[Option<f64>],
        outputs: &[String],
        baseline: &[String],
        seed: u64,
    ) -> Result<WinRates> {
        let n = self.difficulties.len();
        if [preferences.len(), outputs.len(), baseline.len()] != [n; 3] {
            return Err(Error::Setting(format!(
                "{} preferences, {} outputs of the model and {} of the baseline; {n} instructions need as many of each",
                preferences.len(),
                outputs.len(),
                baseline.len()
            )));
        }
        let sides = lengths(outputs).into_iter().zip(lengths(baseline)).zip(&self.difficulties);
        let contests: Vec<Contest> = preferences
            .iter()
            .zip(sides)
            .filter_map(|(preference, ((model_length, baseline_length), difficulty))| {
                let contest = |preference| Contest {
                    preference,
                    model_length,
                    baseline_length,
                    difficulty: *difficulty,
                };
                preference.map(contest)
            })
            .collect();
        self.of_contests(&contests, seed)
    }

    /// What a reader of the length-controlled win rate has to know before comparing it with the leaderboard's, one
    /// sentence each, from the preferences on the instructions that were asked. Nothing of [`Self::plain`], whose numbers
    /// the leaderboard does not have.
    pub fn notes(&self, preferences: &[Option<f64>]) -> Vec<String> {
        if self.regulariser.is_none() {
            return Vec::new();
        }
        let mut notes = vec![
            "the length-controlled win rate is fitted with one penalty for all models and lies up to 0.11 points below the \
             leaderboard's"
                .to_owned(),
        ];
        let missing = preferences.iter().filter(|preference| preference.is_none()).count();
        if missing > 0 {
            notes.push(format!(
                "{missing} of {} instructions have no verdict, and each of the others keeps its own difficulty; the \
                 leaderboard gives the k-th judged instruction the k-th difficulty, which can move the length-controlled \
                 win rate by half a point",
                preferences.len()
            ));
        }
        notes
    }

    /// Win rates from contests.
    pub fn of_contests(&self, contests: &[Contest], seed: u64) -> Result<WinRates> {
        let n = contests.len();
        if n < FEWEST_VERDICTS {
            return Err(Error::Setting(format!(
                "{n} judged instructions: a win rate needs at least {FEWEST_VERDICTS}"
            )));
        }
        let mut rows = rows(contests);
        rows.extend(self.regulariser.iter().flat_map(Regulariser::rows).cloned());
        let weights = logistic::fit(&rows, PENALTY, [0.0; 3]);
        // The length's standard deviation stays that of all instructions; everything else is fitted again.
        let controlled = |counts: &[u32]| {
            for (row, count) in rows.iter_mut().zip(counts) {
                row.weight = f64::from(*count);
            }
            let weights = Weights::of(logistic::fit::<3>(&rows, PENALTY, weights));
            weighted_mean(counts, |i| weights.preference(contests[i].difficulty))
        };
        let preferences: Vec<f64> = contests.iter().map(|contest| contest.preference).collect();
        Ok(WinRates {
            raw: raw_win_rate(&preferences, seed),
            length_controlled: of_share(resample(n, &all(n), seed, controlled)),
            weights: Weights::of(weights),
        })
    }
}

/// The mean preference.
pub fn raw_win_rate(preferences: &[f64], seed: u64) -> Estimate {
    let n = preferences.len();
    let mean = resample(n, &all(n), seed, |counts| weighted_mean(counts, |i| preferences[i]));
    with_unseen(of_share(mean))
}

fn all(n: usize) -> Vec<usize> {
    (0..n).collect()
}

fn weighted_mean(counts: &[u32], value: impl Fn(usize) -> f64) -> f64 {
    let total: u32 = counts.iter().sum();
    counts.iter().enumerate().map(|(i, count)| f64::from(*count) * value(i)).sum::<f64>() / f64::from(total)
}

#[cfg(test)]
mod tests {
    use super::super::logistic::logistic;
    use super::*;
    use tokensieve_base::streams::HashedStream;

    /// A model that is slightly worse but wordier, before a judge who likes words.
    #[test]
    fn what_length_won_is_taken_back() {
        let mut stream = HashedStream::new(4, "wordy");
        let contests: Vec<Contest> = (0..400)
            .map(|_| {
                let difference = 250.0 * stream.uniform() - 50.0;
                let preference = logistic(-0.4 + 0.02 * difference + stream.uniform() - 0.5);
                let model_length = (500.0 + difference) as usize;
                Contest { preference, model_length, baseline_length: 500, difficulty: 0.0 }
            })
            .collect();
        let WinRates { raw, length_controlled, weights } =
            LengthControl::plain(400).of_contests(&contests, 1).unwrap();
        assert!(raw.low > 0.6, "{raw:?}");
        assert!(length_controlled.low < 0.4 && 0.4 < length_controlled.high, "{length_controlled:?}");
        assert!(length_controlled.high < 0.5 && weights.length < -1.0 && weights.difficulty == 0.0);
    }

    #[test]
    fn a_clean_sweep_has_a_number_and_too_few_instructions_an_error() {
        let won = Contest { preference: 1.0, model_length: 9, baseline_length: 5, difficulty: 0.0 };
        let swept = LengthControl::plain(20).of_contests(&[won; 20], 1).unwrap();
        // Resampling twenty wins shows no loss; Clopper and Pearson's interval begins at 0.832.
        assert!((swept.raw.low - 0.8316).abs() < 1e-3 && swept.raw.high > 0.9999, "{swept:?}");
        assert!(swept.length_controlled.value > 0.99, "{swept:?}");
        assert!(LengthControl::plain(20).notes(&[None]).is_empty());
        let error = LengthControl::plain(1).of_contests(&[won], 1).unwrap_err().to_string();
        assert!(error.contains("at least 2"), "{error}");
    }
}
