//! Losses of the tokens of given texts: many texts in one forward pass.

use tch::no_grad;

use tokensieve_model::Document;
use tokensieve_model::Model;
use tokensieve_model::Pack;
use tokensieve_model::chunks_by_length;
use tokensieve_model::head::{Head, Request, RowStats, Rows};

/// Maximum number of tokens in one forward pass (choice: enough for efficient matrix products, a few hundred MiB).
const TOKENS: usize = 4096;

/// Computes the losses of documents.
#[derive(Debug)]
pub struct Scorer<'a> {
    model: &'a Model,
    head: Head,
}

impl<'a> Scorer<'a> {
    /// A scorer for this model.
    pub fn new(model: &'a Model) -> Self {
        Self { model, head: Head::default() }
    }

    /// Packs documents for one forward pass.
    pub fn pack(&self, documents: &[&Document]) -> Pack {
        self.model.pack(documents)
    }

    /// Statistics of the predicted tokens, by pack and document. All packs go through the model in one pass.
    pub fn score(&mut self, packs: &[Pack]) -> Vec<Vec<Vec<RowStats>>> {
        if packs.is_empty() {
            return Vec::new();
        }
        let labels: Vec<u32> =
            packs.iter().flat_map(|pack| &pack.targets).map(|target| target.label).collect();
        let hidden_rd = no_grad(|| self.model.forward_together(packs));
        let rows = Rows { hidden_rd: &hidden_rd, labels: &labels, unembedding: self.model.unembedding() };
        let mut stats = self.head.statistics(&rows, &Request::default()).into_iter();
        let mut of_pack = |pack: &Pack| {
            let mut documents = vec![Vec::new(); pack.layout.lengths.len()];
            for (target, stats) in pack.targets.iter().zip(&mut stats) {
                documents[target.document as usize].push(stats);
            }
            documents
        };
        packs.iter().map(&mut of_pack).collect()
    }
}

/// Divides items with these numbers of tokens into consecutive batches of at most [`TOKENS`] tokens, with at least one item
/// each.
pub(super) fn batches(tokens: impl IntoIterator<Item = usize>) -> Vec<std::ops::Range<usize>> {
    let batches = chunks_by_length(tokens.into_iter().enumerate(), |(_, tokens)| *tokens, TOKENS);
    batches.iter().map(|batch| batch[0].0..batch[batch.len() - 1].0 + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_consecutive_and_not_too_large() {
        assert_eq!(batches([3000, 1000, 97, 9000, 1, 4096]), [0..2, 2..3, 3..4, 4..5, 5..6]);
        assert!(batches([]).is_empty());
    }
}
