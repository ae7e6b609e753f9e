//! The statistics of rows whose logits exist.

use std::ops::Range;

use tch::Tensor;
use tokensieve_kernels::head_rows::{self, ChunkStats, Reference};

use super::buffers::{Buffers, product};
use super::rows::{Rows, first};
use super::wanted::Distribution;

/// What to compute of every row besides the label's loss and the prediction's entropy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The entropy of the 20 most probable tokens.
    pub top_entropy: bool,
    /// The label's loss at other temperatures.
    pub tempered: bool,
    /// The probability of all tokens no more probable than the label.
    pub mass: bool,
    /// The divergence of the prediction from these distributions, which have as many rows.
    pub divergence_from: Distribution<'a>,
}

/// The statistics of a chunk of rows with these logits.
pub(super) fn of_chunk(
    buffers: &mut Buffers,
    rows: &Rows,
    labels_r: &Tensor,
    chunk: Range<usize>,
    logits_nv: &Tensor,
    request: &Request,
) -> ChunkStats {
    let reference_nv;
    let reference = match request.divergence_from {
        Distribution::None | Distribution::Itself(_) => None,
        Distribution::Uniform => Some(Reference::Uniform),
        Distribution::Top(top) => Some(Reference::Top(top, chunk.start)),
        Distribution::Model { hidden_rd, unembedding } => {
            reference_nv = first(&buffers.reference(rows), chunk.len());
            let hidden_nd = hidden_rd.narrow(0, chunk.start as i64, chunk.len() as i64);
            product(&hidden_nd, unembedding.weight, &reference_nv);
            Some(Reference::Logits((&reference_nv, unembedding.soft_cap)))
        }
    };
    let Request { top_entropy, tempered, mass, .. } = *request;
    let request = head_rows::Request { top_entropy, tempered, mass, reference };
    head_rows::statistics(&rows.part(labels_r, chunk), logits_nv, &request)
}
