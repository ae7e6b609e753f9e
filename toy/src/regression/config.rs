//! The configuration of the regression: sizes, methods, step sizes.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, at_least, refuse},
    subset,
};

pub(super) const NAME: &str = "regression";

/// Everything that determines the figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionConfig {
    /// N, rows of Z.
    pub data: usize,
    /// D, columns of Z.
    pub coordinates: usize,
    /// k, data per step of the methods that select data.
    pub data_kept: usize,
    /// Coordinates per step of the methods that select coordinates.
    pub coordinates_kept: usize,
    /// Steps of every run.
    pub steps: usize,
    /// Independent problems.
    pub seeds: u64,
    /// First seed.
    pub seed: u64,
    /// Correlation of neighbouring features: E\[zᵢzⱼ\] = this^|i−j|.
    pub feature_correlation: f64,
    /// Standard deviation of the noise on d in training; held-out d are noiseless.
    pub noise_sd: f64,
    /// Fresh rows for the hold-out loss.
    pub holdout: usize,
    /// Step sizes of the data-selecting methods, in units of 1/λ_max(ZᵀZ); full gradient descent has 1.
    pub data_steps: Vec<f64>,
    /// Step sizes of the coordinate-selecting methods, in the same unit.
    pub coordinate_steps: Vec<f64>,
    /// Steps at which methods are compared, seed by seed.
    pub compared_at: Vec<usize>,
}

impl Default for RegressionConfig {
    /// PAPERS C.1: N = 16, D = 8, k = 4, 200 steps, 32 seeds; step sizes 1, 3 and N/k (D/k for coordinates).
    fn default() -> Self {
        Self {
            data: 16,
            coordinates: 8,
            data_kept: 4,
            coordinates_kept: 4,
            steps: 200,
            seeds: 32,
            seed: 0,
            feature_correlation: 0.5,
            noise_sd: 0.0,
            holdout: 256,
            data_steps: vec![1.0, 3.0, 4.0],
            coordinate_steps: vec![1.0, 2.0],
            compared_at: vec![4, 8, 16, 24, 40, 80, 120, 200],
        }
    }
}

impl RegressionConfig {
    /// A small version of seconds that runs every step.
    pub fn smoke() -> Self {
        Self {
            data: 8,
            coordinates: 4,
            data_kept: 2,
            coordinates_kept: 2,
            steps: 24,
            seeds: 6,
            holdout: 100,
            compared_at: vec![4, 8, 16, 24],
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        at_least(
            NAME,
            [("coordinates", self.coordinates, 1), ("steps", self.steps, 1), ("holdout", self.holdout, 1)],
        )?;
        if self.data < self.coordinates {
            return refuse(NAME, "data", self.data, "at least `coordinates`, or Z cannot be whitened");
        }
        let subsets = [
            ("data_kept", self.data, self.data_kept),
            ("coordinates_kept", self.coordinates, self.coordinates_kept),
        ];
        for (key, all, kept) in subsets {
            if kept == 0 || kept > all {
                return refuse(NAME, key, kept, "between 1 and the number that it is chosen from");
            }
            // 10⁶ subsets take about a millisecond per step: the whole figure would still end within minutes.
            if subset::count(all, kept) > 1e6 {
                return refuse(NAME, key, kept, "such that there are at most a million subsets");
            }
        }
        if self.seeds < 6 {
            return refuse(NAME, "seeds", self.seeds, "at least 6: fewer give a median no 95 % interval");
        }
        if self.feature_correlation.is_nan() || self.feature_correlation.abs() >= 1.0 {
            return refuse(NAME, "feature_correlation", self.feature_correlation, "between -1 and 1");
        }
        if !(self.noise_sd >= 0.0 && self.noise_sd.is_finite()) {
            return refuse(NAME, "noise_sd", self.noise_sd, "finite and not negative");
        }
        for &step in self.data_steps.iter().chain(&self.coordinate_steps) {
            if !(step > 0.0 && step.is_finite()) {
                return refuse(NAME, "data_steps or coordinate_steps", step, "finite and positive");
            }
        }
        match self.compared_at.iter().find(|&&step| step > self.steps) {
            Some(step) => refuse(NAME, "compared_at", step, "at most `steps`"),
            None => Ok(()),
        }
    }

    /// Every method with each of its step sizes, in the table's order.
    pub fn runs(&self) -> Vec<(Method, f64)> {
        let mut runs = vec![(Method::FullGradient, 1.0)];
        for method in Method::DATA {
            runs.extend(self.data_steps.iter().map(|&size| (method, size)));
        }
        for method in Method::COORDINATES {
            runs.extend(self.coordinate_steps.iter().map(|&size| (method, size)));
        }
        runs
    }

    /// Cost of one step as (data used, coordinates updated).
    pub(super) fn cost(&self, method: Method) -> (usize, usize) {
        match method.selects() {
            Selects::Nothing => (self.data, self.coordinates),
            Selects::Data => (self.data_kept, self.coordinates),
            Selects::Coordinates => (self.data, self.coordinates_kept),
        }
    }
}

/// The coordinates of the features of Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Features {
    /// As drawn: neighbours are correlated.
    Correlated,
    /// Whitened: the problem in the coordinates in which ZᵀZ = I.
    Whitened,
}

/// What is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selects {
    /// Nothing: all data, all coordinates.
    Nothing,
    /// Rows of Z.
    Data,
    /// Entries of the gradient.
    Coordinates,
}

/// A way to choose the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// No mask.
    FullGradient,
    /// The k data that leave the smallest training loss, by exhaustive search.
    OptimalData,
    /// The k data with the largest loss, through the objective crate's selection.
    TopResidual,
    /// k data at random.
    RandomData,
    /// The coordinates that leave the smallest training loss, by exhaustive search.
    OptimalCoordinates,
    /// The coordinates with the largest |gradient|.
    TopGradient,
    /// Coordinates at random.
    RandomCoordinates,
}

impl Method {
    /// The methods that select data.
    pub const DATA: [Self; 3] = [Self::OptimalData, Self::TopResidual, Self::RandomData];
    /// The methods that select coordinates.
    pub const COORDINATES: [Self; 3] = [Self::OptimalCoordinates, Self::TopGradient, Self::RandomCoordinates];

    /// What this method masks.
    pub fn selects(self) -> Selects {
        match self {
            Self::FullGradient => Selects::Nothing,
            Self::OptimalData | Self::TopResidual | Self::RandomData => Selects::Data,
            Self::OptimalCoordinates | Self::TopGradient | Self::RandomCoordinates => Selects::Coordinates,
        }
    }
}
