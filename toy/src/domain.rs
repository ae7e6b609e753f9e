//! A synthetic domain in which everything is known: tokens with features, one true label each, labels that are wrong at a
//! known rate, and a linear softmax model whose capability is set by the length of its pre-training.
//!
//! Letters: d features, V labels, n tokens. The truth of a token is the label with the largest score under a
//! random matrix, so clean labels carry no uncertainty of their own and every wrong label is known to be wrong.
//! Tokens come in documents that share a part of their features, as the tokens of a text share its subject.

use serde::{Deserialize, Serialize};
use tokensieve_objective::TokenStats;

use crate::{
    error::{Error, at_least, refuse},
    softmax::token_stats,
};
use tokensieve_base::statistics::bisect;
use tokensieve_base::streams::Stream;

/// Sizes of a domain and of the pre-training that sets the model's capability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainConfig {
    /// V: labels to choose from.
    pub vocabulary: usize,
    /// d: features of a token.
    pub features: usize,
    /// Tokens in one document.
    pub document_tokens: usize,
    /// Share of a feature's variance that a document's tokens have in common.
    pub document_variance: f64,
    /// Share of the truth's variance that differs between pre-training and the domain itself: what a strong
    /// model still has to learn.
    pub shift: f64,
    /// Documents to fine-tune on.
    pub train_documents: usize,
    /// Documents with clean labels to measure on.
    pub test_documents: usize,
    /// Tokens per pre-training step; every step sees fresh ones with clean labels.
    pub pretrain_batch: usize,
    /// Learning rate of pre-training.
    pub pretrain_rate: f64,
    /// Pre-training steps after which a capability not reached is an error.
    pub pretrain_steps: usize,
}

impl Default for DomainConfig {
    fn default() -> Self {
        Self {
            vocabulary: 32,
            features: 16,
            document_tokens: 16,
            document_variance: 0.3,
            shift: 0.01,
            train_documents: 64,
            test_documents: 64,
            pretrain_batch: 128,
            pretrain_rate: 32.0,
            pretrain_steps: 4000,
        }
    }
}

/// Tokens in documents, with the true label of each.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// n × d features, row by row.
    pub features_nd: Vec<f64>,
    /// n true labels.
    pub truth: Vec<usize>,
    /// Tokens per document.
    pub document_tokens: usize,
}

impl Tokens {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.truth.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.truth.is_empty()
    }

    /// Features of token `t`.
    pub fn features(&self, t: usize) -> &[f64] {
        let d = self.features_nd.len() / self.truth.len();
        &self.features_nd[t * d..(t + 1) * d]
    }

    /// Noisy labels: with probability `noise_rate` one of the V − 1 wrong ones.
    ///
    /// Errors drawn from equal streams are nested: a token that is wrong at one rate is wrong, with the same wrong label,
    /// at every higher rate, so that rates are compared on the same draws.
    pub fn noisy_labels(&self, noise_rate: f64, vocabulary: usize, stream: &mut Stream) -> Vec<usize> {
        self.truth
            .iter()
            .map(|&truth| {
                let wrong = stream.chance(noise_rate);
                let other = (truth + 1 + stream.below(vocabulary - 1)) % vocabulary;
                if wrong { other } else { truth }
            })
            .collect()
    }
}

/// A domain: the matrix that determines the true labels.
#[derive(Clone, Debug)]
pub struct Domain {
    config: DomainConfig,
    truth_dv: Vec<f64>,
    /// The truth of pre-training.
    former_dv: Vec<f64>,
    seed: u64,
}

impl Domain {
    /// The domain of this seed.
    pub fn new(config: &DomainConfig, seed: u64) -> Result<Self, Error> {
        let least = [
            ("vocabulary", config.vocabulary, 2),
            ("features", config.features, 1),
            ("document_tokens", config.document_tokens, 1),
            ("train_documents", config.train_documents, 1),
            ("test_documents", config.test_documents, 1),
            ("pretrain_batch", config.pretrain_batch, 1),
        ];
        at_least("domain", least)?;
        for (key, found) in [("document_variance", config.document_variance), ("shift", config.shift)] {
            if !(0.0..=1.0).contains(&found) {
                return refuse("domain", key, found, "a share between 0 and 1");
            }
        }
        let mut stream = Stream::new(seed, "domain/truth");
        let mut matrix =
            || -> Vec<f64> { (0..config.features * config.vocabulary).map(|_| stream.normal()).collect() };
        let (former_dv, fresh) = (matrix(), matrix());
        let (kept, new) = (libm::sqrt(1.0 - config.shift), libm::sqrt(config.shift));
        let truth_dv = former_dv.iter().zip(&fresh).map(|(f, n)| kept * f + new * n).collect();
        Ok(Self { config: config.clone(), truth_dv, former_dv, seed })
    }

    /// `documents` documents from the stream called `name`.
    pub fn tokens(&self, documents: usize, name: &str) -> Tokens {
        self.draw(documents, &self.truth_dv, &mut Stream::new(self.seed, name))
    }

