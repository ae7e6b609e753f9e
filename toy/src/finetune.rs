//! Fine-tuning a [`Model`] on labels that are sometimes wrong: one loop for every objective, in which only the pulls and the
//! length of the step differ.

use serde::{Deserialize, Serialize};
use tokensieve_objective::{Objective, Plan, gradient};

use crate::{
    Error,
    domain::{Model, Tokens, add_outer},
};
use tokensieve_base::statistics::{Estimate, mean_interval};
use tokensieve_base::streams::Stream;

/// Settings of fine-tuning, equal for every objective compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the training documents.
    pub epochs: usize,
    /// Documents per step; an objective's selection sees all their tokens.
    pub batch_documents: usize,
    /// Learning rate on the mean gradient.
    pub rate: f64,
}

impl TrainConfig {
    /// The mean over seeds, with its interval.
    pub(crate) fn mean(&self, experiment: &'static str, values: &[f64]) -> Result<Estimate, Error> {
        let wanted = "small enough that training stays finite";
        mean_interval(values).ok_or_else(|| Error::config(experiment, "train.rate", self.rate, wanted))
    }
}

/// The length of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Learning rate times the objective's own gradient.
    Own,
    /// The objective's own direction, with the length of the step of −log p on all tokens of the batch at these weights.
    GradNorm,
}

/// Statistics of a fine-tuning run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Travel {
    /// Mean length of a step in the space of the weights.
    pub step_length: f64,
    /// Share of wrong labels among the labels that pulled.
    pub wrong_share: f64,
}

/// Data and helpers of one fine-tuning run.
#[derive(Clone, Copy)]
pub struct Finetune<'a> {
    /// Training tokens.
    pub tokens: &'a Tokens,
    /// Their labels, including wrong ones.
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
    fn steps(&self) -> u64 {
        let documents = self.tokens.len() / self.tokens.document_tokens;
        (self.train.epochs * documents.div_ceil(self.train.batch_documents)) as u64
    }

    /// The base after training.
    pub fn run(&self, base: &Model, objective: &Objective) -> Result<(Model, Travel), Error> {
        let mut model = base.clone();
        let mut training = objective.begin(Plan { steps: self.steps(), seed: self.seed });
        let (v, size) = (model.vocabulary, self.tokens.document_tokens);
        let documents = self.tokens.len() / size;
        let mut order = Stream::new(self.seed, "finetune/order");
        let mut stats = Vec::with_capacity(self.train.batch_documents * size);
        let mut p_nv = vec![0.0; self.train.batch_documents * size * v];
        let mut row = vec![0.0; v];
        let mut gradient_dv = vec![0.0; model.weights_dv.len()];
        let mut plain_dv = vec![0.0; model.weights_dv.len()];
        let mut travelled = 0.0;
        let (mut labelled, mut wrong) = (0_u64, 0_u64);
        for _ in 0..self.train.epochs {
            let shuffled = order.permutation(documents);
            for batch in shuffled.chunks(self.train.batch_documents) {
                let tokens =
                    || batch.iter().flat_map(|document| (0..size).map(move |position| (*document, position)));
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
                    if pull.label != 0.0 {
                        labelled += 1;
                        wrong += u64::from(self.labels[t] != self.tokens.truth[t]);
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
                // All pulls are zero: no direction, no step.
                if own > 0.0 {
                    let by = length / (own * pulls.normaliser);
                    model.weights_dv.iter_mut().zip(&gradient_dv).for_each(|(w, g)| *w -= by * g);
                    travelled += length;
                }
            }
        }
        let travel = Travel {
            step_length: travelled / self.steps() as f64,
            wrong_share: if labelled == 0 { 0.0 } else { wrong as f64 / labelled as f64 },
        };
        Ok((model, travel))
    }
}

/// Euclidean length.
pub(crate) fn norm(x: &[f64]) -> f64 {
    libm::sqrt(x.iter().map(|x| x * x).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Domain, DomainConfig};

    /// A single document in a single step: the weights move by the gradient of the written-out mean loss.
    #[test]
    fn a_step_is_the_gradient_of_the_written_loss() {
        let domain = Domain::new(&DomainConfig::default(), 5).unwrap();
        let (train, test) = (domain.tokens(1, "train"), domain.tokens(16, "test"));
        let base = domain.pretrained(&[0.3], &test).unwrap().remove(0);
        let labels = train.noisy_labels(0.3, 32, &mut Stream::new(5, "noise"));
        let reference = domain.pretrained(&[0.5], &test).unwrap().remove(0).probabilities(&train);
        let train_config = TrainConfig { epochs: 1, batch_documents: 1, rate: 0.5 };
        let finetune = Finetune {
            tokens: &train,
            labels: &labels,
            reference_nv: Some(&reference),
            train: &train_config,
            step: Step::Own,
            seed: 5,
        };
        // Label smoothing's shape, so that both pulls are at work.
        let objective =
            Objective::from_toml("selected = \"-log p\"\nreference = \"1\"\nagainst = \"mle\"").unwrap();
        let (model, _) = finetune.run(&base, &objective).unwrap();
        let loss = |model: &Model| {
            let p_nv = model.probabilities(&train);
            let tokens = p_nv.chunks(32).zip(reference.chunks(32)).zip(&labels);
            let sum: f64 = tokens
                .map(|((p, q), label)| {
                    let cross: f64 = q.iter().zip(p).map(|(q, p)| -q * libm::log(*p)).sum();
                    cross - libm::log(p[*label])
                })
                .sum();
            sum / train.len() as f64
        };
        for i in (0..base.weights_dv.len()).step_by(17) {
            let nudged = |by: f64| {
                let mut model = base.clone();
                model.weights_dv[i] += by;
                loss(&model)
            };
            let slope = (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
            let moved = (model.weights_dv[i] - base.weights_dv[i]) / -0.5;
            assert!((moved - slope).abs() < 1e-8, "weight {i}: {moved} {slope}");
        }
    }
}
