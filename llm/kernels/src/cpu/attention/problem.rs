//! What attention's tasks share, the tasks themselves, and how threads take them.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use tch::Tensor;

use crate::cpu::lanes::{LANES, Number, Simd};
use crate::cpu::line::{EMPTY, Line};
use crate::cpu::rows::Rows;
use crate::layout::Layout;
use crate::mask::Mask;
use crate::shape::{Attention, Heads};
use crate::shim::parallel;

/// Keys whose scores are formed at a time, in registers.
pub(super) const KEYS: usize = 8;

/// Keys whose scores and weights are kept at a time (choice: with a tile of 48 queries they fit the first-level cache).
pub(super) const SPAN: usize = 128;

/// Queries of a tile, at most: three registers for eight keys leave some for the operands.
pub(super) const TILE: usize = 3 * LANES;

/// What all tasks share.
pub(super) struct Problem<'a, S, N> {
    pub(super) simd: S,
    pub(super) qkv: Rows<N>,
    pub(super) heads: Heads,
    pub(super) how: &'a Attention,
    pub(super) layout: &'a Layout,
    /// Of probabilities, forward only.
    pub(super) dropout: Option<&'a Mask>,
}

impl<'a, S: Simd, N: Number> Problem<'a, S, N> {
    pub(super) fn new(simd: S, qkv: &Tensor, layout: &'a Layout, how: &'a Attention) -> Option<Self> {
        let (qkv, heads) = (Rows::<N>::of(qkv)?, how.heads);
        assert_eq!((qkv.count, qkv.columns), (layout.tokens(), heads.width()));
        let fits = heads.dim % LANES == 0 && heads.dim <= 256;
        fits.then_some(Self { simd, qkv, heads, how, layout, dropout: None })
    }

    /// Words of a head's row.
    pub(super) fn words(&self) -> usize {
        self.heads.dim / N::PER_WORD
    }

    /// Blocks of rows that attend together: the prefix, if there is one, and the documents.
    pub(super) fn blocks(&self) -> usize {
        usize::from(self.layout.prefix > 0) + self.layout.lengths.len()
    }

    /// The tasks, dearest first: the last ones to finish are then short.
    pub(super) fn tasks(&self) -> Vec<Task> {
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
pub(super) struct Task {
    /// Index of the block of rows.
    pub(super) block: usize,
    /// The key head.
    pub(super) head: usize,
    /// Keys of the prefix before the block's own.
    pub(super) shared: usize,
    /// The block's rows.
    pub(super) own: Range<usize>,
}

impl Task {
    /// Keys, those of the prefix included.
    pub(super) fn keys(&self) -> usize {
        self.shared + self.own.len()
    }

    /// The same with room for whole blocks of [`KEYS`].
    pub(super) fn key_rows(&self) -> usize {
        self.keys().next_multiple_of(KEYS)
    }
}

/// Memory of one thread, in whole cache lines: loads that span two cost double.
pub(super) struct Scratch(Vec<Line>);

impl Scratch {
    pub(super) fn new(words: usize) -> Self {
        Self(vec![EMPTY; words.div_ceil(LANES)])
    }

    pub(super) fn words(&mut self) -> *mut u32 {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn floats(&mut self) -> *mut f32 {
        self.words().cast()
    }
}

/// Gives each of `tasks` to the first thread that is free. `work` gets the function that hands them out.
pub(super) fn share<'t>(tasks: &'t [Task], work: impl Fn(&dyn Fn() -> Option<&'t Task>) + Sync) {
    let next = AtomicUsize::new(0);
    parallel(tch::get_num_threads() as usize, 1, |_| {
        work(&|| tasks.get(next.fetch_add(1, Ordering::Relaxed)));
    });
}
