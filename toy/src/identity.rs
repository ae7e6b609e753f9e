//! What one step of gradient flow on f1 gains over one on f2, exactly: the first-order identity of a tabular
//! softmax under label noise, beside the same number from dense gradients and from finite steps.
//!
//! A context is a vector of logits with prediction q; its true label is y*, the label seen is ỹ. Training
//! minimises `E f(q_ỹ)`; what counts is the risk `R = E[−q_{y*}]`. Then, to first order in the length of a
//! step, the reductions of the risk differ by
//!
//! `Ṙ1 − Ṙ2 = E[ q_ỹ q_{y*} (f2′ − f1′)(q_ỹ) ⟨e_{y*} − q, e_ỹ − q⟩ ]`.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokensieve_objective::{Objective, TokenStats, gradient};

use crate::{
    error::{Error, at_least, refuse},
    objectives::{Named, named, pull},
    softmax::softmax,
};
use tokensieve_base::streams::Stream;

/// Random tables and the pairs of objectives compared on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityConfig {
    /// Pairs (f1, f2).
    pub pairs: Vec<(Named, Named)>,
    /// Numbers of labels.
    pub vocabularies: Vec<usize>,
    /// Random tables per vocabulary and pair.
    pub tables: usize,
    /// Contexts in a table, each with its own prediction, truth and noise.
    pub contexts: usize,
    /// Lengths of the finite steps.
    pub steps: Vec<f64>,
    /// Seed.
    pub seed: u64,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            pairs: [("-log p", "-p"), ("-p", "-p^10"), ("-log p", "log(1-p)"), ("-log p, p >= 0.2", "-p")]
                .map(|(first, second)| (named(first), named(second)))
                .to_vec(),
            vocabularies: vec![2, 8, 64],
            tables: 48,
            contexts: 4,
            steps: vec![1e-2, 1e-3, 1e-4],
            seed: 1,
        }
    }
}

impl IdentityConfig {
    /// A small version: a few tables.
    pub fn smoke() -> Self {
        Self { tables: 8, ..Self::default() }
    }
}

/// One table, one pair, one length of step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityRow {
    /// f1.
    pub first: String,
    /// f2.
    pub second: String,
    /// V.
    pub vocabulary: usize,
    /// Number of the table.
    pub table: usize,
    /// Mean probability of the truth.
    pub truth_probability: f64,
    /// E: share of wrong labels.
    pub noise_rate: f64,
    /// Length of the finite step.
    pub step: f64,
    /// Ṙ1 − Ṙ2 by the identity.
    pub identity: f64,
    /// Ṙ1 − Ṙ2 from dense gradients of both objectives and of the risk.
    pub direct: f64,
    /// (R after a step on f2 − R after a step on f1) / length of the step.
    pub finite: f64,
}

/// One context: its logits, its truth, and how often each label is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// Logits.
    pub logits: Vec<f64>,
    /// Prediction, the softmax of the logits.
    pub q: Vec<f64>,
    /// y*.
    pub truth: usize,
    /// P(ỹ), summing to one.
    pub seen: Vec<f64>,
}

impl Context {
    /// A context from its logits.
    pub fn new(logits: Vec<f64>, truth: usize, seen: Vec<f64>) -> Self {
        let mut q = logits.clone();
        softmax(&mut q);
        Self { logits, q, truth, seen }
    }

    /// A random context: logits of random spread, a random truth, a random distribution of wrong labels at `noise_rate`.
    pub fn random(vocabulary: usize, noise_rate: f64, stream: &mut Stream) -> Self {
        let spread = stream.uniform_in(0.0, 3.0);
        let mut logits: Vec<f64> = (0..vocabulary).map(|_| spread * stream.normal()).collect();
        let truth = stream.below(vocabulary);
        // Lifts the truth by up to 6 nats, so that strong contexts are as common as weak ones.
        logits[truth] += stream.uniform_in(0.0, 6.0);
        let mut seen: Vec<f64> = (0..vocabulary).map(|_| -libm::log(1.0 - stream.uniform())).collect();
        seen[truth] = 0.0;
        let sum: f64 = seen.iter().sum();
        for s in &mut seen {
            *s *= noise_rate / sum;
        }
        seen[truth] = 1.0 - noise_rate;
        Self::new(logits, truth, seen)
    }

    /// `R = −q_{y*}`.
    pub fn risk(&self) -> f64 {
        -self.q[self.truth]
    }

    fn label_pull(&self, objective: &Objective, label: usize) -> Result<f64, Error> {
        // The entropy does not enter f(p); the identity is about f(p) only.
        Ok(pull(objective, TokenStats::new(-libm::log(self.q[label]), 0.0))?.label)
    }

