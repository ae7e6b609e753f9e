//! Which datum helps, by its two uncertainties and the distance from the solution (paper A, C.1.1, fig. 2C).
//!
//! The truth is a polynomial with random coefficients, seen through noise whose standard deviation differs from
//! datum to datum and is known: the **aleatoric** uncertainty. The **epistemic** one is the variance of the
//! prediction when the coefficients are jittered. From a point at distance s of the truth every datum is tried for
//! one gradient step, and its uncertainties are rank-correlated with the drop of the validation error.
//!
//! Chosen where the paper is silent: coefficients N(0, 1); x uniform on [−1, 1]; the loss of a datum is its squared
//! error (f(x) − y)², as in the validation MSE, so its gradient is 2(f(x) − y)·(1, x, x², …); one repetition draws
//! truth, data and jitter once and visits every distance with a fresh offset.

use serde::{Deserialize, Serialize};

use crate::error::{Error, at_least, positive, refuse};
use crate::over_seeds;
use tokensieve_base::statistics::{self, Estimate, spearman};
use tokensieve_base::streams::Stream;

const NAME: &str = "polynomial";

/// Everything that determines the figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolynomialConfig {
    /// Degree of the polynomial.
    pub degree: usize,
    /// Training data per repetition.
    pub data: usize,
    /// Validation points, evenly spaced on [−1, 1], noiseless.
    pub validation: usize,
    /// A datum's noise has standard deviation this times U(0, 1).
    pub noise_sd: f64,
    /// Standard deviation of the coefficients' jitter behind the epistemic uncertainty.
    pub jitter_sd: f64,
    /// Jittered predictions per datum.
    pub jitters: usize,
    /// Step size of the one gradient step.
    pub learning_rate: f64,
    /// Smallest standard deviation of the offset from the true coefficients.
    pub nearest: f64,
    /// The largest.
    pub farthest: f64,
    /// Number of distances, evenly spaced in the logarithm.
    pub distances: usize,
    /// Repetitions.
    pub repetitions: u64,
    /// Seed; repetition r has seed + r.
    pub seed: u64,
}

impl Default for PolynomialConfig {
    /// C.1.1: degree 5, 20 data, 100 validation points, 1,000 jitters of 0.002, step 0.01, s from 1e-3 to 1.
    fn default() -> Self {
        Self {
            degree: 5,
            data: 20,
            validation: 100,
            noise_sd: 0.1,
            jitter_sd: 0.002,
            jitters: 1000,
            learning_rate: 0.01,
            nearest: 1e-3,
            farthest: 1.0,
            distances: 31,
            repetitions: 1000,
            seed: 0,
        }
    }
}

impl PolynomialConfig {
    /// A version of a second that walks the whole path.
    pub fn smoke() -> Self {
        Self { jitters: 50, distances: 5, repetitions: 40, ..Self::default() }
    }

    fn check(&self) -> Result<(), Error> {
        let least = [
            ("data", self.data, 3),
            ("validation", self.validation, 2),
            ("jitters", self.jitters, 2),
            ("distances", self.distances, 2),
            ("repetitions", self.repetitions as usize, 2),
        ];
        at_least(NAME, least)?;
        let sizes = [
            ("noise_sd", self.noise_sd),
            ("jitter_sd", self.jitter_sd),
            ("learning_rate", self.learning_rate),
            ("nearest", self.nearest),
            ("farthest", self.farthest),
        ];
        positive(NAME, sizes)?;
        if self.degree == 0 || self.degree > 50 {
            return refuse(NAME, "degree", self.degree, "between 1 and 50");
        }
        if self.farthest <= self.nearest {
            return refuse(NAME, "farthest", self.farthest, "larger than nearest");
        }
        Ok(())
    }

    /// The distances, nearest first, evenly spaced in the logarithm.
    pub fn grid(&self) -> Vec<f64> {
        let (low, high) = (libm::log10(self.nearest), libm::log10(self.farthest));
        let step = (high - low) / (self.distances - 1) as f64;
        (0..self.distances).map(|i| libm::pow(10.0, low + step * i as f64)).collect()
    }
}

/// Which uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uncertainty {
    /// Variance of the prediction under jittered coefficients.
    Epistemic,
    /// Standard deviation of the datum's noise.
    Aleatoric,
}

/// One point of one line of the figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolynomialRow {
    /// Which uncertainty.
    pub uncertainty: Uncertainty,
    /// Standard deviation s of the offset from the true coefficients.
    pub distance: f64,
    /// Spearman's correlation with the validation-error decrement, mean over the repetitions.
    pub correlation: f64,
    /// Lower end of its 95 % interval.
    pub correlation_low: f64,
    /// Upper end.
    pub correlation_high: f64,
    /// Mean over the repetitions of the correlation's rise from the nearest distance to this one.
    pub rise: f64,
    /// Lower end of its 95 % interval.
    pub rise_low: f64,
    /// Upper end.
    pub rise_high: f64,
    /// Share of the data whose step made the validation error smaller (the same for both uncertainties).
    pub helpful_share: f64,
    /// Repetitions.
    pub repetitions: usize,
}

