//! Where −p starts to beat −log p: the first-order difference over (mass on the truth, noise rate), by
//! formula and by simulation with sampled labels and real steps.
//!
//! The prediction puts mass a on the truth and spreads the rest over V − 1 labels, from which wrong labels
//! are drawn evenly. With many labels −p reduces the risk faster iff E > (1−a)²/(a + (1−a)²).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokensieve_objective::{Objective, Plan, Pull, TokenStats, gradient};

use crate::{
    error::{Error, at_least, refuse},
    identity::Context,
    objectives::named,
    softmax::entropy,
};
use tokensieve_base::statistics::mean_interval;
use tokensieve_base::streams::Stream;

/// The map's grid and the simulation behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossoverConfig {
    /// V of the maps by formula.
    pub vocabularies: Vec<usize>,
    /// V of the maps that are also simulated, a subset of `vocabularies`.
    pub simulated: Vec<usize>,
    /// Masses on the truth k/masses, k = 1 … masses − 1, as far as they exceed 1/V; and 1/V, the uniform prediction.
    pub masses: usize,
    /// K: noise rates (k/K)², k = 0 … K: finer where strong models cross over.
    pub noise_rates: usize,
    /// Seeds of the simulation.
    pub seeds: u64,
    /// Labels sampled per step.
    pub labels: usize,
    /// Length of the step.
    pub step: f64,
}

impl Default for CrossoverConfig {
    fn default() -> Self {
        Self {
            vocabularies: vec![8, 64, 50_257],
            simulated: vec![8, 64],
            masses: 20,
            noise_rates: 20,
            seeds: 16,
            labels: 1024,
            step: 1e-2,
        }
    }
}

impl CrossoverConfig {
    /// A small version: a coarse map.
    pub fn smoke() -> Self {
        Self { masses: 5, noise_rates: 5, seeds: 4, labels: 256, ..Self::default() }
    }
}

/// One cell of the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossoverRow {
    /// V.
    pub vocabulary: usize,
    /// a: probability of the truth.
    pub truth_probability: f64,
    /// E: share of wrong labels.
    pub noise_rate: f64,
    /// Ṙ1 − Ṙ2 for f1 = −log p, f2 = −p: above 0, −log p reduces the risk faster.
    pub difference: f64,
    /// Its limit for V → ∞.
    pub difference_limit: f64,
    /// The noise rate at which the difference is 0.
    pub boundary_noise_rate: f64,
    /// Its limit for V → ∞, (1−a)²/(a + (1−a)²).
    pub boundary_limit: f64,
    /// The difference after real steps on sampled labels, mean over seeds.
    pub simulated: Option<f64>,
    /// Lower end of its 95 % interval.
    pub simulated_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub simulated_high: Option<f64>,
    /// Number of seeds of the simulation.
    pub seeds: Option<u64>,
}

/// ‖q‖² of the prediction with mass `a` on the truth.
fn square(a: f64, vocabulary: usize) -> f64 {
    let others = (vocabulary - 1) as f64;
    a * a + (1.0 - a) * (1.0 - a) / others
}

/// The gain of −log p over −p per unit of probability that the label seen is right, and its loss per unit that it is wrong.
fn gain_and_loss(a: f64, vocabulary: usize) -> (f64, f64) {
    let tail = (1.0 - a) / (vocabulary - 1) as f64;
    let square = square(a, vocabulary);
    (a * (1.0 - a) * (1.0 - 2.0 * a + square), a * (1.0 - tail) * (a + tail - square))
}

/// Ṙ1 − Ṙ2 of −log p and −p, in closed form.
pub fn difference(a: f64, noise_rate: f64, vocabulary: usize) -> f64 {
    let (gain, loss) = gain_and_loss(a, vocabulary);
    (1.0 - noise_rate) * gain - noise_rate * loss
}

/// Its limit for many labels.
pub fn difference_limit(a: f64, noise_rate: f64) -> f64 {
    a * (1.0 - a) * ((1.0 - noise_rate) * (1.0 - a) * (1.0 - a) - noise_rate * a)
}

