//! Policy gradient, distillation and maximum likelihood side by side where everything is known (paper A, B.1).
//!
//! A teacher distribution p_teacher(x|c) over V answers is a linear softmax of the context's features; the student
//! is one too, trained on n contexts from zero weights. All three objectives are the weighted likelihood
//! Σ w(x) log p(x) of the paper's equation (1), and run through the presets of the objective crate:
//! - maximum likelihood: w = 1 on one label sampled from the teacher (`mle`);
//! - distillation: w = p_teacher, the whole distribution (`distill`);
//! - policy gradient: w = A(x), every answer a token of its own with its advantage (`policy-gradient`).
//!
//! Three cases of the advantage. **Likelihood**: A = p_teacher exactly as the paper writes it, whole vocabulary,
//! off policy. **Oracle**: the reward is 1 for the teacher's most probable answer, and A(x) = p(x)·(R(x) − E_p R):
//! the exact expectation of sampling x from the student and weighting it by its oracle advantage.
//! **Fooled**: the same with a reward model that prefers the teacher's second choice in half of feature space.
//! The reported reward is always the true one.
//!
//! Letters: N contexts, D features, V answers.

#![allow(clippy::doc_markdown, reason = "p_teacher is a formula, not an item")]

use serde::{Deserialize, Serialize};
use tokensieve_objective::{Objective as Preset, Plan, TokenStats, Training, gradient};

use crate::domain::argmax;
use crate::error::{Error, at_least, positive, refuse};
use crate::over_seeds;
use crate::softmax::softmax;
use tokensieve_base::statistics::{self, Estimate};
use tokensieve_base::streams::Stream;

const NAME: &str = "ordering";

/// Everything that determines the figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderingConfig {
    /// V, answers to choose from.
    pub answers: usize,
    /// D, features of a context; the first is the constant 1, the others are N(0, 1).
    pub features: usize,
    /// Standard deviation of the teacher's logits: how sure the teacher is.
    pub sharpness: f64,
    /// Numbers of training contexts.
    pub contexts: Vec<usize>,
    /// Fresh contexts on which rewards are measured.
    pub test_contexts: usize,
    /// Steps of full-batch gradient descent.
    pub steps: usize,
    /// Learning rate on the mean gradient per context.
    pub learning_rate: f64,
    /// The reward model is fooled where a unit direction in feature space exceeds this; 0 is half of the contexts.
    pub fooled_above: f64,
    /// Independent teachers.
    pub seeds: u64,
    /// First seed.
    pub seed: u64,
}

impl Default for OrderingConfig {
    /// Ours: appendix B.1 argues without an experiment.
    fn default() -> Self {
        Self {
            answers: 8,
            features: 8,
            sharpness: 2.0,
            contexts: vec![4, 8, 16, 32, 64, 128],
            test_contexts: 1000,
            steps: 200,
            learning_rate: 1.0,
            fooled_above: 0.0,
            seeds: 32,
            seed: 0,
        }
    }
}

impl OrderingConfig {
    /// A small version of about a second that runs every step.
    pub fn smoke() -> Self {
        Self { contexts: vec![8, 32], test_contexts: 100, steps: 60, seeds: 4, ..Self::default() }
    }

    fn check(&self) -> Result<(), Error> {
        let least = [
            ("answers", self.answers, 2),
            ("features", self.features, 2),
            ("test_contexts", self.test_contexts, 1),
            ("steps", self.steps, 1),
            ("seeds", self.seeds as usize, 2),
        ];
        at_least(NAME, least)?;
        if let Some(n) = self.contexts.iter().find(|n| **n == 0) {
            return refuse(NAME, "contexts", n, "at least 1 each");
        }
        positive(NAME, [("sharpness", self.sharpness), ("learning_rate", self.learning_rate)])?;
        if self.fooled_above.is_nan() {
            return refuse(NAME, "fooled_above", self.fooled_above, "a number");
        }
        Ok(())
    }
}

/// What the policy gradient's advantage is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advantage {
    /// A = p_teacher; the true reward is the teacher's likelihood of the answer.
    Likelihood,
    /// The oracle advantage of a reward of 1 for the teacher's first choice.
    Oracle,
    /// The advantage under a reward model that is fooled in a part of feature space; the true reward is the oracle's.
    Fooled,
}

impl Advantage {
    /// All three, in the table's order.
    pub const ALL: [Self; 3] = [Self::Likelihood, Self::Oracle, Self::Fooled];
}