    /// Documents with the labels of pre-training, from the stream called `name`.
    pub fn former_tokens(&self, documents: usize, name: &str) -> Tokens {
        self.draw(documents, &self.former_dv, &mut Stream::new(self.seed, name))
    }

    /// The label that is nearly right: that with the second-largest score.
    pub fn runner_up(&self, features: &[f64]) -> usize {
        let mut scores = vec![0.0; self.config.vocabulary];
        product(&self.truth_dv, features, &mut scores);
        let right = argmax(&scores);
        scores[right] = f64::NEG_INFINITY;
        argmax(&scores)
    }

    fn draw(&self, documents: usize, truth_dv: &[f64], stream: &mut Stream) -> Tokens {
        let DomainConfig { features, vocabulary, document_tokens, document_variance, .. } = self.config;
        // Features have expected squared norm 1, whatever their number.
        let shared = libm::sqrt(document_variance / features as f64);
        let own = libm::sqrt((1.0 - document_variance) / features as f64);
        let n = documents * document_tokens;
        let mut features_nd = Vec::with_capacity(n * features);
        let mut truth = Vec::with_capacity(n);
        let mut scores = vec![0.0; vocabulary];
        for _ in 0..documents {
            let subject: Vec<f64> = (0..features).map(|_| shared * stream.normal()).collect();
            for _ in 0..document_tokens {
                let start = features_nd.len();
                features_nd.extend(subject.iter().map(|s| s + own * stream.normal()));
                product(truth_dv, &features_nd[start..], &mut scores);
                truth.push(argmax(&scores));
            }
        }
        Tokens { features_nd, truth, document_tokens }
    }

    /// Models at the wanted capabilities (mean probability of the true label on `test`, ascending), all from
    /// one run of plain maximum likelihood on clean fresh tokens, started at the uniform prediction.
    ///
    /// The run is evaluated every few steps. Between the last evaluation below a target and the first above it the weights
    /// are interpolated, by bisection, so that every capability is met to within 1e-6. A target at or
    /// below 1/V is the untrained, uniform model.
    pub fn pretrained(&self, capabilities: &[f64], test: &Tokens) -> Result<Vec<Model>, Error> {
        let likelihood = |model: &Model| model.score(test, &test.truth).likelihood;
        let mut before = Model::uniform(self.config.features, self.config.vocabulary);
        let mut after = before.clone();
        let mut reached = likelihood(&after);
        let mut stream = Stream::new(self.seed, "domain/pretrain");
        let mut models = Vec::with_capacity(capabilities.len());
        let mut steps = 0;
        for (i, &target) in capabilities.iter().enumerate() {
            if target.is_nan() || target >= 1.0 || (i > 0 && target <= capabilities[i - 1]) {
                return refuse(
                    "domain",
                    "capabilities",
                    format!("{capabilities:?}"),
                    "ascending probabilities below 1",
                );
            }
            while reached < target {
                if steps >= self.config.pretrain_steps {
                    return Err(Error::Capability { target, reached, steps });
                }
                before = after.clone();
                // Early steps move most: the first evaluations come after 1, 2, 3, … steps.
                let more = (steps / 8).clamp(1, LOOK);
                for _ in 0..more {
                    self.pretrain_step(&mut after, &mut stream);
                }
                steps += more;
                reached = likelihood(&after);
            }
            // The likelihood moves by less than 1 between evaluations: 2⁻²⁴ of it is within 1e-6.
            let is_below = |part| likelihood(&before.towards(&after, part)) < target;
            let (_, high) = bisect(0.0, 1.0, 24, is_below);
            models.push(before.towards(&after, high));
        }
        Ok(models)
    }

    fn pretrain_step(&self, model: &mut Model, stream: &mut Stream) {
        let documents = self.config.pretrain_batch.div_ceil(self.config.document_tokens);
        model.learn(&self.draw(documents, &self.former_dv, stream), self.config.pretrain_rate);
    }
}

/// Maximum number of steps between two evaluations of a pre-training run; one costs as much as several steps.
const LOOK: usize = 16;

/// A linear softmax model: logits = features · weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(crate) weights_dv: Vec<f64>,
    pub(crate) vocabulary: usize,
}

/// A model's results on tokens with known truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Share of tokens whose most probable label is the right one.
    pub accuracy: f64,
    /// Mean −log p of the right label.
    pub nll_nats: f64,
    /// Mean p of the right label.
    pub likelihood: f64,
}

impl Model {
    /// The untrained model: every label equally probable.
    pub fn uniform(features: usize, vocabulary: usize) -> Self {
        Self { weights_dv: vec![0.0; features * vocabulary], vocabulary }
    }

    /// The model whose weights lie this share of the way to another's.
    fn towards(&self, other: &Self, share: f64) -> Self {
        let weights = self.weights_dv.iter().zip(&other.weights_dv);
        let weights_dv = weights.map(|(from, to)| from + share * (to - from)).collect();
        Self { weights_dv, vocabulary: self.vocabulary }
    }

