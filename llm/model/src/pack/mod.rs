//! Packs: several documents in one sequence without padding. Tokens attend within their own document only, and
//! positions restart at each document.
//!
//! Leading tokens that all documents share (a chat template's system turn) are stored once, in front, and computed
//! once: they have the same hidden states in every document, and every document attends to them.

mod document;
mod packing;

use tch::{Device, Tensor};

use tokensieve_kernels::{Layout, upload};

pub use document::{Document, Precomputed};
pub use packing::{chunks_by_length, packs};

/// A token that is to be predicted: the row of the pack that predicts it, and the label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Row of the pack whose hidden state predicts the token.
    pub row: u32,
    /// The token to predict.
    pub label: u32,
    /// Index of its document in the pack.
    pub document: u32,
    /// Its index among the document's predicted tokens, counted from 0.
    pub position: u32,
    /// The token's weight in the data; never 0.
    pub weight: f32,
}

/// Packed documents, on a device.
#[derive(Debug)]
pub struct Pack {
    /// Token ids, i64 `[T]`.
    pub tokens: Tensor,
    /// Positions within the documents, i64 `[T]`.
    pub positions: Tensor,
    /// The lengths of the shared prefix and of each document's remaining tokens.
    pub layout: Layout,
    /// The tokens to predict, document by document.
    pub targets: Vec<Target>,
    /// The rows whose hidden states the forward pass returns, in ascending order; `None`: all.
    pub output_rows: Option<Vec<i64>>,
}

impl Pack {
    /// Packs documents in the given order. With `share`, leading tokens that all have in common are stored once.
    ///
    /// # Panics
    /// If there is no document, a document is empty, or it does not have one weight per token: mistakes of the caller,
    /// since data are checked when they are read.
    pub fn new(documents: &[&Document], share: bool, device: Device) -> Self {
        assert!(documents.iter().all(|d| !d.tokens.is_empty() && d.tokens.len() == d.weights.len()));
        let prefix = if share { shared_prefix(documents) } else { 0 };
        let first = documents.first().expect("a pack has a document");
        let layout = Layout { prefix, lengths: documents.iter().map(|d| d.tokens.len() - prefix).collect() };
        let mut tokens: Vec<i64> = first.tokens[..prefix].iter().map(|t| i64::from(*t)).collect();
        let mut positions: Vec<i64> = (0..prefix as i64).collect();
        let mut targets = Vec::new();
        for (index, (document, range)) in (0..).zip(documents.iter().zip(layout.ranges())) {
            tokens.extend(document.tokens[prefix..].iter().map(|t| i64::from(*t)));
            positions.extend(prefix as i64..document.tokens.len() as i64);
            let predicted = (prefix..document.tokens.len()).filter(|i| *i > 0 && document.weights[*i] != 0.0);
            targets.extend((0..).zip(predicted).map(|(position, i)| Target {
                row: (range.start + i - prefix - 1) as u32,
                label: document.tokens[i],
                document: index,
                position,
                weight: document.weights[i],
            }));
        }
        Self {
            tokens: upload(&tokens, device),
            positions: upload(&positions, device),
            layout,
            targets,
            output_rows: None,
        }
    }

    /// Restricts the output rows to those that predict a target, one per target. The last layer then computes no
    /// others.
    #[must_use]
    pub fn targets_only(self) -> Self {
        let rows = self.targets.iter().map(|target| i64::from(target.row)).collect();
        Self { output_rows: Some(rows), ..self }
    }
}

/// The number of leading tokens that all documents share, limited so that each document keeps at least one token of its
/// own and no shared token predicts a target.
fn shared_prefix(documents: &[&Document]) -> usize {
    let [first, rest @ ..] = documents else { return 0 };
    // A single document shares nothing; a prefix would only split it.
    if rest.is_empty() {
        return 0;
    }
    let room = |d: &Document| {
        let response = d.weights.iter().skip(1).position(|weight| *weight != 0.0);
        response.unwrap_or(d.tokens.len() - 1)
    };
    let common =
        |d: &&Document| d.tokens.iter().zip(&first.tokens).take_while(|(a, b)| a == b).count().min(room(d));
    rest.iter().map(common).min().unwrap_or(0).min(room(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(tokens: &[u32], response: usize) -> Document {
        let weights = (0..tokens.len()).map(|i| if i >= response { 1.0 } else { 0.0 }).collect();
        Document {
            row: 0,
            index_in_row: 0,
            tokens: tokens.to_vec(),
            weights,
            precomputed: Precomputed::default(),
        }
    }

    #[test]
    fn shared_leading_tokens_are_stored_once() {
        let (a, b) = (document(&[7, 8, 9, 1, 2], 3), document(&[7, 8, 9, 3], 3));
        let pack = Pack::new(&[&a, &b], true, Device::Cpu);
        // The third token is common too, but predicts each document's first response token.
        assert_eq!(pack.layout, Layout { prefix: 2, lengths: vec![3, 2] });
        assert_eq!(Vec::<i64>::try_from(&pack.tokens).unwrap(), [7, 8, 9, 1, 2, 9, 3]);
        assert_eq!(Vec::<i64>::try_from(&pack.positions).unwrap(), [0, 1, 2, 3, 4, 2, 3]);
        let targets: Vec<_> = pack.targets.iter().map(|t| (t.row, t.label, t.document, t.position)).collect();
        assert_eq!(targets, [(2, 1, 0, 0), (3, 2, 0, 1), (5, 3, 1, 0)]);
    }

    #[test]
    fn every_target_is_predicted_by_the_row_before_it() {
        let documents = [document(&[5, 6, 7, 8], 1), document(&[5, 6], 1), document(&[5, 9, 9], 2)];
        for share in [false, true] {
            let pack = Pack::new(&documents.each_ref(), share, Device::Cpu);
            let tokens = Vec::<i64>::try_from(&pack.tokens).unwrap();
            assert_eq!(tokens.len(), pack.layout.tokens());
            for target in &pack.targets {
                assert_eq!(tokens[target.row as usize + 1], i64::from(target.label));
            }
            assert_eq!(pack.targets.len(), documents.iter().map(Document::response_tokens).sum::<usize>());
        }
    }
}
