//! The regularising set of the published fit. Every model is fitted together with the judged outputs of two versions of
//! the baseline that were prompted to be concise and to be verbose, which keeps every model's length weight near the effect
//! of gaming the length. Their preferences are not published. But a logistic fit depends on the responses only through
//! their sums with the features, and these two sums follow from any published weights: at the optimum of the published
//! fit the slope is zero. They are recovered from every annotated model, whose results agree, and their median is taken.

use super::contest::{Contest, Weights, rows, squashed};
use super::logistic::{Observation, dot, logistic};

/// A row of the regularising set counts 0.2 / 2: the published strength, shared by the two gamed baselines.
const WEIGHT: f64 = 0.1;

/// The L1 penalties among which the published fit chooses by cross-validation: 1/C for C = 10⁻⁴ … 10⁴ in nine equal steps.
pub const PENALTIES: [f64; 10] = [
    10_000.0,
    1_291.549_665_014_884,
    166.810_053_720_005_9,
    21.544_346_900_318_85,
    2.782_559_402_207_126,
    0.359_381_366_380_462_6,
    0.046_415_888_336_127_82,
    0.005_994_842_503_189_409,
    0.000_774_263_682_681_127_7,
    0.000_1,
];

/// The observations that are part of every fit.
#[derive(Clone, Debug)]
pub struct Regulariser {
    rows: Vec<Observation<3>>,
}

impl Regulariser {
    /// From the gamed baselines' length differences (baseline − gamed) to each instruction, the instructions' difficulties,
    /// and published weights with the contests that they were fitted to.
    pub fn recover<'a>(
        differences: &[Vec<f64>],
        difficulties: &[f64],
        fits: impl IntoIterator<Item = (&'a Weights, &'a [Contest])>,
    ) -> Self {
        let features: Vec<[f64; 3]> = differences
            .iter()
            .flat_map(|differences| squashed(differences).into_iter().zip(difficulties))
            .map(|(length, difficulty)| [length, *difficulty, 0.0])
            .collect();
        let mut sums = [Vec::new(), Vec::new()];
        for (weights, contests) in fits {
            let implied = implied_sums(&features, weights, contests);
            sums[0].push(implied[0]);
            sums[1].push(implied[1]);
        }
        let responses = responses_with(&features, sums.map(median));
        let rows = features
            .into_iter()
            .zip(responses)
            .map(|(features, response)| Observation { features, response, weight: WEIGHT })
            .collect();
        Self { rows }
    }

    pub(super) fn rows(&self) -> &[Observation<3>] {
        &self.rows
    }

    /// Σ response × feature, for the length and the difficulty.
    pub fn sums(&self) -> [f64; 2] {
        [0, 1].map(|j| self.rows.iter().map(|row| row.response * row.features[j]).sum())
    }
}

/// The penalty that the published fit of these weights chose. The regularising set has no part in the bias, whose slope
/// over the contests must therefore equal the penalty.
pub fn nearest_penalty(weights: &Weights, contests: &[Contest]) -> f64 {
    let slope = slope(weights, contests)[2].abs();
    let distance = |penalty: f64| (penalty.ln() - slope.ln()).abs();
    PENALTIES
        .into_iter()
        .fold(PENALTIES[0], |best, other| if distance(other) < distance(best) { other } else { best })
}

/// Σ (preference − prediction) × feature over the contests.
fn slope(weights: &Weights, contests: &[Contest]) -> [f64; 3] {
    let mut slope = [0.0; 3];
    for row in rows(contests) {
        let error = row.response - logistic(dot(&row.features, &weights.array()));
        for (slope, feature) in slope.iter_mut().zip(row.features) {
            *slope += error * feature;
        }
    }
    slope
}

/// slope + WEIGHT·(sums − predicted sums) = penalty·sign, solved for the sums.
fn implied_sums(features: &[[f64; 3]], weights: &Weights, contests: &[Contest]) -> [f64; 2] {
    let (slope, weights_array) = (slope(weights, contests), weights.array());
    let penalty = nearest_penalty(weights, contests);
    [0, 1].map(|j| {
        let predicted: f64 = features.iter().map(|x| logistic(dot(x, &weights_array)) * x[j]).sum();
        predicted + (penalty * weights_array[j].signum() - slope[j]) / WEIGHT
    })
}

/// The smallest responses whose sums with the first two features are these.
fn responses_with(features: &[[f64; 3]], sums: [f64; 2]) -> Vec<f64> {
    let gram = |j: usize, l: usize| features.iter().map(|x| x[j] * x[l]).sum::<f64>();
    let (a, b, d) = (gram(0, 0), gram(0, 1), gram(1, 1));
    let determinant = a * d - b * b;
    let length = (d * sums[0] - b * sums[1]) / determinant;
    let difficulty = (a * sums[1] - b * sums[0]) / determinant;
    features.iter().map(|x| length * x[0] + difficulty * x[1]).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::super::fit::fit;
    use super::*;
    use tokensieve_base::streams::HashedStream;

    /// A regularising set with known preferences is found again from the weights that it led to.
    #[test]
    fn sums_are_recovered_from_fits() {
        let mut stream = HashedStream::new(1, "regulariser");
        let difficulties: Vec<f64> = (0..200).map(|_| 2.0 * stream.uniform() - 0.5).collect();
        let differences: Vec<Vec<f64>> =
            (0..2).map(|_| (0..200).map(|_| 400.0 * stream.uniform() - 300.0).collect()).collect();
        let features: Vec<[f64; 3]> = differences
            .iter()
            .flat_map(|differences| squashed(differences).into_iter().zip(&difficulties))
            .map(|(length, difficulty)| [length, *difficulty, 0.0])
            .collect();
        let truth = Regulariser {
            rows: features
                .iter()
                .map(|x| Observation { features: *x, response: stream.uniform(), weight: WEIGHT })
                .collect(),
        };
        let fits: Vec<(Weights, Vec<Contest>)> = [PENALTIES[5], PENALTIES[6], PENALTIES[5]]
            .into_iter()
            .map(|penalty| {
                let contests: Vec<Contest> = difficulties
                    .iter()
                    .map(|difficulty| Contest {
                        preference: stream.uniform().powi(3),
                        model_length: stream.between(50, 2000) as usize,
                        baseline_length: stream.between(50, 2000) as usize,
                        difficulty: *difficulty,
                    })
                    .collect();
                let weights = fit(&contests, Some(&truth), penalty);
                assert!((nearest_penalty(&weights, &contests) - penalty).abs() < 1e-12);
                (weights, contests)
            })
            .collect();
        let fits = fits.iter().map(|(weights, contests)| (weights, contests.as_slice()));
        let recovered = Regulariser::recover(&differences, &difficulties, fits);
        for (found, known) in recovered.sums().into_iter().zip(truth.sums()) {
            assert!((found - known).abs() < 1e-6, "{found} {known}");
        }
    }
}
