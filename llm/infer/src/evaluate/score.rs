//! How probable a model finds given texts, token by token: packed, in one forward pass for many.

use tch::no_grad;

use tokensieve_model::Document;
use tokensieve_model::Model;
use tokensieve_model::Pack;
use tokensieve_model::head::{Head, RowStats, Rows};
use tokensieve_model::in_order;

/// Tokens that go through the model together (choice: wide enough for the matrix products, a few hundred MiB).
const TOKENS: usize = 4096;

/// A model that reads.
#[derive(Debug)]
pub struct Scorer<'a> {
    model: &'a Model,
    head: Head,
}

impl<'a> Scorer<'a> {
    /// A reader with buffers of its own.
    pub fn new(model: &'a Model) -> Self {
        Self { model, head: Head::default() }
    }

    /// Documents side by side, as the model takes them.
    pub fn pack(&self, documents: &[&Document]) -> Pack {
        self.model.pack(documents)
    }

    /// What is said of each pack's documents' predicted tokens. All packs go through the model in one pass.
    pub fn score(&mut self, packs: &[Pack]) -> Vec<Vec<Vec<RowStats>>> {
        if packs.is_empty() {
            return Vec::new();
        }
        let labels: Vec<u32> =
            packs.iter().flat_map(|pack| &pack.targets).map(|target| target.label).collect();
        let hidden_rd = no_grad(|| self.model.forward_together(packs));
        let rows = Rows { hidden_rd: &hidden_rd, labels: &labels, unembedding: self.model.unembedding() };
        let mut stats = self.head.statistics(&rows, false).into_iter();
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

/// Consecutive items that go together: as many as have [`TOKENS`] tokens in all, and at least one.
pub(super) fn portions(tokens: impl IntoIterator<Item = usize>) -> Vec<std::ops::Range<usize>> {
    let portions = in_order(tokens.into_iter().enumerate(), |(_, tokens)| *tokens, TOKENS);
    portions.iter().map(|portion| portion[0].0..portion[portion.len() - 1].0 + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_consecutive_and_not_too_large() {
        assert_eq!(portions([3000, 1000, 97, 9000, 1, 4096]), [0..2, 2..3, 3..4, 4..5, 5..6]);
        assert!(portions([]).is_empty());
    }
}
