//! Statistics and gradient of one chunk of rows after the other, so that no logits are computed twice, nor kept.

use std::ops::Range;

use tch::{Device, Tensor, no_grad};
use tokensieve_kernels::head_rows::{self, RowStats};

use super::buffers::{Buffers, Kept};
use super::gradient::{self, Gradient};
use super::rows::Rows;
use super::statistics::{self, Request};
use super::wanted::Wanted;

/// The chunks of some rows, one at a time; see [`Head::chunks`](super::Head::chunks).
#[derive(Debug)]
pub struct Chunks<'a> {
    buffers: &'a mut Buffers,
    rows: &'a Rows<'a>,
    labels_r: Tensor,
    request: Request<'a>,
    /// The first row of the next chunk.
    next: usize,
    gradient: Option<Gradient>,
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
    pub(super) fn new(buffers: &'a mut Buffers, rows: &'a Rows<'a>, request: Request<'a>) -> Self {
        Self { buffers, rows, labels_r: rows.labels_r(), request, next: 0, gradient: None }
    }

    /// Computes the logits and statistics of the next rows; `None` after the last.
    ///
    /// On an accelerator, where each chunk would wait for the device, the first chunk is all rows.
    pub fn next_chunk(&mut self) -> Option<Chunk<'_, 'a>> {
        let (rows, start) = (self.rows, self.next);
        if start == rows.len() {
            return None;
        }
        if rows.hidden_rd.device() != Device::Cpu {
            self.next = rows.len();
            let (statistics, kept) = statistics_keeping(self.buffers, rows, &self.request);
            return Some(Chunk {
                chunks: self,
                range: start..rows.len(),
                statistics,
                logits: Logits::Kept(kept),
            });
        }
        no_grad(|| {
            let range = start..(start + self.buffers.rows_per_chunk(rows)).min(rows.len());
            self.next = range.end;
            let logits_nv = self.buffers.logits(rows, range.clone());
            let (labels_r, request) = (&self.labels_r, &self.request);
            let statistics =
                statistics::of_chunk(self.buffers, rows, labels_r, range.clone(), &logits_nv, request);
            let statistics = head_rows::fetch(vec![statistics]);
            Some(Chunk { chunks: self, range, statistics, logits: Logits::InBuffer(logits_nv) })
        })
    }

    /// The gradient of all chunks so far; zeros for rows that were not given a pull.
    pub fn finish(self) -> Gradient {
        self.gradient.unwrap_or_else(|| no_grad(|| Gradient::zeros(self.rows)))
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
        let (buffers, rows, out) = (&mut *chunks.buffers, chunks.rows, &mut chunks.gradient);
        match logits {
            Logits::InBuffer(logits_nv) => no_grad(|| {
                let out = out.get_or_insert_with(|| Gradient::zeros(rows));
                gradient::of_chunk(buffers, rows, range, &statistics, wanted, &logits_nv, out);
            }),
            Logits::Kept(kept) => *out = Some(gradient_of_all(buffers, rows, &statistics, wanted, kept)),
        }
    }
}

/// Every row's statistics, and the logits of as many rows as the budget allows.
pub(super) fn statistics_keeping(
    buffers: &mut Buffers,
    rows: &Rows,
    request: &Request,
) -> (Vec<RowStats>, Kept) {
    no_grad(|| {
        let labels_r = rows.labels_r();
        let mut kept = Kept::default();
        let mut parts = Vec::new();
        for chunk in buffers.chunks(rows) {
            let logits = buffers.keep(rows, chunk.clone(), &mut kept);
            parts.push(statistics::of_chunk(buffers, rows, &labels_r, chunk, &logits, request));
        }
        (head_rows::fetch(parts), kept)
    })
}

/// The gradient of all rows; logits that were not kept are computed again where a row has a pull.
pub(super) fn gradient_of_all(
    buffers: &mut Buffers,
    rows: &Rows,
    stats: &[RowStats],
    wanted: &Wanted,
    kept: Kept,
) -> Gradient {
    no_grad(|| {
        let gradient = gradient::all(buffers, rows, stats, wanted, &kept);
        buffers.give_back(kept);
        gradient
    })
}