/// What the student is trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Maximum likelihood of one sampled label per context.
    Mle,
    /// The teacher's whole distribution.
    Distillation,
    /// The advantage of every answer.
    PolicyGradient,
}

impl Objective {
    /// All three, in the table's order.
    pub const ALL: [Self; 3] = [Self::Mle, Self::Distillation, Self::PolicyGradient];
}

/// How the student answers when its reward is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answering {
    /// By a sample: the expected reward under its distribution.
    Sampled,
    /// By its most probable answer.
    Greedy,
}

/// The true reward of one objective at one amount of data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderingRow {
    /// What the advantage, and the true reward, are made of.
    pub advantage: Advantage,
    /// How the student answers.
    pub answering: Answering,
    /// What it was trained with.
    pub objective: Objective,
    /// N, training contexts.
    pub contexts: usize,
    /// Mean true reward over the seeds.
    pub reward: f64,
    /// Lower end of its 95 % interval.
    pub reward_low: f64,
    /// Upper end.
    pub reward_high: f64,
    /// Mean over the seeds of the reward minus that of maximum likelihood on the same data.
    pub over_mle: f64,
    /// Lower end of its 95 % interval.
    pub over_mle_low: f64,
    /// Upper end.
    pub over_mle_high: f64,
    /// Mean over the seeds of the reward minus that of distillation on the same data.
    pub over_distillation: f64,
    /// Lower end of its 95 % interval.
    pub over_distillation_low: f64,
    /// Upper end.
    pub over_distillation_high: f64,
    /// Seeds.
    pub seeds: usize,
}

/// Contexts with everything that is known about them; the matrices are row-major.
#[derive(Clone, Debug)]
pub struct Contexts {
    /// Features, N × D.
    pub features_nd: Vec<f64>,
    /// p_teacher, N × V.
    pub teacher_nv: Vec<f64>,
    /// One answer per context, sampled from the teacher.
    pub labels: Vec<usize>,
    /// The teacher's most probable answer.
    pub best: Vec<usize>,
    /// What the fooled reward model takes for the best answer.
    pub believed: Vec<usize>,
}

impl Contexts {
    /// `n` contexts of the teacher of `seed`; the stream's name keeps training and test apart.
    pub fn draw(config: &OrderingConfig, seed: u64, name: &str, n: usize) -> Self {
        let (v, d) = (config.answers, config.features);
        let mut stream = Stream::new(seed, "ordering/teacher");
        // Features have squared length D on average, so the logits' standard deviation is the sharpness.
        let scale = config.sharpness / (d as f64).sqrt();
        let teacher_vd: Vec<f64> = (0..v * d).map(|_| scale * stream.normal()).collect();
        let direction: Vec<f64> = (1..d).map(|_| stream.normal()).collect();
        let length = inner(&direction, &direction).sqrt();

        let mut stream = Stream::new(seed, &format!("ordering/{name}"));
        let mut contexts = Self {
            features_nd: Vec::with_capacity(n * d),
            teacher_nv: Vec::with_capacity(n * v),
            labels: Vec::with_capacity(n),
            best: Vec::with_capacity(n),
            believed: Vec::with_capacity(n),
        };
        let mut p = vec![0.0; v];
        for _ in 0..n {
            let features: Vec<f64> = (0..d).map(|j| if j == 0 { 1.0 } else { stream.normal() }).collect();
            logits(&teacher_vd, &features, &mut p);
            softmax(&mut p);
            contexts.teacher_nv.extend(&p);
            contexts.labels.push(sample(&p, stream.uniform()));
            let first = argmax(&p);
            p[first] = 0.0;
            let fooled = inner(&features[1..], &direction) / length > config.fooled_above;
            contexts.best.push(first);
            contexts.believed.push(if fooled { argmax(&p) } else { first });
            contexts.features_nd.extend(features);
        }
        contexts
    }

    /// The first `n` of them.
    fn first(&self, n: usize) -> Self {
        let rows = |matrix: &[f64]| matrix[..matrix.len() / self.labels.len() * n].to_vec();
        Self {
            features_nd: rows(&self.features_nd),
            teacher_nv: rows(&self.teacher_nv),
            labels: self.labels[..n].to_vec(),
            best: self.best[..n].to_vec(),
            believed: self.believed[..n].to_vec(),
        }
    }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}

/// Wφ into `out`.
fn logits(weights_vd: &[f64], features: &[f64], out: &mut [f64]) {
    for (logit, row) in out.iter_mut().zip(weights_vd.chunks_exact(features.len())) {
        *logit = inner(row, features);
    }
}

