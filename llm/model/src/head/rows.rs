//! What the head is asked about.

use std::ops::Range;

use tch::{IndexOp, Tensor};
use tokensieve_kernels::head_rows::Chunk;
use tokensieve_kernels::upload;

use super::Unembedding;

/// Rows of hidden states, each with the token that it should predict.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[R, D]`, after the final norm, in the output matrix' type.
    pub hidden_rd: &'a Tensor,
    /// The tokens, one per row.
    pub labels: &'a [u32],
    /// The output matrix.
    pub unembedding: Unembedding<'a>,
}

impl Rows<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Tokens of the vocabulary.
    pub(super) fn vocabulary(&self) -> i64 {
        self.unembedding.weight.size()[0]
    }

    /// The labels where the hidden states are, for all parts together.
    pub(super) fn labels_r(&self) -> Tensor {
        indices(self.labels, self.hidden_rd.device())
    }

    pub(super) fn hidden_nd(&self, range: &Range<usize>) -> Tensor {
        self.hidden_rd.narrow(0, range.start as i64, range.len() as i64)
    }

    pub(super) fn part(&self, labels_r: &Tensor, range: Range<usize>) -> Chunk<'_> {
        Chunk {
            hidden_nd: self.hidden_nd(&range),
            labels_n: labels_r.narrow(0, range.start as i64, range.len() as i64),
            labels: &self.labels[range],
            weight_vd: self.unembedding.weight,
            soft_cap: self.unembedding.soft_cap,
        }
    }
}

/// Token ids or row numbers as libtorch indexes with them.
pub(super) fn indices(of: &[u32], device: tch::Device) -> Tensor {
    upload(&of.iter().map(|i| i64::from(*i)).collect::<Vec<_>>(), device)
}

/// The first `n` rows.
pub(super) fn first(tensor: &Tensor, n: usize) -> Tensor {
    tensor.i(..n as i64)
}