/// The result of one repetition at one distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repetition {
    /// Spearman's correlation of epistemic uncertainty and decrement over the data.
    pub epistemic: f64,
    /// Spearman's correlation of aleatoric uncertainty and decrement over the data.
    pub aleatoric: f64,
    /// Share of the data with a positive decrement.
    pub helpful: f64,
}

/// 1, x, x², …, x^degree.
fn powers(x: f64, degree: usize) -> Vec<f64> {
    std::iter::successors(Some(1.0), |power| Some(power * x)).take(degree + 1).collect()
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}

/// The training data of one repetition and their two uncertainties.
#[derive(Clone, Debug)]
struct Data {
    /// Powers of every x.
    features: Vec<Vec<f64>>,
    noise: Vec<f64>,
    aleatoric: Vec<f64>,
    epistemic: Vec<f64>,
}

impl Data {
    fn draw(config: &PolynomialConfig, seed: u64) -> Self {
        let mut place = Stream::new(seed, "polynomial/x");
        let features: Vec<Vec<f64>> =
            (0..config.data).map(|_| powers(place.uniform_in(-1.0, 1.0), config.degree)).collect();
        let mut spread = Stream::new(seed, "polynomial/noise scale");
        let aleatoric: Vec<f64> = (0..config.data).map(|_| config.noise_sd * spread.uniform()).collect();
        let mut noise = Stream::new(seed, "polynomial/noise");
        let noise = aleatoric.iter().map(|sd| sd * noise.normal()).collect();
        let epistemic = epistemic(config, &features, &mut Stream::new(seed, "polynomial/jitter"));
        Self { features, noise, aleatoric, epistemic }
    }
}

/// Sample variance of every datum's prediction over the jittered coefficients.
///
/// The prediction is linear in the coefficients, so their own value adds the same constant to every sample and is
/// left out; that also makes the uncertainty the same at every distance.
fn epistemic(config: &PolynomialConfig, features: &[Vec<f64>], stream: &mut Stream) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); features.len()];
    let mut jitter = vec![0.0; config.degree + 1];
    for _ in 0..config.jitters {
        jitter.fill_with(|| config.jitter_sd * stream.normal());
        for (sum, features) in sums.iter_mut().zip(features) {
            let change = inner(features, &jitter);
            *sum = (sum.0 + change, sum.1 + change * change);
        }
    }
    let n = config.jitters as f64;
    sums.iter().map(|(first, second)| (second - first * first / n) / (n - 1.0)).collect()
}

/// Mean over the validation points of the products of powers: the validation MSE is eᵀMe, e the coefficients' error.
fn validation_form(config: &PolynomialConfig) -> Vec<Vec<f64>> {
    let last = (config.validation - 1) as f64;
    let points: Vec<Vec<f64>> =
        (0..config.validation).map(|i| powers(-1.0 + 2.0 * i as f64 / last, config.degree)).collect();
    let entry = |i: usize, j: usize| points.iter().map(|p| p[i] * p[j]).sum::<f64>() / points.len() as f64;
    (0..=config.degree).map(|i| (0..=config.degree).map(|j| entry(i, j)).collect()).collect()
}

/// eᵀMe − (e − δφ)ᵀM(e − δφ) = 2δ φᵀMe − δ² φᵀMφ: no cancellation of two nearly equal errors.
fn decrement(form: &[Vec<f64>], error: &[f64], features: &[f64], delta: f64) -> f64 {
    let (mut with_error, mut with_itself) = (0.0, 0.0);
    for (weight, row) in features.iter().zip(form) {
        with_error += weight * inner(row, error);
        with_itself += weight * inner(row, features);
    }
    2.0 * delta * with_error - delta * delta * with_itself
}

/// One repetition: a truth, its data, and every distance of the grid.
///
/// Only the coefficients' error enters, so the truth itself drops out of every prediction's difference.
pub fn repetition(config: &PolynomialConfig, seed: u64) -> Result<Vec<Repetition>, Error> {
    let form = validation_form(config);
    let data = Data::draw(config, seed);
    let mut offset = Stream::new(seed, "polynomial/offset");
    let points = config.grid().into_iter().map(|distance| {
        let error: Vec<f64> = (0..=config.degree).map(|_| distance * offset.normal()).collect();
        let decrements: Vec<f64> = data
            .features
            .iter()
            .zip(&data.noise)
            .map(|(features, noise)| {
                let residual = inner(features, &error) - noise;
                decrement(&form, &error, features, config.learning_rate * 2.0 * residual)
            })
            .collect();
        let helpful = decrements.iter().filter(|d| **d > 0.0).count() as f64 / decrements.len() as f64;
        let correlation = |uncertainty: &[f64]| {
            spearman(uncertainty, &decrements)
                .ok_or(Error::Undefined { experiment: NAME, quantity: "rank correlation" })
        };
        Ok(Repetition {
            epistemic: correlation(&data.epistemic)?,
            aleatoric: correlation(&data.aleatoric)?,
            helpful,
        })
    });
    points.collect()
}