/// The answer at quantile `u` of the distribution p.
fn sample(p: &[f64], u: f64) -> usize {
    let mut sum = 0.0;
    let reached = |x: &f64| {
        sum += x;
        u < sum
    };
    p.iter().position(reached).unwrap_or(p.len() - 1)
}

/// One objective over one training run.
pub struct Learner {
    objective: Objective,
    advantage: Advantage,
    training: Training,
    /// The batch's tokens: one per context, or for the policy gradient one per context and answer.
    stats: Vec<TokenStats>,
    p_nv: Vec<f64>,
}

impl Learner {
    /// A learner of this objective.
    pub fn new(
        config: &OrderingConfig,
        objective: Objective,
        advantage: Advantage,
        seed: u64,
    ) -> Result<Self, Error> {
        let preset = match objective {
            Objective::Mle => "mle",
            Objective::Distillation => "distill",
            Objective::PolicyGradient => "policy-gradient",
        };
        let training = Preset::preset(preset)?.begin(Plan { steps: config.steps as u64, seed });
        Ok(Self { objective, advantage, training, stats: Vec::new(), p_nv: Vec::new() })
    }

    /// The gradient on the student's logits (N × V) of the mean loss per context, written over them.
    ///
    /// The presets divide by different counts of tokens; per context is what makes the objectives comparable.
    pub fn logit_gradient(&mut self, contexts: &Contexts, logits_nv: &mut [f64]) -> Result<(), Error> {
        let n = contexts.labels.len();
        let v = logits_nv.len() / n;
        self.stats.clear();
        self.p_nv.clear();
        let mut p = vec![0.0; v];
        for (i, logits) in logits_nv.chunks_exact(v).enumerate() {
            p.copy_from_slice(logits);
            let (log_partition, entropy) = softmax(&mut p);
            let token = |label: usize, position: usize, advantage: Option<f64>| TokenStats {
                advantage,
                vocabulary: v as u32,
                document: i as u32,
                position: position as u32,
                ..TokenStats::new((log_partition - logits[label]).max(0.0), entropy)
            };
            if self.objective == Objective::PolicyGradient {
                let weight = self.weight(contexts, i, &p);
                self.stats.extend((0..v).map(|x| token(x, x, Some(weight(x)))));
            } else {
                self.stats.push(token(contexts.labels[i], 0, None));
            }
            self.p_nv.extend(&p);
        }
        let pulls = &self.training.pulls(&self.stats)?.pulls;
        let per_context = self.stats.len() / n;
        let mut one = vec![0.0; v];
        for (i, out) in logits_nv.chunks_exact_mut(v).enumerate() {
            let row = i * v..(i + 1) * v;
            let (p, teacher) = (&self.p_nv[row.clone()], &contexts.teacher_nv[row]);
            out.fill(0.0);
            for (position, pull) in pulls[i * per_context..(i + 1) * per_context].iter().enumerate() {
                let label = if per_context == 1 { contexts.labels[i] } else { position };
                gradient(p, label, Some(teacher), *pull, &mut one);
                for (sum, g) in out.iter_mut().zip(&one) {
                    *sum += g / n as f64;
                }
            }
        }
        Ok(())
    }

    /// w(x) of one context: what the likelihood of answer x is weighted by.
    fn weight<'a>(&self, contexts: &'a Contexts, i: usize, p: &'a [f64]) -> impl Fn(usize) -> f64 + use<'a> {
        let rewarded = match self.advantage {
            Advantage::Likelihood => None,
            Advantage::Oracle => Some(contexts.best[i]),
            Advantage::Fooled => Some(contexts.believed[i]),
        };
        let teacher = &contexts.teacher_nv[i * p.len()..(i + 1) * p.len()];
        move |x| match rewarded {
            None => teacher[x],
            Some(best) => p[x] * (f64::from(u8::from(x == best)) - p[best]),
        }
    }
}

/// Trains a student from zero weights; returns them, V × D.
pub fn train(
    config: &OrderingConfig,
    contexts: &Contexts,
    objective: Objective,
    advantage: Advantage,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    let (v, d) = (config.answers, config.features);
    let mut learner = Learner::new(config, objective, advantage, seed)?;
    let mut weights_vd = vec![0.0; v * d];
    let mut gradient_nv = vec![0.0; contexts.teacher_nv.len()];
    for _ in 0..config.steps {
        for (features, out) in contexts.features_nd.chunks_exact(d).zip(gradient_nv.chunks_exact_mut(v)) {
            logits(&weights_vd, features, out);
        }
        learner.logit_gradient(contexts, &mut gradient_nv)?;
        for (features, gradient) in contexts.features_nd.chunks_exact(d).zip(gradient_nv.chunks_exact(v)) {
            for (weights, g) in weights_vd.chunks_exact_mut(d).zip(gradient) {
                for (weight, x) in weights.iter_mut().zip(features) {
                    *weight -= config.learning_rate * g * x;
                }
            }
        }
    }
    Ok(weights_vd)
}

