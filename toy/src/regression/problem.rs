//! One seed's regression problem, and the quadratic forms that price every subset of a step.

use ndarray::{Array1, Array2};

use super::config::{Features, RegressionConfig};
use crate::Error;
use crate::linalg::{dot, gram, largest_gram_eigenvalue, matmul, matvec, whitening};
use tokensieve_base::streams::Stream;

/// One seed's problem: Zw = d in the given features, its hold-out, and what every step needs of it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Z, N × D.
    pub z_nd: Array2<f64>,
    /// d.
    pub target_n: Array1<f64>,
    /// Held-out rows in the same coordinates.
    pub holdout_md: Array2<f64>,
    /// Their noiseless targets.
    pub holdout_target_m: Array1<f64>,
    /// λ_max(ZᵀZ).
    pub largest_eigenvalue: f64,
    /// G = ZZᵀ and G².
    rows_gram_nn: Array2<f64>,
    rows_gram_squared_nn: Array2<f64>,
    /// ZᵀZ.
    columns_gram_dd: Array2<f64>,
}

impl Problem {
    /// The problem of `seed`; whitening changes its coordinates, not its data or its best predictions.
    pub fn new(config: &RegressionConfig, features: Features, seed: u64) -> Result<Self, Error> {
        let draw = |name: &str, rows: usize| {
            let mut stream = Stream::new(seed, name);
            correlated_rows(rows, config.coordinates, config.feature_correlation, &mut stream)
        };
        let (mut z_nd, mut holdout_md) =
            (draw("regression/rows", config.data), draw("regression/holdout", config.holdout));
        let mut stream = Stream::new(seed, "regression/truth");
        let truth: Array1<f64> = (0..config.coordinates).map(|_| stream.normal()).collect();
        let mut noise = Stream::new(seed, "regression/noise");
        let target_n = matvec(z_nd.view(), truth.view()).mapv(|y| y + config.noise_sd * noise.normal());
        let holdout_target_m = matvec(holdout_md.view(), truth.view());
        if features == Features::Whitened {
            let whiten = whitening(z_nd.view())?;
            z_nd = matmul(z_nd.view(), whiten.view())?;
            holdout_md = matmul(holdout_md.view(), whiten.view())?;
        }
        Self::assemble(z_nd, target_n, holdout_md, holdout_target_m)
    }

    pub(super) fn assemble(
        z_nd: Array2<f64>,
        target_n: Array1<f64>,
        holdout_md: Array2<f64>,
        holdout_target_m: Array1<f64>,
    ) -> Result<Self, Error> {
        let rows_gram_nn = gram(z_nd.view());
        Ok(Self {
            largest_eigenvalue: largest_gram_eigenvalue(z_nd.view())?,
            rows_gram_squared_nn: matmul(rows_gram_nn.view(), rows_gram_nn.view())?,
            columns_gram_dd: gram(z_nd.t()),
            rows_gram_nn,
            z_nd,
            target_n,
            holdout_md,
            holdout_target_m,
        })
    }

    /// ε = Zw − d.
    pub fn residual(&self, w: &Array1<f64>) -> Array1<f64> {
        matvec(self.z_nd.view(), w.view()) - &self.target_n
    }

    pub(super) fn holdout_loss(&self, w: &Array1<f64>) -> f64 {
        let error = matvec(self.holdout_md.view(), w.view()) - &self.holdout_target_m;
        0.5 * dot(error.view(), error.view()) / error.len() as f64
    }

    /// The change of ½‖ε‖² by a step of size λ on the data I, as the linear and quadratic terms of I's indicator:
    /// −λ Σ εᵢ(Gε)ᵢ + ½λ² Σ εᵢεⱼ(G²)ᵢⱼ.
    pub(super) fn data_terms(&self, rate: f64, residual: &Array1<f64>) -> (Array1<f64>, Array2<f64>) {
        let pushed = matvec(self.rows_gram_nn.view(), residual.view());
        let linear = Array1::from_shape_fn(residual.len(), |i| -rate * residual[i] * pushed[i]);
        let quadratic = Array2::from_shape_fn(self.rows_gram_nn.dim(), |(i, j)| {
            rate * rate * residual[i] * residual[j] * self.rows_gram_squared_nn[(i, j)]
        });
        (linear, quadratic)
    }

    /// The change of ½‖ε‖² by a step on the coordinates J, with g = Zᵀε: −λ Σ gⱼ² + ½λ² Σ gᵢgⱼ(ZᵀZ)ᵢⱼ.
    pub(super) fn coordinate_terms(&self, rate: f64, gradient: &Array1<f64>) -> (Array1<f64>, Array2<f64>) {
        let linear = gradient.mapv(|g| -rate * g * g);
        let quadratic = Array2::from_shape_fn(self.columns_gram_dd.dim(), |(i, j)| {
            rate * rate * gradient[i] * gradient[j] * self.columns_gram_dd[(i, j)]
        });
        (linear, quadratic)
    }
}

/// Rows of a stationary first-order autoregression along the columns: E[zᵢzⱼ] = correlation^|i−j|.
fn correlated_rows(rows: usize, columns: usize, correlation: f64, stream: &mut Stream) -> Array2<f64> {
    let fresh = (1.0 - correlation * correlation).sqrt();
    let mut z = Array2::zeros((rows, columns));
    for mut row in z.outer_iter_mut() {
        let mut last = stream.normal();
        row[0] = last;
        for entry in row.iter_mut().skip(1) {
            last = correlation * last + fresh * stream.normal();
            *entry = last;
        }
    }
    z
}
