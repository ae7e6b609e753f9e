//! What an epoch of an objective is worth to first order, from a model at which it has not been trained.
//!
//! A step along a batch's gradient G lowers a loss with gradient v by ⟨v, G⟩ for each unit of its rate, and by ⟨v, G⟩/‖G‖ for
//! each unit of its length. Summed over an epoch's batches this is all that a first-order theory can say: pulls, selection
//! and distillation are those of training itself, and only the model stands still.

use std::ops::Range;
use tokensieve_objective::{Objective, Plan, TokenStats, gradient};

use super::world::Gains;
use crate::{
    Error,
    domain::{Model, Tokens, add_outer},
    finetune::{Step, TrainConfig, norm},
};

/// The gains of an epoch by length of step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Epoch {
    own: Gains,
    grad_norm: Gains,
}

impl Epoch {
    pub(super) fn of(&self, step: Step) -> Gains {
        match step {
            Step::Own => self.own,
            Step::GradNorm => self.grad_norm,
        }
    }
}

/// A model on the way: what predictions of every objective share.
pub(super) struct Look<'a> {
    /// How the weights must move so that each measure rises fastest.
    ascent: [Vec<f64>; 2],
    /// n × V probabilities of the model.
    p_nv: Vec<f64>,
    batches: Vec<Batch>,
    tokens: &'a Tokens,
    labels: &'a [usize],
    reference_nv: &'a [f64],
    train: &'a TrainConfig,
}

/// One step's tokens.
struct Batch {
    tokens: Range<usize>,
    stats: Vec<TokenStats>,
    /// Length of the mean gradient of −log p.
    plain: f64,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        model: &Model,
        ascent: [Vec<f64>; 2],
        tokens: &'a Tokens,
        labels: &'a [usize],
        reference_nv: &'a [f64],
        train: &'a TrainConfig,
    ) -> Self {
        let (v, size) = (model.vocabulary, tokens.document_tokens);
        let mut p_nv = vec![0.0; tokens.len() * v];
        let mut row = vec![0.0; v];
        let starts = (0..tokens.len()).step_by(train.batch_documents * size);
        let batches = starts.map(|start| {
            let batch = start..tokens.len().min(start + train.batch_documents * size);
            let mut plain_dv = vec![0.0; model.weights_dv.len()];
            let stats = batch.clone().map(|t| {
                let p = &mut p_nv[t * v..(t + 1) * v];
                let mut token = model.predict(tokens.features(t), labels[t], p);
                token.document = (t / size) as u32;
                token.position = (t % size) as u32;
                token.reference_loss = Some(-libm::log(reference_nv[t * v + labels[t]]));
                row.copy_from_slice(p);
                row[labels[t]] -= 1.0;
                add_outer(tokens.features(t), &row, &mut plain_dv);
                token
            });
            let stats: Vec<TokenStats> = stats.collect();
            Batch { plain: norm(&plain_dv) / stats.len() as f64, tokens: batch, stats }
        });
        let batches = batches.collect();
        Self { ascent, p_nv, batches, tokens, labels, reference_nv, train }
    }

    pub(super) fn epoch(&self, objective: &Objective) -> Result<Epoch, Error> {
        let v = self.p_nv.len() / self.tokens.len();
        let mut row = vec![0.0; v];
        let mut epoch = Epoch::default();
        for batch in &self.batches {
            let mut training = objective.begin(Plan { steps: 1, seed: 0 });
            let pulls = training.pulls(&batch.stats)?;
            let mut gradient_dv = vec![0.0; self.ascent[0].len()];
            for (t, pull) in batch.tokens.clone().zip(&pulls.pulls) {
                let [p, q] = [&self.p_nv, self.reference_nv].map(|all| &all[t * v..(t + 1) * v]);
                gradient(p, self.labels[t], Some(q), *pull, &mut row);
                add_outer(self.tokens.features(t), &row, &mut gradient_dv);
            }
            let length = norm(&gradient_dv);
            // All pulls are zero: no direction, no gain.
            if length > 0.0 {
                for (measure, ascent_dv) in self.ascent.iter().enumerate() {
                    let along: f64 = ascent_dv.iter().zip(&gradient_dv).map(|(up, g)| -up * g).sum();
                    epoch.own[measure] += self.train.rate * along / pulls.normaliser;
                    epoch.grad_norm[measure] += self.train.rate * batch.plain * along / length;
                }
            }
        }
        Ok(epoch)
    }
}
