//! Linear regression trained on a subset of the data, or of the coordinates, at every step (paper A, C.1, fig. 11).
//!
//! The loss is ½‖Zw − d‖², a step is w ← w − λ Zᵀ(Zw − d) with a 0/1 mask on the rows of Z (which data) or on the
//! entries of the gradient (which coordinates). The greedy optimum takes, at every step, the mask that leaves the
//! smallest training loss, found among all of them; the heuristics take the largest |residual| or |gradient|.
//!
//! Letters: N rows (data), D columns (coordinates), k in the subset, ε = Zw − d the residual.

#![allow(clippy::doc_markdown, reason = "ZᵀZ is a formula, not an item")]

mod choose;
mod config;
mod problem;
mod summary;
#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same operations in the same order")]
mod tests;

use ndarray::Array1;

pub use config::{Features, Method, RegressionConfig, Selects};
pub use problem::Problem;
pub use summary::{Quantity, RegressionRow};

use crate::Error;
use crate::linalg::dot;
use crate::over_seeds;

/// A run that has grown this far above its initial training loss has diverged: it stays where it is.
const DIVERGED: f64 = 1e30;

/// Hold-out losses at the steps 0..=steps of one run: `method` from w = 0 with step size `step_size`/λ_max.
pub fn train(
    config: &RegressionConfig,
    problem: &Problem,
    method: Method,
    step_size: f64,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    let rate = step_size / problem.largest_eigenvalue;
    let mut chooser = choose::Chooser::new(config, method, seed)?;
    let mut w = Array1::zeros(problem.z_nd.ncols());
    let bound = DIVERGED * problem.target_n.iter().map(|d| d * d).sum::<f64>();
    let mut losses = vec![problem.holdout_loss(&w)];
    for _ in 0..config.steps {
        let residual = problem.residual(&w);
        if dot(residual.view(), residual.view()) < bound {
            let gradient = chooser.gradient(problem, method, rate, &residual)?;
            w.scaled_add(-rate, &gradient);
        }
        losses.push(problem.holdout_loss(&w));
    }
    Ok(losses)
}

/// The hold-out losses of all runs of one seed, in the order of [`RegressionConfig::runs`].
pub fn run_seed(config: &RegressionConfig, features: Features, seed: u64) -> Result<Vec<Vec<f64>>, Error> {
    let problem = Problem::new(config, features, seed)?;
    config.runs().into_iter().map(|(method, size)| train(config, &problem, method, size, seed)).collect()
}

/// The whole figure: every curve's median over the seeds, and the comparisons of the methods seed by seed.
pub fn run(config: &RegressionConfig) -> Result<Vec<RegressionRow>, Error> {
    config.check()?;
    let mut rows = Vec::new();
    for features in [Features::Correlated, Features::Whitened] {
        let seeds = config.seed..config.seed + config.seeds;
        let by_seed = over_seeds(seeds, |seed| run_seed(config, features, seed))?;
        rows.extend(summary::rows(config, features, &by_seed)?);
    }
    Ok(rows)
}