/// The student's mean true reward on `test`: sampled, greedy.
fn rewards(weights_vd: &[f64], test: &Contexts, advantage: Advantage) -> [f64; 2] {
    let n = test.labels.len();
    let (d, v) = (test.features_nd.len() / n, test.teacher_nv.len() / n);
    let mut p = vec![0.0; v];
    let (mut sampled, mut greedy) = (0.0, 0.0);
    for (i, features) in test.features_nd.chunks_exact(d).enumerate() {
        logits(weights_vd, features, &mut p);
        softmax(&mut p);
        let reward = |x: usize| match advantage {
            Advantage::Likelihood => test.teacher_nv[i * v + x],
            Advantage::Oracle | Advantage::Fooled => f64::from(u8::from(x == test.best[i])),
        };
        sampled += p.iter().enumerate().fold(0.0, |sum, (x, p)| sum + p * reward(x));
        greedy += reward(argmax(&p));
    }
    [sampled, greedy].map(|sum| sum / n as f64)
}

/// Rewards of one seed: by number of contexts, advantage, objective, answering.
pub type Rewards = Vec<[[[f64; 2]; 3]; 3]>;

/// One seed: a teacher, nested training sets, all students.
pub fn run_seed(config: &OrderingConfig, seed: u64) -> Result<Rewards, Error> {
    let most = config.contexts.iter().copied().max().unwrap_or(0);
    let all = Contexts::draw(config, seed, "train", most);
    let test = Contexts::draw(config, seed, "test", config.test_contexts);
    let at = |&n: &usize| {
        let contexts = all.first(n);
        let student = |objective, advantage| train(config, &contexts, objective, advantage, seed);
        // Neither of these sees a reward: one student serves all three cases.
        let mle = student(Objective::Mle, Advantage::Likelihood)?;
        let distilled = student(Objective::Distillation, Advantage::Likelihood)?;
        let mut table = [[[0.0; 2]; 3]; 3];
        for (row, advantage) in table.iter_mut().zip(Advantage::ALL) {
            let policy = student(Objective::PolicyGradient, advantage)?;
            *row = [&mle, &distilled, &policy].map(|weights| rewards(weights, &test, advantage));
        }
        Ok(table)
    };
    config.contexts.iter().map(at).collect()
}

/// The whole figure.
pub fn run(config: &OrderingConfig) -> Result<Vec<OrderingRow>, Error> {
    config.check()?;
    let by_seed = over_seeds(config.seed..config.seed + config.seeds, |seed| run_seed(config, seed))?;
    let mut rows = Vec::new();
    for (a, advantage) in Advantage::ALL.into_iter().enumerate() {
        for (w, answering) in [Answering::Sampled, Answering::Greedy].into_iter().enumerate() {
            for (o, objective) in Objective::ALL.into_iter().enumerate() {
                for (c, &contexts) in config.contexts.iter().enumerate() {
                    let minus = |other: Option<usize>| -> Result<Estimate, Error> {
                        let values: Vec<f64> = by_seed
                            .iter()
                            .map(|seed| seed[c][a][o][w] - other.map_or(0.0, |other| seed[c][a][other][w]))
                            .collect();
                        statistics::mean_interval(&values)
                            .ok_or(Error::Undefined { experiment: NAME, quantity: "mean reward" })
                    };
                    let (reward, over_mle, over_distillation) =
                        (minus(None)?, minus(Some(0))?, minus(Some(1))?);
                    rows.push(OrderingRow {
                        advantage,
                        answering,
                        objective,
                        contexts,
                        reward: reward.value,
                        reward_low: reward.low,
                        reward_high: reward.high,
                        over_mle: over_mle.value,
                        over_mle_low: over_mle.low,
                        over_mle_high: over_mle.high,
                        over_distillation: over_distillation.value,
                        over_distillation_low: over_distillation.low,
                        over_distillation_high: over_distillation.high,
                        seeds: by_seed.len(),
                    });
                }
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