    /// One step of plain maximum likelihood on the tokens' right labels, at this rate on the mean gradient.
    pub(crate) fn learn(&mut self, batch: &Tokens, rate: f64) {
        let mut gradient_dv = vec![0.0; self.weights_dv.len()];
        let mut p = vec![0.0; self.vocabulary];
        for (t, &label) in batch.truth.iter().enumerate() {
            self.predict(batch.features(t), label, &mut p);
            p[label] -= 1.0;
            add_outer(batch.features(t), &p, &mut gradient_dv);
        }
        let by = rate / batch.len() as f64;
        self.weights_dv.iter_mut().zip(&gradient_dv).for_each(|(w, g)| *w -= by * g);
    }

    /// Probabilities of all labels at one token, and the statistics of one of them.
    pub fn predict(&self, features: &[f64], label: usize, p: &mut [f64]) -> TokenStats {
        product(&self.weights_dv, features, p);
        token_stats(p, label)
    }

    /// Probabilities of all labels at all tokens, n × V.
    pub fn probabilities(&self, tokens: &Tokens) -> Vec<f64> {
        let mut p_nv = vec![0.0; tokens.len() * self.vocabulary];
        for (t, p) in p_nv.chunks_exact_mut(self.vocabulary).enumerate() {
            self.predict(tokens.features(t), 0, p);
        }
        p_nv
    }

    /// How well the model predicts `labels`.
    pub fn score(&self, tokens: &Tokens, labels: &[usize]) -> Score {
        let mut p = vec![0.0; self.vocabulary];
        let (mut hits, mut nll, mut likelihood) = (0_u32, 0.0, 0.0);
        for (t, &label) in labels.iter().enumerate() {
            let stats = self.predict(tokens.features(t), label, &mut p);
            hits += u32::from(argmax(&p) == label);
            nll += stats.loss;
            likelihood += p[label];
        }
        let n = labels.len() as f64;
        Score { accuracy: f64::from(hits) / n, nll_nats: nll / n, likelihood: likelihood / n }
    }
}

/// out = xᵀ·m over the rows of the d × V matrix `m`, one row after the other.
fn product(m_dv: &[f64], x_d: &[f64], out_v: &mut [f64]) {
    out_v.fill(0.0);
    for (row, x) in m_dv.chunks_exact(out_v.len()).zip(x_d) {
        for (out, m) in out_v.iter_mut().zip(row) {
            *out += x * m;
        }
    }
}

/// m += x·yᵀ.
pub(crate) fn add_outer(x_d: &[f64], y_v: &[f64], m_dv: &mut [f64]) {
    for (row, x) in m_dv.chunks_exact_mut(y_v.len()).zip(x_d) {
        for (m, y) in row.iter_mut().zip(y_v) {
            *m += x * y;
        }
    }
}

/// Index of the largest value, the first of equals.
pub(crate) fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]
    use super::*;

    fn small() -> DomainConfig {
        DomainConfig { test_documents: 16, ..DomainConfig::default() }
    }

    #[test]
    fn capabilities_are_met() {
        let domain = Domain::new(&small(), 3).unwrap();
        let test = domain.tokens(16, "test");
        let targets = [0.03125, 0.1, 0.5, 0.8];
        let models = domain.pretrained(&targets, &test).unwrap();
        assert_eq!(models[0], Model::uniform(16, 32));
        for (model, target) in models.iter().zip(targets) {
            let reached = model.score(&test, &test.truth).likelihood;
            assert!((reached - target).abs() < 1e-6, "{reached} {target}");
        }
        let message = domain.pretrained(&[0.5, 0.2], &test).unwrap_err().to_string();
        assert!(message.contains("ascending"), "{message}");
        let hurried = Domain::new(&DomainConfig { pretrain_steps: 16, ..small() }, 3).unwrap();
        let message = hurried.pretrained(&[0.9], &test).unwrap_err().to_string();
        assert!(message.contains("after 16 pre-training steps"), "{message}");
    }

    #[test]
    fn noise_is_nested_and_at_its_rate() {
        let tokens = Domain::new(&small(), 1).unwrap().tokens(600, "many");
        let labels = |rate| tokens.noisy_labels(rate, 32, &mut Stream::new(1, "noise"));
        let (few, many) = (labels(0.1), labels(0.4));
        let wrong =
            |labels: &[usize]| labels.iter().zip(&tokens.truth).filter(|(a, b)| a != b).count() as f64;
        // Five standard errors of a share among 9,600.
        assert!((wrong(&few) / 9600.0 - 0.1).abs() < 0.016 && (wrong(&many) / 9600.0 - 0.4).abs() < 0.025);
        assert_eq!(labels(0.0), tokens.truth);
        let nested =
            few.iter().zip(&many).zip(&tokens.truth).all(|((few, many), truth)| few == truth || few == many);
        assert!(nested);
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let message = |config: DomainConfig| Domain::new(&config, 0).unwrap_err().to_string();
        assert!(message(DomainConfig { features: 0, ..small() }).contains("features is 0"));
        assert!(message(DomainConfig { vocabulary: 1, ..small() }).contains("vocabulary is 1"));
        assert!(
            message(DomainConfig { document_variance: 1.5, ..small() }).contains("document_variance is 1.5")
        );
    }
}
