//! Attention as flash attention does it, on the CPU: scores are formed for a tile of queries and a span of keys, used
//! while the cache holds them, and formed again in the backward pass.
//!
//! A tile is up to three times sixteen queries, in the lanes of AVX-512: where heads share keys, the same sixteen tokens
//! in up to three heads, so that a key, once loaded, serves them all and little is computed beyond the diagonal. With
//! queries in the lanes, the softmax's maxima and sums need no step across lanes.
//!
//! A task is a document (or the prefix) and a key head: gradients of keys and values need no other task's, but for
//! the prefix's, whose parts are kept apart and added in the documents' order. So no result depends on the threads.

mod backward;
mod forward;
mod gather;
mod products;
mod tile;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use tch::Tensor;

use super::lanes::{Avx512, LANES, Number};
use super::rows::{Rows, by_kind};
use crate::layout::Layout;
use crate::mask::Mask;
use crate::shape::{Attention, Heads};
use crate::shim::parallel;

/// Keys whose scores are formed at a time, in registers.
const KEYS: usize = 8;

/// Keys whose scores and weights are kept at a time (choice: with a tile of 48 queries they fit the first-level cache).
const SPAN: usize = 128;

/// Queries of a tile, at most: three registers for eight keys leave some for the operands.
const TILE: usize = 3 * LANES;

pub(crate) fn attention(
    qkv: &Tensor,
    layout: &Layout,
    how: &Attention,
    dropout: Option<&Mask>,
    out: &Tensor,
) -> Option<Tensor> {
    by_kind!(qkv, forward(qkv, layout, how, dropout, out))
}

fn forward<N: Number>(
    qkv: &Tensor,
    layout: &Layout,
    how: &Attention,
    dropout: Option<&Mask>,
    out: &Tensor,
) -> Option<Tensor> {
    forward::run(&Problem { dropout, ..Problem::<N>::new(qkv, layout, how)? }, out)
}

pub(crate) fn attention_backward(
    d_out: &Tensor,
    qkv: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    how: &Attention,
) -> Option<Tensor> {
    by_kind!(qkv, backward(&d_out.to_kind(qkv.kind()), qkv, out, lse, layout, how))
}

fn backward<N: Number>(
    d_out: &Tensor,
    qkv: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    how: &Attention,
) -> Option<Tensor> {
    backward::run(&Problem::<N>::new(qkv, layout, how)?, d_out, out, lse)
}

/// What all tasks share.
struct Problem<'a, N> {
    simd: Avx512,
    qkv: Rows<N>,
    heads: Heads,
    how: &'a Attention,
    layout: &'a Layout,
    /// Of probabilities, forward only.
    dropout: Option<&'a Mask>,
}

impl<'a, N: Number> Problem<'a, N> {
    fn new(qkv: &Tensor, layout: &'a Layout, how: &'a Attention) -> Option<Self> {
        let (simd, qkv, heads) = (Avx512::detect()?, Rows::<N>::of(qkv)?, how.heads);
        assert_eq!((qkv.count, qkv.columns), (layout.tokens(), heads.width()));
        let fits = heads.dim % LANES == 0 && heads.dim <= 256;
        fits.then_some(Self { simd, qkv, heads, how, layout, dropout: None })
    }

    /// Words of a head's row.
    fn words(&self) -> usize {
        self.heads.dim / N::PER_WORD
    }

    /// Blocks of rows that attend together: the prefix, if there is one, and the documents.
    fn blocks(&self) -> usize {
        usize::from(self.layout.prefix > 0) + self.layout.lengths.len()
    }

    /// The tasks, dearest first: the last ones to finish are then short.
    fn tasks(&self) -> Vec<Task> {
        let prefix = self.layout.prefix;
        let first = (prefix > 0).then_some(0..prefix).into_iter();
        let mut tasks: Vec<Task> = (first.chain(self.layout.ranges()).enumerate())
            .flat_map(|(block, own)| {
                let shared = if own.start == 0 { 0 } else { prefix };
                (0..self.heads.keys).map(move |head| Task { block, head, shared, own: own.clone() })
            })
            .collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.own.len() * (task.own.len() + 2 * task.shared)));
        tasks
    }
}

/// A document's rows (or the prefix's), attending through one key head.
struct Task {
    /// Index of the block of rows.
    block: usize,
    /// The key head.
    head: usize,
    /// Keys of the prefix before the block's own.
    shared: usize,
    /// The block's rows.
    own: Range<usize>,
}

impl Task {
    /// Keys, those of the prefix included.
    fn keys(&self) -> usize {
        self.shared + self.own.len()
    }

    /// The same with room for whole blocks of [`KEYS`].
    fn key_rows(&self) -> usize {
        self.keys().next_multiple_of(KEYS)
    }
}

/// Memory of one thread, in whole cache lines: loads that span two cost double.
struct Scratch(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    _words: [u32; LANES],
}

impl Scratch {
    fn new(words: usize) -> Self {
        Self(vec![Line { _words: [0; LANES] }; words.div_ceil(LANES)])
    }

    fn words(&mut self) -> *mut u32 {
        self.0.as_mut_ptr().cast()
    }

    fn floats(&mut self) -> *mut f32 {
        self.words().cast()
    }
}

/// Gives each of `tasks` to the first thread that is free. `work` gets the function that hands them out.
fn share<'t>(tasks: &'t [Task], work: impl Fn(&dyn Fn() -> Option<&'t Task>) + Sync) {
    let next = AtomicUsize::new(0);
    parallel(tch::get_num_threads() as usize, 1, |_| {
        work(&|| tasks.get(next.fetch_add(1, Ordering::Relaxed)));
    });
}