/// Noise rate above which −p reduces the risk faster.
pub fn boundary(a: f64, vocabulary: usize) -> f64 {
    let (gain, loss) = gain_and_loss(a, vocabulary);
    gain / (gain + loss)
}

/// Its limit for many labels.
pub fn boundary_limit(a: f64) -> f64 {
    let rest = (1.0 - a) * (1.0 - a);
    rest / (a + rest)
}

/// The context of one cell; wrong labels are spread evenly.
pub fn context(a: f64, noise_rate: f64, vocabulary: usize) -> Context {
    let others = (vocabulary - 1) as f64;
    let mut logits = vec![libm::log((1.0 - a) / others); vocabulary];
    logits[0] = libm::log(a);
    let mut seen = vec![noise_rate / others; vocabulary];
    seen[0] = 1.0 - noise_rate;
    Context::new(logits, 0, seen)
}

/// One seed of one cell: (R after a step on f2 − R after a step on f1)/step, both on the same sampled labels.
pub fn simulate(
    config: &CrossoverConfig,
    objectives: [&Objective; 2],
    (a, noise_rate, vocabulary): (f64, f64, usize),
    seed: u64,
) -> Result<f64, Error> {
    let cell = context(a, noise_rate, vocabulary);
    let mut stream = Stream::new(seed, &format!("crossover/{vocabulary}/{a}/{noise_rate}"));
    let labels: Vec<usize> = (0..config.labels)
        .map(|_| if stream.chance(noise_rate) { 1 + stream.below(vocabulary - 1) } else { 0 })
        .collect();
    let uncertainty = entropy(&cell.q);
    let stats: Vec<TokenStats> = labels
        .iter()
        .zip(0..)
        .map(|(label, position)| {
            let mut stats = TokenStats::new(-libm::log(cell.q[*label]), uncertainty);
            stats.position = position;
            stats
        })
        .collect();
    let mut risks = [0.0; 2];
    for (risk, objective) in risks.iter_mut().zip(objectives) {
        let mut training = objective.begin(Plan { steps: 1, seed });
        let pulls = training.pulls(&stats)?;
        // All tokens share one prediction, so equal labels add up their pulls.
        let mut totals = vec![Pull::default(); vocabulary];
        for (label, pull) in labels.iter().zip(&pulls.pulls) {
            totals[*label].label += pull.label;
        }
        let mut logits = cell.logits.clone();
        let mut row = vec![0.0; vocabulary];
        for (label, total) in totals.iter().enumerate().filter(|(_, total)| total.label != 0.0) {
            gradient(&cell.q, label, None, *total, &mut row);
            let scale = config.step / pulls.normaliser;
            logits.iter_mut().zip(&row).for_each(|(z, g)| *z -= scale * g);
        }
        *risk = Context::new(logits, 0, cell.seen.clone()).risk();
    }
    Ok((risks[1] - risks[0]) / config.step)
}

