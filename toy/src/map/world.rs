//! A world with all that the two papers speak of: facts, some of them new; free choices, which nobody can foresee; wrong
//! labels of two kinds.
//!
//! A token is a fact (its label follows from its features, by [`Domain`]) or a free choice: one of a few labels, all
//! equally probable; its features tell which ones. Both kinds have features of their own, so that a linear model can
//! know everything, and what it does not know is exactly the divergence from the true distribution.

use serde::{Deserialize, Serialize};
use tokensieve_base::streams::Stream;

use crate::{
    domain::{Domain, DomainConfig, Model, Tokens, add_outer, argmax},
    error::{Error, at_least, refuse},
};

/// Sizes of a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorldConfig {
    /// Labels, features, documents and pre-training. `shift` is the share of the facts that is new.
    pub domain: DomainConfig,
    /// Kinds of free choices.
    pub kinds: usize,
    /// Labels of each kind.
    pub choices: usize,
    /// Share of the tokens that are free choices.
    pub free_share: f64,
    /// Mean probability of former facts at which pre-training ends.
    pub certainty: f64,
}

/// What a wrong label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// Any label that is not right.
    Uniform,
    /// A label that is nearly right: the fact's runner-up, or a choice of another kind.
    Confusable,
}

impl Noise {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Confusable => "confusable",
        }
    }
}

/// Tokens, and which of them are free choices of which kind.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Features and right labels: of a free choice, the one that was made.
    pub tokens: Tokens,
    /// Of each token the kind of choice that it is, if it is one.
    pub kinds: Vec<Option<usize>>,
}

impl Sample {
    /// The mean over facts of what `of` makes of a prediction and the right label; 0 where there are none.
    fn mean_over_facts<'p>(
        &self,
        predictions: impl Iterator<Item = &'p [f64]>,
        of: impl Fn(&[f64], usize) -> f64,
    ) -> f64 {
        let (mut sum, mut facts) = (0.0, 0_u32);
        for (t, p) in predictions.enumerate() {
            if self.kinds[t].is_none() {
                sum += of(p, self.tokens.truth[t]);
                facts += 1;
            }
        }
        sum / f64::from(facts.max(1))
    }
}

/// One number for each measure of what is known: accuracy (or the mean probability, which it follows), and minus the
/// divergence.
pub type Gains = [f64; 2];

/// What a model knows, exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Share of facts whose most probable label is the right one.
    pub accuracy: f64,
    /// Mean divergence of the model's distribution from the true one over all tokens, in nats.
    pub kl_nats: f64,
}

/// Facts, choices, and the base that learned them before some facts changed.
#[derive(Clone, Debug)]
pub struct World {
    config: WorldConfig,
    domain: Domain,
    /// The labels of each kind of free choice.
    sets: Vec<Vec<usize>>,
    seed: u64,
}

impl World {
    /// The world of this seed. Worlds that differ in the share of new facts alone have the same former facts.
    pub fn new(config: &WorldConfig, seed: u64) -> Result<Self, Error> {
        let domain = Domain::new(&config.domain, seed)?;
        at_least("map", [("kinds", config.kinds, 2)])?;
        if config.choices == 0 || config.choices * config.kinds > config.domain.vocabulary {
            return refuse(
                "map",
                "choices",
                config.choices,
                "at least 1, and all kinds' together no more than the labels",
            );
        }
        if !(0.0..1.0).contains(&config.free_share) {
            return refuse("map", "free_share", config.free_share, "a share from 0 to below 1");
        }
        let labels = Stream::new(seed, "map/sets").permutation(config.domain.vocabulary);
        let sets = labels.chunks(config.choices).take(config.kinds).map(<[_]>::to_vec).collect();
        Ok(Self { config: config.clone(), domain, sets, seed })
    }

    /// Documents of what is true now, from the stream called `name`.
    pub fn sample(&self, documents: usize, name: &str) -> Sample {
        self.with_choices(&self.domain.tokens(documents, name), name)
    }

    /// Turns a share of facts into free choices.
    fn with_choices(&self, facts: &Tokens, name: &str) -> Sample {
        let (d, width) = (self.config.domain.features, self.width());
        let mut stream = Stream::new(self.seed, &format!("{name}/choices"));
        let mut features_nd = vec![0.0; facts.len() * width];
        let mut truth = Vec::with_capacity(facts.len());
        let mut kinds = Vec::with_capacity(facts.len());
        for (t, features) in features_nd.chunks_exact_mut(width).enumerate() {
            let is_free = stream.chance(self.config.free_share);
            let kind = stream.below(self.sets.len());
            let chosen = self.sets[kind][stream.below(self.config.choices)];
            if is_free {
                features[d + kind] = 1.0;
            } else {
                features[..d].copy_from_slice(facts.features(t));
            }
            truth.push(if is_free { chosen } else { facts.truth[t] });
            kinds.push(is_free.then_some(kind));
        }
        Sample { tokens: Tokens { features_nd, truth, document_tokens: facts.document_tokens }, kinds }
    }

    /// Features of a token: the facts', and one for each kind of choice.
    fn width(&self) -> usize {
        self.config.domain.features + self.sets.len()
    }