/// The whole figure.
pub fn run(config: &PolynomialConfig) -> Result<Vec<PolynomialRow>, Error> {
    config.check()?;
    let repetitions =
        over_seeds(0..config.repetitions, |index| repetition(config, config.seed.wrapping_add(index)))?;
    let mut rows = Vec::new();
    for uncertainty in [Uncertainty::Epistemic, Uncertainty::Aleatoric] {
        let correlation = |point: &Repetition| match uncertainty {
            Uncertainty::Epistemic => point.epistemic,
            Uncertainty::Aleatoric => point.aleatoric,
        };
        for (i, distance) in config.grid().into_iter().enumerate() {
            let here: Vec<f64> = repetitions.iter().map(|points| correlation(&points[i])).collect();
            let rises: Vec<f64> =
                repetitions.iter().map(|points| correlation(&points[i]) - correlation(&points[0])).collect();
            let helpful: f64 = repetitions.iter().map(|points| points[i].helpful).sum();
            let (level, rise) = (interval(&here)?, interval(&rises)?);
            rows.push(PolynomialRow {
                uncertainty,
                distance,
                correlation: level.value,
                correlation_low: level.low,
                correlation_high: level.high,
                rise: rise.value,
                rise_low: rise.low,
                rise_high: rise.high,
                helpful_share: helpful / repetitions.len() as f64,
                repetitions: repetitions.len(),
            });
        }
    }
    Ok(rows)
}

fn interval(values: &[f64]) -> Result<Estimate, Error> {
    statistics::mean_interval(values)
        .ok_or(Error::Undefined { experiment: NAME, quantity: "mean correlation" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// With 1,000 jitters the sample variance has a relative standard error of √(2/999) = 4.5 %.
    #[test]
    fn epistemic_uncertainty_is_its_closed_form() {
        let config = PolynomialConfig { data: 200, jitters: 20_000, ..PolynomialConfig::default() };
        let data = Data::draw(&config, 1);
        for (features, simulated) in data.features.iter().zip(&data.epistemic) {
            let exact = config.jitter_sd * config.jitter_sd * features.iter().map(|p| p * p).sum::<f64>();
            // Five standard errors; all data share the jitters, so this is about one draw, not two hundred.
            assert!((simulated / exact - 1.0).abs() < 5.0 * 0.01, "{simulated:e} {exact:e}");
        }
    }

    #[test]
    fn grid_ends_where_it_should() {
        let grid = PolynomialConfig::default().grid();
        assert_eq!(grid.len(), 31);
        assert!((grid[0] / 1e-3 - 1.0).abs() < 1e-14 && (grid[30] - 1.0).abs() < 1e-14);
    }

    /// Full protocol with fewer repetitions: −0.12 → +0.34 and −0.33 → 0, as an independent implementation found.
    #[test]
    fn correlations_are_those_of_an_independent_implementation() {
        let config = PolynomialConfig { repetitions: 600, distances: 2, ..PolynomialConfig::default() };
        let rows = run(&config).unwrap();
        let expected = [-0.12, 0.34, -0.33, 0.0];
        for (row, expected) in rows.iter().zip(expected) {
            assert!((row.correlation - expected).abs() < 0.06, "{row:?} {expected}");
        }
    }

    #[test]
    fn rows_repeat_and_thread_count_does_not_matter() {
        let config = PolynomialConfig::smoke();
        assert_eq!(run(&config).unwrap(), crate::on_threads(1, || run(&config)).unwrap());
    }

    #[test]
    fn bad_configurations_are_named() {
        let message = |config: PolynomialConfig| run(&config).unwrap_err().to_string();
        assert!(message(PolynomialConfig { data: 1, ..PolynomialConfig::smoke() }).contains("data is 1"));
        assert!(
            message(PolynomialConfig { farthest: 1e-4, ..PolynomialConfig::smoke() }).contains("farthest")
        );
        assert!(
            message(PolynomialConfig { learning_rate: f64::NAN, ..PolynomialConfig::smoke() })
                .contains("learning_rate")
        );
        assert!(message(PolynomialConfig { degree: 0, ..PolynomialConfig::smoke() }).contains("degree"));
    }

    proptest! {
        /// Against both errors written out point by point.
        #[test]
        fn decrement_is_the_difference_of_the_errors(x in -1.0..1.0_f64, delta in -0.5..0.5_f64, seed: u64) {
            let config = PolynomialConfig::default();
            let mut stream = Stream::new(seed, "error");
            let error: Vec<f64> = (0..=config.degree).map(|_| stream.normal()).collect();
            let features = powers(x, config.degree);
            let mse = |error: &[f64]| {
                let at = |i: usize| powers(-1.0 + 2.0 * i as f64 / 99.0, config.degree);
                (0..100).map(|i| inner(&at(i), error)).map(|e| e * e).sum::<f64>() / 100.0
            };
            let after: Vec<f64> = error.iter().zip(&features).map(|(e, f)| e - delta * f).collect();
            let fast = decrement(&validation_form(&config), &error, &features, delta);
            prop_assert!((fast - (mse(&error) - mse(&after))).abs() < 1e-12 * (1.0 + mse(&error)));
        }
    }
}
