//! From the seeds' losses to the table: the curves' medians, and paired comparisons.

use serde::{Deserialize, Serialize};

use super::config::{Features, Method, NAME, RegressionConfig, Selects};
use crate::Error;
use tokensieve_base::statistics::{self, Estimate};

/// Curves are drawn from every step up to here and from every fourth beyond.
const DENSE: usize = 24;

/// A hold-out loss this far below its initial value is solved: what is left of it is rounding.
const SOLVED: f64 = 1e-24;

/// The quantity in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Mean over the held-out rows of ½(z·w − d)².
    HoldoutLoss,
    /// log10 of the ratio of the hold-out loss to that of full gradient descent after as many steps.
    OverFullAtEqualSteps,
    /// log10 of the ratio to full gradient descent once that has used as many data (updated as many coordinates).
    OverFullAtEqualCost,
    /// log10 of the ratio to the greedy optimum of equal kind and step size, at the same step.
    OverOptimal,
    /// log10 of the ratio to the random subset of equal kind and step size, at the same step.
    OverRandom,
}

/// One point of a curve, or one comparison, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionRow {
    /// The coordinates of the features.
    pub features: Features,
    /// How the mask is chosen.
    pub method: Method,
    /// Step size times λ_max(ZᵀZ).
    pub step_size: f64,
    /// What `median`, `low` and `high` are of.
    pub quantity: Quantity,
    /// Steps taken.
    pub step: usize,
    /// Rows used in all updates so far.
    pub data_used: usize,
    /// Coordinates changed in all updates so far.
    pub coordinates_updated: usize,
    /// Median over the seeds.
    pub median: f64,
    /// Lower end of the median's exact 95 % interval (two order statistics).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Seeds in which this method's loss is lower than what it is compared with (a loss: than its initial value).
    pub seeds_lower: usize,
    /// Seeds in which it is higher; the rest are ties.
    pub seeds_higher: usize,
    /// Seeds.
    pub seeds: usize,
}

/// The rows of one kind of features; `by_seed` holds every seed's runs in the order of [`RegressionConfig::runs`].
pub(super) fn rows(
    config: &RegressionConfig,
    features: Features,
    by_seed: &[Vec<Vec<f64>>],
) -> Result<Vec<RegressionRow>, Error> {
    let summary = Summary { config, features, by_seed, runs: config.runs() };
    let mut rows = Vec::new();
    for run in 0..summary.runs.len() {
        for step in (0..=config.steps).filter(|step| *step <= DENSE || step % 4 == 0) {
            rows.push(summary.loss(run, step)?);
        }
        for &step in &config.compared_at {
            rows.extend(summary.comparisons(run, step)?);
        }
    }
    Ok(rows)
}

struct Summary<'a> {
    config: &'a RegressionConfig,
    features: Features,
    by_seed: &'a [Vec<Vec<f64>>],
    runs: Vec<(Method, f64)>,
}

impl Summary<'_> {
    fn loss(&self, run: usize, step: usize) -> Result<RegressionRow, Error> {
        let losses: Vec<f64> = self.by_seed.iter().map(|runs| runs[run][step]).collect();
        let initial: Vec<f64> = self.by_seed.iter().map(|runs| runs[run][0]).collect();
        let interval = statistics::median_interval(&losses);
        self.row((run, step), Quantity::HoldoutLoss, interval, statistics::sign_counts(&losses, &initial))
    }

    /// Every comparison that makes sense for this run at this step.
    fn comparisons(&self, run: usize, step: usize) -> Result<Vec<RegressionRow>, Error> {
        let (method, size) = self.runs[run];
        let find = |wanted| {
            let same = |&(method, other): &(Method, f64)| method == wanted && other.total_cmp(&size).is_eq();
            self.runs.iter().position(same).filter(|&other| other != run)
        };
        let full = self.runs.iter().position(|&(method, _)| method == Method::FullGradient);
        let (optimal, random) = match method.selects() {
            Selects::Nothing => return Ok(Vec::new()),
            Selects::Data => (Method::OptimalData, Method::RandomData),
            Selects::Coordinates => (Method::OptimalCoordinates, Method::RandomCoordinates),
        };
        let others = [
            (Quantity::OverFullAtEqualSteps, full, Some(step)),
            (Quantity::OverFullAtEqualCost, full, self.full_steps_at_equal_cost(method, step)),
            (Quantity::OverOptimal, find(optimal), Some(step)),
            (Quantity::OverRandom, find(random), Some(step)),
        ];
        let comparable = others.into_iter().filter_map(|(quantity, other, at)| Some((quantity, other?, at?)));
        comparable.map(|(quantity, other, at)| self.compare(quantity, (run, step), (other, at))).collect()
    }

    /// Steps after which full gradient descent has cost exactly as much, if there are such.
    fn full_steps_at_equal_cost(&self, method: Method, step: usize) -> Option<usize> {
        let (data, coordinates) = self.config.cost(method);
        let (spent, price) = match method.selects() {
            Selects::Coordinates => (coordinates * step, self.config.coordinates),
            Selects::Data | Selects::Nothing => (data * step, self.config.data),
        };
        (spent % price == 0).then_some(spent / price)
    }

    fn compare(
        &self,
        quantity: Quantity,
        ours: (usize, usize),
        theirs: (usize, usize),
    ) -> Result<RegressionRow, Error> {
        let logs = |(run, step): (usize, usize)| -> Vec<f64> {
            self.by_seed.iter().map(|runs| libm::log10(runs[run][step].max(SOLVED * runs[run][0]))).collect()
        };
        let (ours_logs, theirs_logs) = (logs(ours), logs(theirs));
        let ratios: Vec<f64> = ours_logs.iter().zip(&theirs_logs).map(|(a, b)| a - b).collect();
        let interval = statistics::median_interval(&ratios);
        self.row(ours, quantity, interval, statistics::sign_counts(&ours_logs, &theirs_logs))
    }

    fn row(
        &self,
        (run, step): (usize, usize),
        quantity: Quantity,
        estimate: Option<Estimate>,
        (seeds_higher, seeds_lower, _): (usize, usize, usize),
    ) -> Result<RegressionRow, Error> {
        let (method, step_size) = self.runs[run];
        let (data, coordinates) = self.config.cost(method);
        let finite = |e: &Estimate| [e.value, e.low, e.high].iter().all(|x| x.is_finite());
        let Estimate { value: median, low, high, n: seeds } = estimate
            .filter(finite)
            .ok_or(Error::Undefined { experiment: NAME, quantity: "hold-out loss" })?;
        Ok(RegressionRow {
            features: self.features,
            method,
            step_size,
            quantity,
            step,
            data_used: data * step,
            coordinates_updated: coordinates * step,
            median,
            low,
            high,
            seeds_lower,
            seeds_higher,
            seeds,
        })
    }
}
