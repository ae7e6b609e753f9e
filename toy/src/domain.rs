//! A domain small enough to know everything about: tokens with features, one true label each, labels that
//! are wrong at a known rate, and a linear softmax model whose capability is set by how long it was pre-trained.
//!
//! Letters: d features, V labels, n tokens. The truth of a token is the label with the largest score under a
//! random matrix, so clean labels carry no uncertainty of their own and every wrong label is known to be wrong.
//! Tokens come in documents that share a part of their features, as the tokens of a text share its subject.

use serde::{Deserialize, Serialize};
use tokensieve_objective::{TokenStats, Training, gradient};

use crate::{Error, rng::Stream, softmax::token_stats};

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
            train_documents: 32,
            test_documents: 64,
            pretrain_batch: 128,
            pretrain_rate: 4.0,
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

    /// Labels as an annotator would give them: with probability `noise_rate` one of the V − 1 wrong ones.
    ///
    /// The same stream gives nested errors: a token that is wrong at one rate is wrong, with the same wrong
    /// label, at every higher rate, so rates are compared on the same draws.
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

/// A domain: the matrix that says which label is true.
#[derive(Clone, Debug)]
pub struct Domain {
    config: DomainConfig,
    truth_dv: Vec<f64>,
    seed: u64,
}

impl Domain {
    /// The domain of this seed.
    pub fn new(config: &DomainConfig, seed: u64) -> Result<Self, Error> {
        let wrong = |key, found: usize, least: usize| Error::Config {
            key,
            found: found.to_string(),
            wanted: format!("at least {least}"),
        };
        if config.vocabulary < 2 {
            return Err(wrong("vocabulary", config.vocabulary, 2));
        }
        for (key, found) in [
            ("features", config.features),
            ("document_tokens", config.document_tokens),
            ("train_documents", config.train_documents),
            ("test_documents", config.test_documents),
            ("pretrain_batch", config.pretrain_batch),
        ] {
            if found == 0 {
                return Err(wrong(key, 0, 1));
            }
        }
        if !(0.0..=1.0).contains(&config.document_variance) {
            return Err(Error::Config {
                key: "document_variance",
                found: config.document_variance.to_string(),
                wanted: "a share between 0 and 1".into(),
            });
        }
        let mut stream = Stream::new(seed, "domain/truth");
        let truth_dv = (0..config.features * config.vocabulary).map(|_| stream.normal()).collect();
        Ok(Self { config: config.clone(), truth_dv, seed })
    }

    /// `documents` documents from the stream called `name`.
    pub fn tokens(&self, documents: usize, name: &str) -> Tokens {
        self.draw(documents, &mut Stream::new(self.seed, name))
    }

    fn draw(&self, documents: usize, stream: &mut Stream) -> Tokens {
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
                product(&self.truth_dv, &features_nd[start..], &mut scores);
                truth.push(argmax(&scores));
            }
        }
        Tokens { features_nd, truth, document_tokens }
    }

    /// Models at the wanted capabilities (mean probability of the true label on `test`, ascending), all from
    /// one run of plain maximum likelihood on clean fresh tokens, started at the uniform prediction.
    ///
    /// The step that passes a target is shortened by bisection, so the capability is met to 1e-6. A target at
    /// or below 1/V is the untrained, uniform model.
    pub fn pretrained(&self, capabilities: &[f64], test: &Tokens) -> Result<Vec<Model>, Error> {
        let mut model = Model::uniform(self.config.features, self.config.vocabulary);
        let mut reached = model.likelihood(test, &test.truth);
        let mut models = Vec::with_capacity(capabilities.len());
        let mut stream = Stream::new(self.seed, "domain/pretrain");
        let mut steps = 0;
        for &target in capabilities {
            if !(target < 1.0) || models.last().is_some_and(|_| target < reached) {
                return Err(Error::Config {
                    key: "capabilities",
                    found: format!("{target} after {reached}"),
                    wanted: "ascending probabilities below 1".into(),
                });
            }
            while reached < target {
                if steps == self.config.pretrain_steps {
                    return Err(Error::Capability { target, reached, steps });
                }
                steps += 1;
                let before = model.clone();
                let documents = self.config.pretrain_batch.div_ceil(self.config.document_tokens);
                let batch = self.draw(documents, &mut stream);
                let mut step = vec![0.0; model.weights_dv.len()];
                model.add_likelihood_gradient(&batch, &mut step);
                let scale = self.config.pretrain_rate / batch.len() as f64;
                let moved = |share: f64| before.moved(&step, -scale * share);
                model = moved(1.0);
                reached = model.likelihood(test, &test.truth);
                if reached >= target {
                    let (mut low, mut high) = (0.0, 1.0);
                    while reached - target > 1e-6 && high - low > 1e-12 {
                        let middle = 0.5 * (low + high);
                        model = moved(middle);
                        reached = model.likelihood(test, &test.truth);
                        if reached < target { low = middle } else { high = middle }
                        if reached < target {
                            // The loop must end on the side that has reached the target.
                            model = moved(high);
                            reached = model.likelihood(test, &test.truth);
                        }
                    }
                }
            }
            models.push(model.clone());
        }
        Ok(models)
    }
}

/// A linear softmax model: logits = features · weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    weights_dv: Vec<f64>,
    vocabulary: usize,
}

/// What a model does on tokens with known truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Share of tokens whose most probable label is the wanted one.
    pub accuracy: f64,
    /// Mean −log p of the wanted label.
    pub nll_nats: f64,
    /// Mean p of the wanted label.
    pub likelihood: f64,
}