    /// −dz/dt: the expected gradient of `f(q_ỹ)` on the logits.
    pub fn flow(&self, objective: &Objective) -> Result<Vec<f64>, Error> {
        let mut flow = vec![0.0; self.q.len()];
        let mut row = flow.clone();
        for (label, &seen) in self.seen.iter().enumerate().filter(|(_, seen)| **seen > 0.0) {
            let stats = TokenStats::new(-libm::log(self.q[label]), 0.0);
            gradient(&self.q, label, None, pull(objective, stats)?, &mut row);
            flow.iter_mut().zip(&row).for_each(|(sum, g)| *sum += seen * g);
        }
        Ok(flow)
    }

    /// First-order reduction of the risk, from dense gradients.
    pub fn reduction(&self, objective: &Objective) -> Result<f64, Error> {
        // ∂R/∂z_i = −q_{y*}(δ_{i,y*} − q_i)
        let truth_q = self.q[self.truth];
        let flow = self.flow(objective)?;
        let along: f64 = self.q.iter().zip(&flow).map(|(q, g)| q * g).sum::<f64>() - flow[self.truth];
        Ok(truth_q * along)
    }

    /// The context after a step of this length along the flow.
    pub fn stepped(&self, objective: &Objective, step: f64) -> Result<Self, Error> {
        let flow = self.flow(objective)?;
        let logits = self.logits.iter().zip(flow).map(|(z, g)| z - step * g).collect();
        Ok(Self::new(logits, self.truth, self.seen.clone()))
    }

    /// Ṙ1 − Ṙ2 by the identity, term by term as it is written.
    pub fn identity(&self, first: &Objective, second: &Objective) -> Result<f64, Error> {
        let square: f64 = self.q.iter().map(|q| q * q).sum();
        let truth_q = self.q[self.truth];
        let mut sum = 0.0;
        for (label, &seen) in self.seen.iter().enumerate().filter(|(_, seen)| **seen > 0.0) {
            let q = self.q[label];
            // −f′(q)·q is the pull.
            let slope = |objective| Ok::<_, Error>(-self.label_pull(objective, label)? / q);
            let inner = if label == self.truth { 1.0 - 2.0 * truth_q + square } else { square - truth_q - q };
            sum += seen * q * truth_q * (slope(second)? - slope(first)?) * inner;
        }
        Ok(sum)
    }
}

/// The rows of one random table: one per length of step.
pub fn table(
    config: &IdentityConfig,
    pair: &(Named, Named),
    vocabulary: usize,
    number: usize,
) -> Result<Vec<IdentityRow>, Error> {
    let (first, second) = (pair.0.build()?, pair.1.build()?);
    // The name leaves the pair out: every pair sees the same tables.
    let mut stream = Stream::new(config.seed, &format!("identity/{vocabulary}/{number}"));
    // One table in eight is clean.
    let noise_rate = if number.is_multiple_of(8) { 0.0 } else { stream.uniform() };
    let contexts: Vec<Context> =
        (0..config.contexts).map(|_| Context::random(vocabulary, noise_rate, &mut stream)).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / contexts.len() as f64;
    let over = |value: &dyn Fn(&Context) -> Result<f64, Error>| {
        Ok::<_, Error>(mean(contexts.iter().map(value).collect::<Result<_, _>>()?))
    };
    let identity = over(&|c| c.identity(&first, &second))?;
    let direct = over(&|c| Ok(c.reduction(&first)? - c.reduction(&second)?))?;
    let truth_probability = over(&|c| Ok(-c.risk()))?;
    config
        .steps
        .iter()
        .map(|&step| {
            let finite =
                over(&|c| Ok((c.stepped(&second, step)?.risk() - c.stepped(&first, step)?.risk()) / step))?;
            Ok(IdentityRow {
                first: pair.0.name.clone(),
                second: pair.1.name.clone(),
                vocabulary,
                table: number,
                truth_probability,
                noise_rate,
                step,
                identity,
                direct,
                finite,
            })
        })
        .collect()
}

