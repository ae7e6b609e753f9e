//! Losses of the tokens of given texts: many texts in one forward pass.

use tch::{Kind, Tensor, no_grad};

use tokensieve_model::head::{Head, Request, RowStats, Rows, Unembedding};
use tokensieve_model::{Document, Model, Pack, Result, Target, chunks_by_length};

/// Maximum number of tokens in one forward pass (choice: enough for efficient matrix products, a few hundred MiB).
const TOKENS: usize = 4096;

/// Bytes of logits that are in memory at a time (choice: all of a pass where the vocabulary has a few hundred tokens).
const LOGITS_BYTES: usize = 48 << 20;

/// Receives a predicted token and all logits of its place.
pub(super) type OnLogits<'a> = dyn FnMut(&Target, &[f32]) -> Result<()> + 'a;

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
    pub fn score(&mut self, packs: &[Pack], request: &Request<'_>) -> Vec<Vec<Vec<RowStats>>> {
        if packs.is_empty() {
            return Vec::new();
        }
        let labels: Vec<u32> =
            packs.iter().flat_map(|pack| &pack.targets).map(|target| target.label).collect();
        let hidden_rd = no_grad(|| self.model.forward_together(packs));
        let rows = Rows { hidden_rd: &hidden_rd, labels: &labels, unembedding: self.model.unembedding() };
        let mut stats = self.head.statistics(&rows, request).into_iter();
        let mut of_pack = |pack: &Pack| {
            let mut documents = vec![Vec::new(); pack.layout.lengths.len()];
            for (target, stats) in pack.targets.iter().zip(&mut stats) {
                documents[target.document as usize].push(stats);
            }
            documents
        };
        packs.iter().map(&mut of_pack).collect()
    }

    /// Passes on the logits of every predicted token, multiplied in f32 also where the model computes in bf16.
    pub(super) fn logits(&self, pack: &Pack, each: &mut OnLogits<'_>) -> Result<()> {
        let (hidden_rd, weight_vd) = no_grad(|| {
            let float = |tensor: &Tensor| tensor.to_kind(Kind::Float);
            (float(&self.model.forward(pack)), float(self.model.unembedding().weight))
        });
        let unembedding = Unembedding { weight: &weight_vd, ..self.model.unembedding() };
        let vocabulary = weight_vd.size()[0] as usize;
        let at_once = (LOGITS_BYTES / (size_of::<f32>() * vocabulary)).max(1);
        let mut buffer = Vec::new();
        for (start, targets) in (0..).step_by(at_once).zip(pack.targets.chunks(at_once)) {
            let logits_nv = no_grad(|| unembedding.logits(&hidden_rd.narrow(0, start, targets.len() as i64)));
            buffer.resize(targets.len() * vocabulary, 0.0);
            logits_nv.copy_data(&mut buffer, targets.len() * vocabulary);
            targets.iter().zip(buffer.chunks(vocabulary)).try_for_each(|(target, row)| each(target, row))?;
        }
        Ok(())
    }
}

/// Divides items with these numbers of tokens into consecutive batches of at most [`TOKENS`] tokens, with at least one item
/// each.
pub(super) fn batches(tokens: impl IntoIterator<Item = usize>) -> Vec<std::ops::Range<usize>> {
    let batches = chunks_by_length(tokens.into_iter().enumerate(), |(_, tokens)| *tokens, TOKENS);
    batches.iter().map(|batch| batch[0].0..batch[batch.len() - 1].0 + 1).collect()
}

/// The [`batches`] of all items that have one of the `asked` in them, which are in order. What an evaluation that goes on
/// asks is then computed together with the same others as if it had not been interrupted, so that no bit depends on that.
pub(super) fn batches_with(
    asked: &[usize],
    tokens: impl IntoIterator<Item = usize>,
) -> Vec<std::ops::Range<usize>> {
    let mut batches = batches(tokens);
    batches.retain(|batch| {
        let first = asked.partition_point(|item| *item < batch.start);
        asked.get(first).is_some_and(|item| *item < batch.end)
    });
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_do_not_depend_on_what_is_asked() {
        let tokens = [3000, 1000, 97, 9000, 1, 4096];
        assert_eq!(batches_with(&[0, 1, 2, 3, 4, 5], tokens), batches(tokens));
        assert_eq!(batches_with(&[1, 4], tokens), [0..2, 4..5]);
        assert_eq!(batches_with(&[0, 5], tokens), [0..2, 5..6]);
        assert!(batches_with(&[], tokens).is_empty());
    }

    #[test]
    fn batches_are_consecutive_and_not_too_large() {
        assert_eq!(batches([3000, 1000, 97, 9000, 1, 4096]), [0..2, 2..3, 3..4, 4..5, 5..6]);
        assert!(batches([]).is_empty());
    }
}