impl Model {
    /// The model that knows nothing: every label equally probable.
    pub fn uniform(features: usize, vocabulary: usize) -> Self {
        Self { weights_dv: vec![0.0; features * vocabulary], vocabulary }
    }

    fn moved(&self, direction: &[f64], by: f64) -> Self {
        let weights_dv = self.weights_dv.iter().zip(direction).map(|(w, d)| w + by * d).collect();
        Self { weights_dv, vocabulary: self.vocabulary }
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

    fn likelihood(&self, tokens: &Tokens, labels: &[usize]) -> f64 {
        self.score(tokens, labels).likelihood
    }

    fn add_likelihood_gradient(&self, tokens: &Tokens, out_dv: &mut [f64]) {
        let mut p = vec![0.0; self.vocabulary];
        for (t, &label) in tokens.truth.iter().enumerate() {
            self.predict(tokens.features(t), label, &mut p);
            p[label] -= 1.0;
            add_outer(tokens.features(t), &p, out_dv);
        }
    }
}

/// How fine-tuning steps, the same for every objective compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the training documents.
    pub epochs: usize,
    /// Documents per step; an objective's selection sees all their tokens.
    pub batch_documents: usize,
    /// Learning rate on the mean gradient.
    pub rate: f64,
}

/// The length of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Learning rate times the objective's own gradient.
    Own,
    /// The same direction, as long as the step of −log p on all tokens of the same batch at the same weights.
    GradNorm,
}

impl Step {
    /// As written in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::GradNorm => "grad-norm",
        }
    }
}

/// Data and helpers of one fine-tuning run.
#[derive(Clone, Copy)]
pub struct Finetune<'a> {
    /// Training tokens.
    pub tokens: &'a Tokens,
    /// Their labels, wrong ones among them.
    pub labels: &'a [usize],
    /// n × V probabilities of the reference model, for objectives that pull towards one.
    pub reference_nv: Option<&'a [f64]>,
    /// Steps and rate.
    pub train: &'a TrainConfig,
    /// Length of a step.
    pub step: Step,
    /// Seed of the order of documents, which is the same for every objective.
    pub seed: u64,
}

impl Finetune<'_> {
    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        let documents = self.tokens.len() / self.tokens.document_tokens;
        (self.train.epochs * documents.div_ceil(self.train.batch_documents)) as u64
    }

    /// Trains `model` in place; returns the mean length of its steps.
    pub fn run(&self, model: &mut Model, training: &mut Training) -> Result<f64, Error> {
        let (v, size) = (model.vocabulary, self.tokens.document_tokens);
        let documents = self.tokens.len() / size;
        let mut order = Stream::new(self.seed, "finetune/order");
        let mut stats = Vec::with_capacity(self.train.batch_documents * size);
        let mut p_nv = vec![0.0; self.train.batch_documents * size * v];
        let mut row = vec![0.0; v];
        let mut gradient_dv = vec![0.0; model.weights_dv.len()];
        let mut plain_dv = vec![0.0; model.weights_dv.len()];
        let mut travelled = 0.0;
        for _ in 0..self.train.epochs {
            let shuffled = order.permutation(documents);
            for batch in shuffled.chunks(self.train.batch_documents) {
                let tokens = || {
                    batch.iter().flat_map(|document| (0..size).map(move |position| (*document, position)))
                };
                stats.clear();
                for ((document, position), p) in tokens().zip(p_nv.chunks_exact_mut(v)) {
                    let t = document * size + position;
                    let mut token = model.predict(self.tokens.features(t), self.labels[t], p);
                    token.document = document as u32;
                    token.position = position as u32;
                    if let Some(q) = self.reference_nv {
                        token.reference_loss = Some(-libm::log(q[t * v + self.labels[t]]));
                    }
                    stats.push(token);
                }
                let pulls = training.pulls(&stats)?;
                gradient_dv.fill(0.0);
                plain_dv.fill(0.0);
                for (((document, position), p), pull) in
                    tokens().zip(p_nv.chunks_exact_mut(v)).zip(&pulls.pulls)
                {
                    let t = document * size + position;
                    if pull.label != 0.0 || pull.reference != 0.0 {
                        let q = self.reference_nv.map(|q| &q[t * v..(t + 1) * v]);
                        gradient(p, self.labels[t], q, *pull, &mut row);
                        add_outer(self.tokens.features(t), &row, &mut gradient_dv);
                    }
                    if self.step == Step::GradNorm {
                        p[self.labels[t]] -= 1.0;
                        add_outer(self.tokens.features(t), p, &mut plain_dv);
                    }
                }
                let own = norm(&gradient_dv) / pulls.normaliser;
                let length = self.train.rate
                    * match self.step {
                        Step::Own => own,
                        Step::GradNorm => norm(&plain_dv) / stats.len() as f64,
                    };
                // Nothing pulled: no direction, no step.
                if own > 0.0 {
                    let by = length / (own * pulls.normaliser);
                    model.weights_dv.iter_mut().zip(&gradient_dv).for_each(|(w, g)| *w -= by * g);
                    travelled += length;
                }
            }
        }
        Ok(travelled / self.steps() as f64)
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
fn add_outer(x_d: &[f64], y_v: &[f64], m_dv: &mut [f64]) {
    for (row, x) in m_dv.chunks_exact_mut(y_v.len()).zip(x_d) {
        for (m, y) in row.iter_mut().zip(y_v) {
            *m += x * y;
        }
    }
}

fn norm(x: &[f64]) -> f64 {
    libm::sqrt(x.iter().map(|x| x * x).sum())
}

/// Index of the largest value, the first of equals.
fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}
