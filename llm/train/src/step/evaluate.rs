//! How well a model predicts documents that it is not trained on: held-out sets.

use tch::no_grad;
use tokensieve_objective::{Objective, TokenStats};

use super::micro::{Micro, ReferenceStats, predicting};
use super::plan::Processes;
use super::sharing::Sharing;
use tokensieve_model::head::{Head, Reference, Request};
use tokensieve_model::{Document, Model, Result};
use tokensieve_processes::Group;

/// Means over predicted tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// −log p, nats.
    pub nll: f64,
    /// The objective's loss of selected tokens, if it was asked for and needs no reference and no mean over a batch.
    pub objective_loss: Option<f64>,
    /// Probability of the label.
    pub mean_p: f64,
    /// Share of labels that are the most probable token.
    pub accuracy: f64,
    /// Predicted tokens.
    pub tokens: usize,
}

/// Predicts the documents' tokens; the processes of a group share the documents, and each has the whole result.
pub fn evaluate(
    head: &mut Head,
    model: &Model,
    documents: &[&Document],
    micro_tokens: usize,
    objective: Option<&Objective>,
    group: Option<&Group>,
) -> Result<Evaluation> {
    let from_the_token = |objective: &&Objective| {
        objective.against().is_none() && objective.describe().needs.is_empty() && !objective.averages()
    };
    let objective = objective.filter(from_the_token);
    let sharing = Sharing::new(group.map(Processes::from), documents);
    let (mut nll, mut loss, mut p, mut correct, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut own = predicting(documents);
    own.retain(|document| sharing.is_own(*document));
    let members: Vec<&Document> = own.iter().map(|document| documents[*document]).collect();
    for pack in tokensieve_model::packs(&members, micro_tokens) {
        let pack = pack.into_iter().map(|i| own[i]).collect();
        let micro = Micro::new(documents, pack, model, &Reference::None);
        let hidden_rd = no_grad(|| model.forward(&micro.pack));
        let stats = head.statistics(&micro.rows(&hidden_rd, model.unembedding()), &Request::default());
        let tokens = micro.tokens(
            0..stats.len(),
            &stats,
            &ReferenceStats::default(),
            documents,
            model.config().vocab_size,
        );
        n += stats.len() as f64;
        nll += tokens.iter().map(|token| token.loss).sum::<f64>();
        p += tokens.iter().map(TokenStats::p).sum::<f64>();
        correct += stats.iter().filter(|row| row.greedy).count() as f64;
        if let Some(objective) = objective {
            loss +=
                tokens.iter().map(|token| objective.written_out(token, true, token.loss, 0.0)).sum::<f64>();
        }
    }
    let [nll, loss, p, correct, tokens] = sharing.sums([nll, loss, p, correct, n])?;
    let n = tokens.max(1.0);
    Ok(Evaluation {
        nll: nll / n,
        objective_loss: objective.map(|_| loss / n),
        mean_p: p / n,
        accuracy: correct / n,
        tokens: tokens as usize,
    })
}