    /// The sample's labels, each wrong with probability `rate`. As [`Tokens::noisy_labels`]: wrong labels are nested.
    pub fn labels(&self, sample: &Sample, rate: f64, noise: Noise, stream: &mut Stream) -> Vec<usize> {
        let features = self.config.domain.features;
        let labels = sample.tokens.truth.iter().zip(&sample.kinds).enumerate().map(|(t, (&truth, &kind))| {
            let is_wrong = stream.chance(rate);
            let place = stream.uniform();
            if !is_wrong {
                return truth;
            }
            let wrong: Vec<usize> = match (noise, kind) {
                (Noise::Uniform, _) => {
                    let right: Vec<usize> = self.distribution(sample, t).map(|(label, _)| label).collect();
                    (0..self.config.domain.vocabulary).filter(|label| !right.contains(label)).collect()
                }
                (Noise::Confusable, None) => {
                    vec![self.domain.runner_up(&sample.tokens.features(t)[..features])]
                }
                (Noise::Confusable, Some(kind)) => {
                    let others = self.sets.iter().enumerate().filter(|(other, _)| *other != kind);
                    others.flat_map(|(_, set)| set.iter().copied()).collect()
                }
            };
            wrong[((place * wrong.len() as f64) as usize).min(wrong.len() - 1)]
        });
        labels.collect()
    }

    /// The model that plain maximum likelihood makes of what was true before.
    pub fn base(&self) -> Result<Model, Error> {
        let DomainConfig {
            pretrain_batch,
            document_tokens,
            pretrain_steps,
            pretrain_rate,
            test_documents,
            vocabulary,
            ..
        } = self.config.domain;
        let former =
            |documents, name: &str| self.with_choices(&self.domain.former_tokens(documents, name), name);
        let held_out = former(test_documents, "map/former");
        let documents = pretrain_batch.div_ceil(document_tokens);
        let mut model = Model::uniform(self.width(), vocabulary);
        let mut steps = 0;
        loop {
            let p_nv = model.probabilities(&held_out.tokens);
            let reached = held_out.mean_over_facts(p_nv.chunks_exact(vocabulary), |p, truth| p[truth]);
            if reached >= self.config.certainty {
                return Ok(model);
            }
            if steps >= pretrain_steps {
                return Err(Error::Capability { target: self.config.certainty, reached, steps });
            }
            for _ in 0..LOOK {
                let batch = former(documents, &format!("map/pretrain/{steps}")).tokens;
                model.learn(&batch, pretrain_rate);
                steps += 1;
            }
        }
    }

    /// What a model knows of the sample's tokens.
    pub fn known(&self, model: &Model, sample: &Sample) -> Known {
        let p_nv = model.probabilities(&sample.tokens);
        let predictions = || p_nv.chunks_exact(model.vocabulary);
        let right = |p: &[f64], truth| if argmax(p) == truth { 1.0 } else { 0.0 };
        let accuracy = sample.mean_over_facts(predictions(), right);
        let mut kl = 0.0;
        for (t, p) in predictions().enumerate() {
            kl += self
                .distribution(sample, t)
                .map(|(label, truth)| truth * libm::log(truth / p[label]))
                .sum::<f64>();
        }
        Known { accuracy, kl_nats: kl / sample.tokens.len() as f64 }
    }

    /// How the weights must move so that the two measures rise fastest: the gradients of the mean probability of the facts'
    /// right labels, which accuracy follows, and of minus the mean divergence.
    pub fn ascent(&self, model: &Model, sample: &Sample) -> [Vec<f64>; 2] {
        let mut probability_dv = vec![0.0; model.weights_dv.len()];
        let mut divergence_dv = probability_dv.clone();
        let facts = sample.kinds.iter().filter(|kind| kind.is_none()).count().max(1) as f64;
        let all = sample.tokens.len() as f64;
        let mut row = vec![0.0; model.vocabulary];
        for (t, p) in model.probabilities(&sample.tokens).chunks_exact(model.vocabulary).enumerate() {
            let features = sample.tokens.features(t);
            row.iter_mut().zip(p).for_each(|(row, p)| *row = -p / all);
            self.distribution(sample, t).for_each(|(label, truth)| row[label] += truth / all);
            add_outer(features, &row, &mut divergence_dv);
            if sample.kinds[t].is_none() {
                let truth = sample.tokens.truth[t];
                let likelihood = p[truth];
                row.iter_mut().zip(p).for_each(|(row, p)| *row = -p * likelihood / facts);
                row[truth] += likelihood / facts;
                add_outer(features, &row, &mut probability_dv);
            }
        }
        [probability_dv, divergence_dv]
    }

    /// The labels that a token may have, with their true probabilities.
    fn distribution<'a>(&'a self, sample: &'a Sample, t: usize) -> impl Iterator<Item = (usize, f64)> + 'a {
        let labels = sample.kinds[t].map_or(&sample.tokens.truth[t..=t], |kind| &self.sets[kind]);
        labels.iter().map(move |label| (*label, 1.0 / labels.len() as f64))
    }
}

/// Pre-training steps between two evaluations.
const LOOK: usize = 32;
