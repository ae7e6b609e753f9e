//! The fused head: from hidden states to statistics, and from pulls to the gradient on the hidden states.
//!
//! Logits exist for one chunk of rows at a time, in a buffer of a fixed number of bytes, so that memory does not grow with
//! the vocabulary. There a row is read once for its statistics and once for its gradient, which takes the logits' place.
//! Logits may be kept up to a budget of bytes between the two; beyond it they are computed again, and only for rows that
//! have a pull. Nothing here is differentiated automatically: the gradient on the logits is (a + b)·p − a·eᵧ − b·q.
//!
//! Letters: R rows (one per predicted token), n rows of a chunk, V vocabulary, D width of the hidden state.

mod buffers;
mod chunks;
mod gradient;
mod product;
mod reference;
mod rows;
mod statistics;
mod tasks;
mod wanted;

pub use buffers::Kept;
pub use chunks::{Chunk, Chunks};
pub use gradient::Gradient;
pub use reference::{Origin, Place, Reference, TopFile, TopTable, write_top};
pub use rows::Rows;
pub use statistics::Request;
pub use tokensieve_kernels::head_rows::{INVERSE_TEMPERATURES, RowStats, Top};
pub use wanted::{Distribution, Wanted};

pub use crate::Unembedding;

use tch::{Device, Kind, Tensor, no_grad};

use buffers::Buffers;
use tokensieve_kernels::{Int8Weight, head_rows, memory};

/// Bytes of one chunk's logits. Large enough that reading the output matrix is little beside multiplying with it, small
/// enough to be little beside a model (choice).
const CHUNK_BYTES: usize = 48 << 20;

/// Bytes of one chunk's logits on an accelerator, which needs more rows to be busy (choice: 1,046 at a vocabulary of 128,256 in bf16).
const CHUNK_BYTES_ON_DEVICE: usize = 256 << 20;

/// Bytes of logits that may stay between statistics and gradient (choice: most of a batch of 32 conversations at a
/// vocabulary of 49,152 in bf16).
const KEPT_BYTES: usize = 384 << 20;

/// The part of an accelerator's free memory that kept logits may take, so that the largest product of all is not computed
/// twice (choice: on 80 GB 20,000 predicted tokens, of 32,768 packed ones, at a vocabulary of 128,256 in bf16).
const KEPT_PART_OF_DEVICE: usize = 16;

/// The same where nobody knows how much is free.
const KEPT_BYTES_ON_DEVICE: usize = 3 << 30;

/// The head's buffers, kept from step to step: fresh pages cost more than what is written into them.
#[derive(Debug)]
pub struct Head {
    buffers: Buffers,
}

impl Default for Head {
    fn default() -> Self {
        Self::on(Device::Cpu)
    }
}

impl Head {
    /// A head for models on a device.
    pub fn on(device: Device) -> Self {
        if device == Device::Cpu {
            Self::new(CHUNK_BYTES, KEPT_BYTES)
        } else {
            let free = memory::free_device_bytes(device).map(|free| free as usize / KEPT_PART_OF_DEVICE);
            Self::new(CHUNK_BYTES_ON_DEVICE, free.unwrap_or(KEPT_BYTES_ON_DEVICE))
        }
    }

    /// A head that computes so many bytes of logits at a time and keeps up to so many between statistics and gradient.
    pub fn new(chunk_bytes: usize, kept_bytes: usize) -> Self {
        Self { buffers: Buffers::new(chunk_bytes, kept_bytes) }
    }

    /// Every row's statistics.
    pub fn statistics(&mut self, rows: &Rows, request: &Request) -> Vec<RowStats> {
        self.statistics_seen(rows, request, |_| {})
    }

    /// Every row's statistics; `see` receives each chunk's logits.
    fn statistics_seen(
        &mut self,
        rows: &Rows,
        request: &Request,
        mut see: impl FnMut(&Tensor),
    ) -> Vec<RowStats> {
        no_grad(|| {
            let labels_r = rows.labels_r();
            let parts = self.buffers.chunks(rows).map(|chunk| {
                let logits = self.buffers.logits(rows, chunk.clone());
                see(&logits);
                statistics::of_chunk(&mut self.buffers, rows, &labels_r, chunk, &logits, request)
            });
            head_rows::fetch(parts.collect())
        })
    }

    /// Every row's statistics, from logits of the output matrix in int8; the label's logit is exact.
    pub fn int8_statistics(
        &mut self,
        rows: &Rows,
        unembedding: &Int8Weight,
        request: &Request,
    ) -> Vec<RowStats> {
        no_grad(|| {
            let labels_r = rows.labels_r();
            let parts = self.buffers.chunks(rows).map(|chunk| {
                let mut logits = rows::first(&self.buffers.work(rows), chunk.len());
                unembedding.product(&rows.hidden_nd(&chunk), None, &logits);
                if logits.kind() == Kind::Float {
                    // Statistics take logits in f32 for exact; for rounded ones they compute the label's themselves.
                    let part = rows.part(&labels_r, chunk.clone());
                    let exact = part.label_logits().unsqueeze(1);
                    let _ = logits.scatter_(1, &part.labels_n.unsqueeze(1), &exact);
                }
                statistics::of_chunk(&mut self.buffers, rows, &labels_r, chunk, &logits, request)
            });
            head_rows::fetch(parts.collect())
        })
    }

    /// Every row's statistics, and the logits of as many rows as the budget allows, for [`Head::gradient`].
    pub fn statistics_keeping(&mut self, rows: &Rows, request: &Request) -> (Vec<RowStats>, Kept) {
        chunks::statistics_keeping(&mut self.buffers, rows, request)
    }

    /// The gradient on the hidden states, each row's divided by the normaliser. Rows without a pull get zeros and cost
    /// nothing.
    pub fn gradient(
        &mut self,
        rows: &Rows,
        stats: &[RowStats],
        wanted: &Wanted,
        kept: Option<Kept>,
    ) -> Gradient {
        chunks::gradient_of_all(&mut self.buffers, rows, stats, wanted, kept.unwrap_or_default())
    }

    /// Every row's loss and entropy, and its k most probable tokens.
    pub fn statistics_and_top(&mut self, rows: &Rows, k: usize) -> (Vec<RowStats>, Top) {
        let mut top = Top::of(k.min(rows.vocabulary() as usize));
        let stats = self.statistics_seen(rows, &Request::default(), |logits_nv| {
            if top.k > 0 {
                top.extend(&head_rows::top(logits_nv, rows.unembedding.soft_cap, top.k));
            }
        });
        (stats, top)
    }

    /// The k most probable tokens of every row.
    pub fn top(&mut self, rows: &Rows, k: usize) -> Top {
        no_grad(|| {
            let mut top = Top::of(k.min(rows.vocabulary() as usize));
            for chunk in self.buffers.chunks(rows) {
                let logits = self.buffers.logits(rows, chunk);
                top.extend(&head_rows::top(&logits, rows.unembedding.soft_cap, top.k));
            }
            top
        })
    }

    /// Statistics and gradient chunk by chunk, for pulls that depend on no other chunk: no logits are computed twice.
    ///
    /// The caller reads each chunk's statistics and gives the chunk its pulls before it asks for the next.
    pub fn chunks<'a>(&'a mut self, rows: &'a Rows<'a>, request: Request<'a>) -> Chunks<'a> {
        Chunks::new(&mut self.buffers, rows, request)
    }
}

#[cfg(test)]
mod tests;
