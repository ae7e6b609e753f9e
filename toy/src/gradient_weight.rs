//! How hard an objective f(p) pulls on a label of probability p: `W_f(p) = −f′(p)·p·(1−p)`, the size of the
//! gradient on the label's own logit, computed by the code that training uses.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokensieve_objective::{Objective, gradient};

use crate::{
    error::{Error, at_least},
    objectives::{Named, alpha, named, pull},
    softmax::{entropy, top_entropy},
};

/// Which curves, on which grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientWeightConfig {
    /// Objectives to draw.
    pub objectives: Vec<Named>,
    /// Grid points k/points, k = 1 … points − 1.
    pub points: usize,
    /// Labels of the distribution behind the curve: p on the label, the rest spread evenly. Objectives that
    /// look at the entropy depend on it, all others do not.
    pub vocabulary: usize,
}

impl Default for GradientWeightConfig {
    fn default() -> Self {
        let objectives = [-0.5, 0.0, 0.1, 0.5, 1.0, 2.0, 10.0]
            .map(alpha)
            .into_iter()
            .chain([
                named("log(1-p)"),
                named("-log p, p >= 0.2"),
                named("-log p, p <= 0.2"),
                named("focal"),
                named("eaft"),
            ])
            .collect();
        Self { objectives, points: 200, vocabulary: 1000 }
    }
}

impl GradientWeightConfig {
    /// A small version: the default objectives on a coarse grid.
    pub fn smoke() -> Self {
        Self { points: 50, vocabulary: 50, ..Self::default() }
    }
}

/// One point of one curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientWeightRow {
    /// Name of the objective.
    pub objective: String,
    /// α, where the objective is `f_α(p) = (1 − p^α)/α`.
    pub alpha: Option<f64>,
    /// Probability of the label.
    pub p: f64,
    /// The pull onto the label, −f′(p)·p.
    pub pull: f64,
    /// `W_f(p)`: size of the gradient on the label's logit.
    pub weight: f64,
    /// p^α(1−p), where α is given.
    pub closed_form: Option<f64>,
}

/// (pull, size of the gradient on the label's logit) at probability `p` among `vocabulary` labels.
pub fn label_gradient(objective: &Objective, p: f64, vocabulary: usize) -> Result<(f64, f64), Error> {
    let mut q = vec![(1.0 - p) / (vocabulary - 1) as f64; vocabulary];
    q[0] = p;
    let mut stats = tokensieve_objective::TokenStats::new(-libm::log(p), entropy(&q));
    stats.top_entropy = Some(top_entropy(&q, 20));
    stats.vocabulary = u32::try_from(vocabulary).unwrap_or(u32::MAX);
    let pull = pull(objective, stats)?;
    let mut out = vec![0.0; vocabulary];
    gradient(&q, 0, None, pull, &mut out);
    Ok((pull.label, out[0].abs()))
}

/// All curves, objective by objective, p ascending.
pub fn run(config: &GradientWeightConfig) -> Result<Vec<GradientWeightRow>, Error> {
    at_least("gradient_weight", [("points", config.points, 2), ("vocabulary", config.vocabulary, 2)])?;
    let curves: Vec<Vec<GradientWeightRow>> = config
        .objectives
        .par_iter()
        .map(|named| {
            let objective = named.build()?;
            (1..config.points)
                .map(|k| {
                    let p = k as f64 / config.points as f64;
                    let (pull, weight) = label_gradient(&objective, p, config.vocabulary)?;
                    let closed_form = named.alpha.map(|alpha| libm::pow(p, alpha) * (1.0 - p));
                    Ok(GradientWeightRow {
                        objective: named.name.clone(),
                        alpha: named.alpha,
                        p,
                        pull,
                        weight,
                        closed_form,
                    })
                })
                .collect::<Result<_, Error>>()
        })
        .collect::<Result<_, Error>>()?;
    Ok(curves.into_iter().flatten().collect())
}

/// The p at which a curve's rows are largest.
pub fn peak(rows: &[GradientWeightRow]) -> Option<f64> {
    rows.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).map(|row| row.p)
}

/// The curvature of f over (0, 1), from −f′(p) = pull/p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// −f′ falls: small probabilities are pulled hardest (prior-averse).
    Convex,
    /// −f′ is constant.
    Linear,
    /// −f′ rises: large probabilities are pulled hardest (prior-leaning).
    Concave,
    /// Neither everywhere.
    Mixed,
}