/// The map: vocabularies, masses and noise rates ascending, in this order.
pub fn run(config: &CrossoverConfig) -> Result<Vec<CrossoverRow>, Error> {
    if let Some(found) = config.vocabularies.iter().find(|v| **v < 3) {
        return refuse("crossover", "vocabularies", found, "at least 3 labels each");
    }
    at_least("crossover", [("masses", config.masses, 2), ("noise_rates", config.noise_rates, 2)])?;
    if config.seeds < 2 || config.labels == 0 || config.step.is_nan() || config.step <= 0.0 {
        let found = format!("{}, {}, {}", config.seeds, config.labels, config.step);
        return refuse("crossover", "seeds, labels, step", found, "at least 2, at least 1, above 0");
    }
    let (log, linear) = (named("-log p").build()?, named("-p").build()?);
    let mut cells = Vec::new();
    for &vocabulary in &config.vocabularies {
        let uniform = 1.0 / vocabulary as f64;
        let grid = (1..config.masses).map(|k| k as f64 / config.masses as f64);
        for a in std::iter::once(uniform).chain(grid.filter(|a| *a > 1.001 * uniform)) {
            for k in 0..=config.noise_rates {
                let root = k as f64 / config.noise_rates as f64;
                cells.push((a, root * root, vocabulary));
            }
        }
    }
    cells
        .par_iter()
        .map(|&(a, noise_rate, vocabulary)| {
            let simulated = if config.simulated.contains(&vocabulary) {
                let differences = (0..config.seeds)
                    .map(|seed| simulate(config, [&log, &linear], (a, noise_rate, vocabulary), seed))
                    .collect::<Result<Vec<f64>, _>>()?;
                mean_interval(&differences)
            } else {
                None
            };
            Ok(CrossoverRow {
                vocabulary,
                truth_probability: a,
                noise_rate,
                difference: difference(a, noise_rate, vocabulary),
                difference_limit: difference_limit(a, noise_rate),
                boundary_noise_rate: boundary(a, vocabulary),
                boundary_limit: boundary_limit(a),
                simulated: simulated.map(|s| s.value),
                simulated_low: simulated.map(|s| s.low),
                simulated_high: simulated.map(|s| s.high),
                seeds: simulated.map(|_| config.seeds),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]
    use super::*;

    fn pair() -> [Objective; 2] {
        ["-log p", "-p"].map(|name| named(name).build().unwrap())
    }

    #[test]
    fn closed_form_is_the_identity() {
        let [log, linear] = pair();
        for (a, noise_rate, vocabulary) in [(0.3, 0.1, 5), (0.05, 0.9, 64), (0.95, 0.01, 400), (0.5, 0.5, 3)]
        {
            let formula = difference(a, noise_rate, vocabulary);
            let identity = context(a, noise_rate, vocabulary).identity(&log, &linear).unwrap();
            assert!((formula - identity).abs() < 1e-14, "{formula} {identity}");
        }
    }

    #[test]
    fn the_boundary_is_where_the_sign_turns() {
        for vocabulary in [3, 16, 1000] {
            for k in 1..20 {
                let a = f64::from(k) / 20.0;
                if a * vocabulary as f64 <= 1.0 {
                    continue;
                }
                let at = boundary(a, vocabulary);
                assert!(
                    difference(a, at - 1e-6, vocabulary) > 0.0 && difference(a, at + 1e-6, vocabulary) < 0.0
                );
            }
        }
    }

    #[test]
    fn many_labels_give_the_published_boundary() {
        for (a, published, digits) in
            [(0.3, 0.62, 5e-3), (0.5, 0.333, 5e-4), (0.8, 0.048, 5e-4), (0.95, 0.0026, 5e-5)]
        {
            assert!((boundary_limit(a) - published).abs() < digits, "{}", boundary_limit(a));
            assert!((boundary(a, 10_000_000) - boundary_limit(a)).abs() < 1e-6);
            assert!((difference(a, 0.2, 10_000_000) - difference_limit(a, 0.2)).abs() < 1e-6);
        }
    }

    /// Uniform q: the difference is (f2′ − f1′)(1/V)·V⁻³·((V−1)(1−E) − E).
    #[test]
    fn uniform_prediction() {
        for vocabulary in [3_usize, 10, 100] {
            let v = vocabulary as f64;
            for noise_rate in [0.0, 0.3, 0.9, 1.0] {
                let expected = (v - 1.0) / (v * v * v) * ((v - 1.0) * (1.0 - noise_rate) - noise_rate);
                assert!((difference(1.0 / v, noise_rate, vocabulary) - expected).abs() < 1e-15);
            }
            assert!((boundary(1.0 / v, vocabulary) - (v - 1.0) / v).abs() < 1e-14);
        }
    }

    #[test]
    fn simulation_covers_the_formula() {
        let rows = run(&CrossoverConfig { step: 1e-4, ..CrossoverConfig::smoke() }).unwrap();
        let simulated: Vec<&CrossoverRow> = rows.iter().filter(|row| row.simulated.is_some()).collect();
        let covered = simulated.iter().filter(|row| {
            // Noise 0 or 1 leaves nothing to sample: there the interval is a point, off by the step's own error.
            row.simulated_low.unwrap() - 1e-4 <= row.difference
                && row.difference <= row.simulated_high.unwrap() + 1e-4
        });
        // 95 % intervals: 12 % misses would be a wrong formula, not chance.
        assert!(covered.count() * 100 >= simulated.len() * 88);
    }
}
