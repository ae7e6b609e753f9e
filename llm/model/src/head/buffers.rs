//! Buffers of logits: of a size in bytes, made once, handed round.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
use tokensieve_kernels::Product;
use tokensieve_kernels::head_rows::Task;

use super::rows::{Rows, first};
use super::tasks::{self, Tasks};

/// Rows of a chunk are a multiple of this where there are enough: whole tiles for the matrix product (choice).
const TILE: usize = 16;

/// Bytes.
const CACHE_LINE: usize = 64;

/// Logits that stayed between statistics and gradient: of the first rows, chunk by chunk.
#[derive(Debug, Default)]
pub struct Kept {
    pub(super) chunks: Vec<Tensor>,
    /// How many rows each chunk holds; the last may hold fewer.
    pub(super) rows_per_chunk: usize,
    pub(super) rows: usize,
}

impl Kept {
    /// Where a row's logits lie: chunk and row in it.
    pub(super) fn place(&self, row: usize) -> Option<(usize, usize)> {
        (row < self.rows).then(|| (row / self.rows_per_chunk, row % self.rows_per_chunk))
    }

    /// The chunk in which the tasks' logits are the first rows, in the tasks' order.
    pub(super) fn in_order(&self, tasks: &[Task]) -> Option<Tensor> {
        let first = tasks.first()?.row;
        let (chunk, row) = self.place(first)?;
        (tasks::in_order(tasks, first) && row == 0 && tasks.len() <= self.rows_per_chunk)
            .then(|| self.chunks[chunk].shallow_clone())
    }

    /// Copies the tasks' logits into consecutive rows.
    pub(super) fn gather(&self, tasks: &Tasks, out_nv: &Tensor) {
        let chunk_of = |task: &Task| task.row / self.rows_per_chunk;
        let mut start = 0;
        for run in tasks.list.chunk_by(|a, b| chunk_of(a) == chunk_of(b)) {
            let (chunk, n) = (chunk_of(&run[0]), run.len() as i64);
            let rows = tasks.rows_n().narrow(0, start, n) - (chunk * self.rows_per_chunk) as i64;
            let _ = self.chunks[chunk].index_select_out(&out_nv.narrow(0, start, n), 0, &rows);
            start += n;
        }
    }
}

#[derive(Debug)]
pub(super) struct Buffers {
    chunk_bytes: usize,
    kept_bytes: usize,
    /// Shape, type and device of all buffers; a change empties them.
    shape: Option<(i64, i64, Kind, Device)>,
    free: Vec<Tensor>,
    /// How many are kept between statistics and gradient.
    kept: usize,
    /// Logits that become gradients.
    work: Option<Tensor>,
    /// The reference's logits.
    reference: Option<Tensor>,
}

impl Buffers {
    pub(super) fn new(chunk_bytes: usize, kept_bytes: usize) -> Self {
        Self { chunk_bytes, kept_bytes, shape: None, free: Vec::new(), kept: 0, work: None, reference: None }
    }

    /// How many rows of logits make a chunk.
    pub(super) fn rows_per_chunk(&self, rows: &Rows) -> usize {
        let row_bytes = rows.vocabulary() as usize * rows.hidden_rd.kind().elt_size_in_bytes();
        let fit = self.chunk_bytes / row_bytes.max(1);
        if fit >= TILE { fit / TILE * TILE } else { fit.max(1) }
    }

    pub(super) fn chunks(&self, rows: &Rows) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, size) = (rows.len(), self.rows_per_chunk(rows));
        (0..n).step_by(size).map(move |start| start..(start + size).min(n))
    }

    fn shape_for(&self, rows: &Rows) -> (i64, i64, Kind, Device) {
        let size = self.rows_per_chunk(rows) as i64;
        (size, rows.vocabulary(), rows.hidden_rd.kind(), rows.hidden_rd.device())
    }

    /// A buffer of the rows' shape, to be given back.
    pub(super) fn fit(&mut self, rows: &Rows) -> Tensor {
        let shape = self.shape_for(rows);
        if self.shape != Some(shape) {
            (self.shape, self.work, self.reference) = (Some(shape), None, None);
            self.free.clear();
        }
        self.free.pop().unwrap_or_else(|| {
            let size = shape.2.elt_size_in_bytes();
            // Rows an odd number of cache lines apart lie in sets of their own, so that the product reads many at once.
            let pitch = (shape.1 as usize * size).div_ceil(CACHE_LINE) | 1;
            let columns = (pitch * CACHE_LINE / size) as i64;
            Tensor::empty([shape.0, columns], (shape.2, shape.3)).narrow(1, 0, shape.1)
        })
    }

    /// The buffer in which gradients are made.
    pub(super) fn work(&mut self, rows: &Rows) -> Tensor {
        if self.work.is_none() || !self.fits(rows) {
            self.work = Some(self.fit(rows));
        }
        self.work.as_ref().expect("just made").shallow_clone()
    }

    pub(super) fn give_back_one(&mut self, spare: Tensor) {
        self.free.push(spare);
    }

    /// The buffer for the reference's logits.
    pub(super) fn reference(&mut self, rows: &Rows) -> Tensor {
        if self.reference.is_none() || !self.fits(rows) {
            self.reference = Some(self.fit(rows));
        }
        self.reference.as_ref().expect("just made").shallow_clone()
    }

    fn fits(&self, rows: &Rows) -> bool {
        self.shape == Some(self.shape_for(rows))
    }

    /// Logits of a chunk in the buffer for gradients, overwritten by the next call.
    pub(super) fn logits(&mut self, rows: &Rows, chunk: Range<usize>) -> Tensor {
        let out = first(&self.work(rows), chunk.len());
        product(&rows.hidden_nd(&chunk), rows.unembedding.weight, &out);
        out
    }

    /// Logits of a chunk in a buffer that stays, while the budget lasts.
    pub(super) fn keep(&mut self, rows: &Rows, chunk: Range<usize>, kept: &mut Kept) -> Tensor {
        kept.rows_per_chunk = self.rows_per_chunk(rows);
        if (self.kept + 1) * self.chunk_bytes > self.kept_bytes {
            return self.logits(rows, chunk);
        }
        self.kept += 1;
        let buffer = self.fit(rows);
        let out = first(&buffer, chunk.len());
        product(&rows.hidden_nd(&chunk), rows.unembedding.weight, &out);
        kept.chunks.push(buffer);
        kept.rows = chunk.end;
        out
    }

    pub(super) fn give_back(&mut self, kept: Kept) {
        self.kept = self.kept.saturating_sub(kept.chunks.len());
        self.free.extend(kept.chunks);
    }
}

/// hidden·weightᵀ.
pub(super) fn product(hidden_nd: &Tensor, weight_vd: &Tensor, out_nv: &Tensor) {
    Product::of(hidden_nd, &weight_vd.tr()).write(out_nv);
}
