//! How well a model predicts documents that it is not trained on: held-out sets.

use tch::no_grad;
use tokensieve_objective::{Objective, TokenStats};

use super::micro::{Micro, ReferenceStats, predicting};
use tokensieve_model::Document;
use tokensieve_model::Model;
use tokensieve_model::head::{Head, Request};

/// Means over predicted tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// −log p, nats.
    pub nll: f64,
    /// The objective's loss of selected tokens, if it was asked for and needs no reference.
    pub objective_loss: Option<f64>,
    /// Probability of the label.
    pub mean_p: f64,
    /// Share of labels that are the most probable token.
    pub accuracy: f64,
    /// Predicted tokens.
    pub tokens: usize,
}

/// Predicts the documents' tokens.
pub fn evaluate(
    head: &mut Head,
    model: &Model,
    documents: &[&Document],
    micro_tokens: usize,
    objective: Option<&Objective>,
) -> Evaluation {
    let objective =
        objective.filter(|objective| objective.against().is_none() && objective.describe().needs.is_empty());
    let mut sums = Evaluation { objective_loss: objective.map(|_| 0.0), ..Evaluation::default() };
    let (places, predicting) = predicting(documents);
    for members in tokensieve_model::packs(&predicting, micro_tokens) {
        let micro = Micro::new(documents, members.into_iter().map(|i| places[i]).collect(), model);
        let hidden_rd = no_grad(|| model.forward(&micro.pack));
        let stats = head.statistics(&micro.rows(&hidden_rd, model.unembedding()), &Request::default());
        let tokens = micro.tokens(
            0..stats.len(),
            &stats,
            &ReferenceStats::default(),
            documents,
            model.config().vocab_size,
        );
        sums.tokens += stats.len();
        sums.nll += tokens.iter().map(|token| token.loss).sum::<f64>();
        sums.mean_p += tokens.iter().map(TokenStats::p).sum::<f64>();
        sums.accuracy += stats.iter().filter(|row| row.greedy).count() as f64;
        if let (Some(sum), Some(objective)) = (&mut sums.objective_loss, objective) {
            *sum +=
                tokens.iter().map(|token| objective.written_out(token, true, token.loss, 0.0)).sum::<f64>();
        }
    }
    let n = sums.tokens.max(1) as f64;
    Evaluation {
        nll: sums.nll / n,
        objective_loss: sums.objective_loss.map(|sum| sum / n),
        mean_p: sums.mean_p / n,
        accuracy: sums.accuracy / n,
        tokens: sums.tokens,
    }
}
