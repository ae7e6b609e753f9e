//! The published model of a preference: logit = length·tanh(Δ/sd Δ) + difficulty·d + bias, where Δ is how many characters
//! the baseline's output is longer and d is the instruction's difficulty.

use super::logistic::{Observation, logistic};

/// A judged instruction: the preference, and the features that explain it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contest {
    /// The probability that the model's output is better than the baseline's.
    pub preference: f64,
    /// Characters of the model's output.
    pub model_length: usize,
    /// Characters of the baseline's output.
    pub baseline_length: usize,
    /// The instruction's difficulty; 0 where it is not part of the model.
    pub difficulty: f64,
}

/// The coefficients of one language model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights {
    /// Of the length difference: negative where the judge likes long outputs.
    pub length: f64,
    /// Of the instruction's difficulty.
    pub difficulty: f64,
    /// How good the model is, all else equal.
    pub bias: f64,
}

impl Weights {
    /// The length-controlled preference: as if both outputs were of one length.
    pub fn preference(&self, difficulty: f64) -> f64 {
        logistic(self.bias + self.difficulty * difficulty)
    }

    /// The length-controlled win rate over instructions of these difficulties.
    pub fn win_rate(&self, difficulties: &[f64]) -> f64 {
        difficulties.iter().map(|d| self.preference(*d)).sum::<f64>() / difficulties.len() as f64
    }

    pub(super) fn of([length, difficulty, bias]: [f64; 3]) -> Self {
        Self { length, difficulty, bias }
    }

    pub(super) fn array(&self) -> [f64; 3] {
        [self.length, self.difficulty, self.bias]
    }
}

pub(super) fn rows(contests: &[Contest]) -> Vec<Observation<3>> {
    let differences: Vec<f64> =
        contests.iter().map(|c| c.baseline_length as f64 - c.model_length as f64).collect();
    squashed(&differences)
        .into_iter()
        .zip(contests)
        .map(|(length, contest)| Observation {
            features: [length, contest.difficulty, 1.0],
            response: contest.preference,
            weight: 1.0,
        })
        .collect()
}

/// tanh of each length difference divided by the standard deviation of all; zero where all differences are equal.
pub(super) fn squashed(differences: &[f64]) -> Vec<f64> {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let spread = (differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    differences.iter().map(|d| if spread > 0.0 { (d / spread).tanh() } else { 0.0 }).collect()
}