/// All pairs, vocabularies, tables and steps, in this order.
pub fn run(config: &IdentityConfig) -> Result<Vec<IdentityRow>, Error> {
    at_least("identity", [("contexts", config.contexts, 1)])?;
    if let Some(found) = config.vocabularies.iter().find(|v| **v < 2) {
        return refuse("identity", "vocabularies", found, "at least 2 labels each");
    }
    if let Some(found) = config.steps.iter().find(|step| step.is_nan() || **step <= 0.0) {
        return refuse("identity", "steps", found, "above 0");
    }
    let units: Vec<(&(Named, Named), usize, usize)> = config
        .pairs
        .iter()
        .flat_map(|pair| config.vocabularies.iter().map(move |v| (pair, *v)))
        .flat_map(|(pair, v)| (0..config.tables).map(move |number| (pair, v, number)))
        .collect();
    let tables: Vec<Vec<IdentityRow>> = units
        .par_iter()
        .map(|(pair, vocabulary, number)| table(config, pair, *vocabulary, *number))
        .collect::<Result<_, _>>()?;
    Ok(tables.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]
    use proptest::prelude::*;
    use tokensieve_base::testing::largest_difference;

    use super::*;

    /// f as written, with no derivative taken by hand.
    type Loss = fn(f64) -> f64;
    const WRITTEN: [(&str, Loss); 4] = [
        ("-log p", |p| -libm::log(p)),
        ("-p", |p| -p),
        ("-p^10", |p| -libm::pow(p, 10.0)),
        ("-log p, p >= 0.2", |p| if p >= 0.2 { -libm::log(p) } else { 0.0 }),
    ];

    /// d/dt of the risk along the flow of a loss written out, every derivative by central differences.
    fn by_differences(context: &Context, loss: Loss) -> f64 {
        const H: f64 = 1e-5;
        let moved = |i: usize, by: f64| {
            let mut logits = context.logits.clone();
            logits[i] += by;
            Context::new(logits, context.truth, context.seen.clone())
        };
        let expected = |c: &Context| c.q.iter().zip(&c.seen).map(|(q, seen)| seen * loss(*q)).sum::<f64>();
        (0..context.q.len())
            .map(|i| {
                let (up, down) = (moved(i, H), moved(i, -H));
                let of_loss = (expected(&up) - expected(&down)) / (2.0 * H);
                let of_risk = (up.risk() - down.risk()) / (2.0 * H);
                of_loss * of_risk
            })
            .sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn identity_equals_dense_gradients(seed: u64, vocabulary in 2..40_usize, noise_rate in 0.0..1.0_f64) {
            let context = Context::random(vocabulary, noise_rate, &mut Stream::new(seed, "case"));
            let (first, second) = (named("-log p").build().unwrap(), named("-p^10").build().unwrap());
            let identity = context.identity(&first, &second).unwrap();
            let direct = context.reduction(&first).unwrap() - context.reduction(&second).unwrap();
            prop_assert!((identity - direct).abs() < 1e-13, "{identity} {direct}");
        }

        #[test]
        fn clean_labels_always_favour_log_likelihood(seed: u64, vocabulary in 2..40_usize) {
            let context = Context::random(vocabulary, 0.0, &mut Stream::new(seed, "case"));
            let (first, second) = (named("-log p").build().unwrap(), named("-p").build().unwrap());
            prop_assert!(context.identity(&first, &second).unwrap() >= 0.0);
        }
    }

    #[test]
    fn reductions_equal_differences_of_the_written_loss() {
        for case in 0..200 {
            let mut stream = Stream::new(case, "differences");
            let context = Context::random(2 + case as usize % 20, stream.uniform(), &mut stream);
            // A difference across the threshold's jump is not a derivative.
            if context.q.iter().any(|q| (q - 0.2).abs() < 1e-3) {
                continue;
            }
            for (name, loss) in WRITTEN {
                let ours = context.reduction(&named(name).build().unwrap()).unwrap();
                let theirs = by_differences(&context, loss);
                assert!((ours - theirs).abs() < 1e-8, "{name}: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn finite_steps_approach_the_identity_in_first_order() {
        let rows = run(&IdentityConfig::smoke()).unwrap();
        let error = |step: f64| {
            let at = || rows.iter().filter(move |row| row.step == step);
            largest_difference(at().map(|row| &row.finite), at().map(|row| &row.identity))
        };
        assert!(error(1e-4) < 1e-4, "{}", error(1e-4));
        let ratio = error(1e-3) / error(1e-4);
        assert!((8.0..12.0).contains(&ratio), "a tenth of the step left {ratio} of the error");
    }

    #[test]
    fn wrong_settings_are_refused() {
        let message = |config: IdentityConfig| run(&config).unwrap_err().to_string();
        assert!(message(IdentityConfig { contexts: 0, ..IdentityConfig::smoke() }).contains("contexts is 0"));
        assert!(
            message(IdentityConfig { steps: vec![0.0], ..IdentityConfig::smoke() }).contains("steps is 0")
        );
        assert!(
            message(IdentityConfig { vocabularies: vec![1], ..IdentityConfig::smoke() })
                .contains("vocabularies is 1")
        );
    }
}