/// Shape of f from the rows of its curve, p ascending.
pub fn shape(rows: &[GradientWeightRow]) -> Shape {
    let slopes: Vec<f64> = rows.iter().map(|row| row.pull / row.p).collect();
    let (mut rises, mut falls) = (false, false);
    for pair in slopes.windows(2) {
        // 1e-9 relative: the rounding of a pull, far below any bend on a grid of hundreds.
        let tolerance = 1e-9 * pair[0].abs().max(pair[1].abs());
        rises |= pair[1] > pair[0] + tolerance;
        falls |= pair[1] < pair[0] - tolerance;
    }
    match (rises, falls) {
        (false, false) => Shape::Linear,
        (true, false) => Shape::Concave,
        (false, true) => Shape::Convex,
        (true, true) => Shape::Mixed,
    }
}

/// The constants that the published theorem asks of a pair (f1, f2), read from their curves.
///
/// The theorem bounds the difference of weights p·(f2′ − f1′)(p) by at most c on [0, 0.55] and at least d on
/// [0.55, 0.95], and asks for c < 10 d.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// The smallest c that serves: the largest difference on the grid in [0, 0.55].
    pub c: f64,
    /// The largest d that serves: the smallest difference on the grid in [0.55, 0.95].
    pub d: f64,
}

/// The theorem's constants of two curves on the same grid.
pub fn constants(first: &[GradientWeightRow], second: &[GradientWeightRow]) -> Constants {
    let mut constants = Constants { c: f64::NEG_INFINITY, d: f64::INFINITY };
    for (one, two) in first.iter().zip(second) {
        // p·(f2′ − f1′) = pull of f1 − pull of f2
        let difference = one.pull - two.pull;
        if one.p <= 0.55 {
            constants.c = constants.c.max(difference);
        }
        if (0.55..=0.95).contains(&one.p) {
            constants.d = constants.d.min(difference);
        }
    }
    constants
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]
    use super::*;

    fn curves(config: &GradientWeightConfig) -> Vec<Vec<GradientWeightRow>> {
        let rows = run(config).unwrap();
        rows.chunk_by(|a, b| a.objective == b.objective).map(<[GradientWeightRow]>::to_vec).collect()
    }

    #[test]
    fn f_alpha_is_the_closed_form_with_its_peak() {
        let config = GradientWeightConfig::default();
        for curve in curves(&config) {
            let Some(alpha) = curve[0].alpha else { continue };
            for row in &curve {
                let closed = row.closed_form.unwrap();
                assert!((row.weight - closed).abs() < 1e-12 * closed.max(1.0), "{row:?}");
            }
            // For α < 0 the weight grows without bound towards p = 0, and for α = 0 its peak is 0 itself.
            let expected = (alpha / (1.0 + alpha)).max(1.0 / config.points as f64);
            assert!((peak(&curve).unwrap() - expected).abs() <= 1.0 / config.points as f64, "α = {alpha}");
        }
    }

    #[test]
    fn concave_peaks_high_and_convex_peaks_low() {
        for curve in curves(&GradientWeightConfig::default()) {
            let peak = peak(&curve).unwrap();
            match shape(&curve) {
                Shape::Concave => assert!(peak >= 0.5, "{}: {peak}", curve[0].objective),
                Shape::Convex => assert!(peak <= 0.5, "{}: {peak}", curve[0].objective),
                Shape::Linear => assert!((peak - 0.5).abs() < 1e-12),
                Shape::Mixed => assert!(curve[0].alpha.is_none()),
            }
        }
    }

    #[test]
    fn thresholds_cut_where_they_say() {
        let rows = run(&GradientWeightConfig::default()).unwrap();
        for row in rows.iter().filter(|row| row.objective == "-log p, p >= 0.2") {
            let expected = if row.p >= 0.2 { 1.0 - row.p } else { 0.0 };
            // At p = 0.2 itself, −log and back decide.
            assert!((row.p - 0.2).abs() < 1e-12 || (row.weight - expected).abs() < 1e-12, "{row:?}");
        }
    }

    #[test]
    fn headline_pair_misses_the_theorems_constants() {
        let rows = run(&GradientWeightConfig::default()).unwrap();
        let curve = |name: &str| rows.iter().filter(|r| r.objective == name).cloned().collect::<Vec<_>>();
        let Constants { c, d } = constants(&curve("-log p"), &curve("-p"));
        assert!((c - 0.995).abs() < 1e-12 && (d - 0.05).abs() < 1e-12, "{c} {d}");
    }

    #[test]
    fn a_wrong_grid_is_refused() {
        let message = run(&GradientWeightConfig { points: 1, ..GradientWeightConfig::smoke() })
            .unwrap_err()
            .to_string();
        assert!(message.contains("points is 1"), "{message}");
    }
}
