//! Statistics and gradient of one chunk of rows after the other, so that no logits are computed twice, nor kept.

use std::ops::Range;

use tch::{Device, Tensor, no_grad};

use super::buffers::Kept;
use super::gradient::{self, Gradient, Wanted};
use super::rows::{self, RowStats, Rows};
use super::Head;

/// The chunks of some rows, one at a time; see [`Head::chunks`].
#[derive(Debug)]
pub struct Chunks<'a> {
    head: &'a mut Head,
    rows: &'a Rows<'a>,
    labels_r: Tensor,
    top_entropy: bool,
    /// The first row of the next chunk.
    next: usize,
    gradient: Gradient,
}

/// Rows whose logits exist, and their statistics.
#[derive(Debug)]
pub struct Chunk<'c, 'a> {
    chunks: &'c mut Chunks<'a>,
    range: Range<usize>,
    statistics: Vec<RowStats>,
    logits: Logits,
}

#[derive(Debug)]
enum Logits {
    /// In the buffer that the gradient takes, until the next chunk.
    InBuffer(Tensor),
    /// In buffers of their own, as far as the budget allows.
    Kept(Kept),
}

impl<'a> Chunks<'a> {
    pub(super) fn new(head: &'a mut Head, rows: &'a Rows<'a>, top_entropy: bool) -> Self {
        let (labels_r, gradient) = no_grad(|| (rows.labels_r(), Gradient::zeros(rows)));
        Self { head, rows, labels_r, top_entropy, next: 0, gradient }
    }

    /// Computes the logits and statistics of the next rows; `None` after the last.
    ///
    /// On an accelerator, where each chunk would wait for the device, the first chunk is all rows.
    pub fn next(&mut self) -> Option<Chunk<'_, 'a>> {
        let (rows, start) = (self.rows, self.next);
        if start == rows.len() {
            return None;
        }
        if rows.hidden_rd.device() != Device::Cpu {
            self.next = rows.len();
            let (statistics, kept) = self.head.statistics_keeping(rows, self.top_entropy);
            return Some(Chunk { chunks: self, range: start..rows.len(), statistics, logits: Logits::Kept(kept) });
        }
        no_grad(|| {
            let buffers = &mut self.head.buffers;
            let range = start..(start + buffers.rows_per_chunk(rows)).min(rows.len());
            self.next = range.end;
            let logits_nv = buffers.logits(rows, range.clone());
            let part = rows.part(&self.labels_r, range.clone());
            let statistics = rows::fetch(vec![part.statistics(&logits_nv, self.top_entropy)]);
            Some(Chunk { chunks: self, range, statistics, logits: Logits::InBuffer(logits_nv) })
        })
    }

    /// The gradient of all chunks so far; zeros for rows that were not given a pull.
    pub fn finish(self) -> Gradient {
        self.gradient
    }
}

impl Chunk<'_, '_> {
    /// Which rows these are.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Their statistics.
    pub fn statistics(&self) -> &[RowStats] {
        &self.statistics
    }

    /// Computes the gradient of these rows, which have one pull each in `wanted`, from the logits that exist.
    pub fn gradient(self, wanted: &Wanted) {
        let Self { chunks, range, statistics, logits } = self;
        let (head, rows, out) = (&mut *chunks.head, chunks.rows, &mut chunks.gradient);
        match logits {
            Logits::InBuffer(logits_nv) => no_grad(|| {
                gradient::of_chunk(&mut head.buffers, rows, range, &statistics, wanted, &logits_nv, out);
            }),
            Logits::Kept(kept) => *out = head.gradient(rows, &statistics, wanted, Some(kept)),
        }
    }
}
