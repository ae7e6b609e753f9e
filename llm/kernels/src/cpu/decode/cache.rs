//! A sequence's keys and values, laid out for the tokens to come, and attention over them.
//!
//! Sixteen tokens make a block. In it, each key head has its keys word by word of their dimensions, that word of all
//! sixteen tokens in one line: scores come out sixteen at a time, without a sum across lanes. Then its values, words down
//! the tokens: weights are broadcast a word at a time. A sequence grows by blocks; nothing is moved.

use std::f32::consts::LOG2_E;
use std::sync::Arc;

use super::blocks::{Block, Pool};
use super::buffer::Buffer;
use super::support::{computing, words};
use crate::cpu::lanes::{LANES, Lanes, Make, Number, Simd, run};
use crate::cpu::line::{EMPTY, Line};
use crate::shape::{Attention, Heads};
use crate::shim::parallel;

/// Query heads that one pass over the keys serves, at most.
const GROUP: usize = 4;

/// Rows whose keys and values are worth a thread of their own (choice).
const ROWS_PER_THREAD: usize = 4;

/// Keys and values of one sequence, in every layer.
#[derive(Debug)]
pub struct KeysValues {
    /// All full but the last, which is this sequence's alone once it is written to.
    blocks: Vec<Arc<Block>>,
    tokens: usize,
    pool: Arc<Pool>,
    shape: Shape,
}

/// How a layer of a block lies.
#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: usize,
    dim: usize,
    /// Lines of a head's keys.
    keys: usize,
    /// Lines of one word of its values.
    value: usize,
    /// Words of values: tokens, or pairs of them.
    values: usize,
    /// Numbers of a word.
    per_word: usize,
}

impl Shape {
    fn head(&self) -> usize {
        self.keys + self.values * self.value
    }

    fn layer(&self) -> usize {
        self.heads * self.head()
    }
}

impl KeysValues {
    /// Those of nothing, in memory of their own.
    pub fn new<N: Number>(layers: usize, heads: &Heads) -> Self {
        let shape = Shape {
            heads: heads.keys,
            dim: heads.dim,
            keys: words::<N>(heads.dim),
            value: heads.dim.div_ceil(LANES),
            values: LANES / N::PER_WORD,
            per_word: N::PER_WORD,
        };
        Self { blocks: Vec::new(), tokens: 0, pool: Pool::new(layers * shape.layer()), shape }
    }

    /// A sequence without tokens, in the same memory.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { blocks: Vec::new(), tokens: 0, pool: self.pool.clone(), shape: self.shape }
    }

    /// How many tokens it holds.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Forgets all but the first `tokens`.
    pub fn truncate(&mut self, tokens: usize) {
        self.tokens = self.tokens.min(tokens);
        self.blocks.truncate(self.tokens.div_ceil(LANES));
    }

    /// Holds what another of the same memory holds.
    pub fn copy_from(&mut self, other: &Self) {
        assert!(Arc::ptr_eq(&self.pool, &other.pool));
        self.tokens = other.tokens;
        self.blocks.clone_from(&other.blocks);
    }

    /// Makes room for more tokens and counts them; their keys and values are to be [`put`].
    pub fn grow(&mut self, tokens: usize) {
        if let Some(last) = self.blocks.last_mut()
            && !self.tokens.is_multiple_of(LANES)
            && Arc::strong_count(last) > 1
        {
            *last = Arc::new(last.copy());
        }
        self.tokens += tokens;
        self.blocks.resize_with(self.tokens.div_ceil(LANES), || Arc::new(self.pool.block()));
    }

    /// The lines of a layer of a block.
    fn layer(&self, block: usize, layer: usize) -> *mut Line {
        self.blocks[block].lines().wrapping_add(layer * self.shape.layer())
    }
}

impl Shape {
    /// Writes a token's keys and values, `[G·K | G·K]`, into the lines of its block.
    ///
    /// # Safety
    ///
    /// `lines` must be those of a block, and no other thread may write this token's place in them.
    unsafe fn put<N: Number>(&self, lines: *mut Line, token: usize, keys_values: &[N]) {
        let Self { heads, dim, keys, value, per_word, .. } = *self;
        for head in 0..heads {
            let (key, rest) =
                (&keys_values[head * dim..][..dim], &keys_values[(heads + head) * dim..][..dim]);
            // SAFETY: all within the head's lines.
            unsafe {
                let lines = lines.add(head * self.head()).cast::<N>();
                for (d, number) in key.iter().enumerate() {
                    lines.add((d / per_word * LANES + token) * per_word + d % per_word).write(*number);
                }
                let row = lines.add((keys + token / per_word * value) * LANES * per_word + token % per_word);
                for (d, number) in rest.iter().enumerate() {
                    row.add(d * per_word).write(*number);
                }
            }
        }
    }
}

/// Each row's keys and values go where its place is, which their sequence made room for last.
pub fn put<N: Number>(
    qkv: &Buffer<N>,
    sequences: &[&mut KeysValues],
    layer: usize,
    places: &[Place],
    heads: &Heads,
) {
    assert!((qkv.rows(), qkv.columns()) == (places.len(), heads.width()));
    for held in sequences {
        let Shape { heads: keys, dim, per_word, .. } = held.shape;
        assert!((keys, dim, per_word) == (heads.keys, heads.dim, N::PER_WORD));
    }
    parallel(places.len(), ROWS_PER_THREAD, |part| {
        for row in part {
            let Place { sequence, position } = places[row];
            let held = &*sequences[sequence];
            assert!(position < held.tokens);
            let lines = held.layer(position / LANES, layer);
            // SAFETY: `grow` made room for the position in a block of this sequence alone, and each is one row's.
            unsafe { held.shape.put(lines, position % LANES, &qkv.row(row)[heads.queries * heads.dim..]) };
        }
    });
}

/// Which sequence a row belongs to, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the sequences of the pass.
    pub sequence: usize,
    /// The position in it, from 0.
    pub position: usize,
}

/// Attention of each row's queries over its sequence up to its place.
pub fn attend<N: Number>(
    qkv: &Buffer<N>,
    sequences: &[&mut KeysValues],
    layer: usize,
    places: &[Place],
    how: &Attention,
    out: &mut Buffer<N>,
) {
    let Heads { queries, keys, dim } = how.heads;
    let group = queries / keys;
    assert!(out.columns() >= queries * dim && (qkv.rows(), out.rows()) == (places.len(), places.len()));
    let into = out.shared();
    let tasks = places.len() * keys;
    computing!(simd => {
        parallel(tasks, 1, |part| {
            let mut scratch = Scratch::default();
            for task in part {
                // Neighbours are alike in length: every thread gets some of each.
                let task = if task < tasks.div_ceil(2) { 2 * task } else { 2 * (task - tasks.div_ceil(2)) + 1 };
                let (row, head) = (task / keys, task % keys);
                let Place { sequence, position } = places[row];
                let held = &*sequences[sequence];
                assert!(position < held.tokens);
                let first = how.window.map_or(0, |window| (position + 1).saturating_sub(window));
                let line = layer * held.shape.layer() + head * held.shape.head();
                let span = Span { held, line, first, position };
                let mut query = head * group;
                while query < (head + 1) * group {
                    let n = GROUP.min((head + 1) * group - query);
                    let q = qkv.row(row)[query * dim..].as_ptr();
                    let result = into.row(row).wrapping_add(query * dim);
                    // SAFETY: a task's results are one thread's; the keys and values lie where `put` wrote them.
                    unsafe {
                        match n {
                            1 => span.attend::<_, N, 1>(simd, how, q, &mut scratch, result),
                            2 => span.attend::<_, N, 2>(simd, how, q, &mut scratch, result),
                            3 => span.attend::<_, N, 3>(simd, how, q, &mut scratch, result),
                            _ => span.attend::<_, N, 4>(simd, how, q, &mut scratch, result),
                        }
                    }
                    query += n;
                }
            }
        });
    });
}

#[derive(Default)]
struct Scratch {
    scores: Vec<Line>,
    weights: Vec<Line>,
}

/// The keys that a row sees.
struct Span<'a> {
    held: &'a KeysValues,
    /// The head's first one in each block.
    line: usize,
    first: usize,
    position: usize,
}

// Plain indices, as in the matrices' product: sums stay in registers.
#[allow(clippy::needless_range_loop)]
impl Span<'_> {
    fn block(&self, block: usize) -> *const Line {
        self.held.blocks[block].lines().wrapping_add(self.line)
    }

    /// # Safety
    /// `queries` has G heads, `out` room for as many, and both are this thread's; the sequence holds the span.
    unsafe fn attend<S: Simd, N: Number, const G: usize>(
        &self,
        simd: S,
        how: &Attention,
        queries: *const N,
        scratch: &mut Scratch,
        out: *mut N,
    ) {
        run!(simd, {
            let start = self.first / LANES;
            let blocks = self.position / LANES + 1 - start;
            scratch.scores.resize(G * blocks, EMPTY);
            scratch.weights.resize(G * blocks, EMPTY);
            let scores = scratch.scores.as_mut_ptr().cast::<f32>();
            let weights = scratch.weights.as_mut_ptr().cast::<N>();
            let row = blocks * LANES;
            // SAFETY: the scratch has G rows of so many blocks; the rest is the caller's promise.
            unsafe {
                let mut block = 0;
                while block < blocks {
                    let into = scores.add(block * LANES);
                    if S::WIDE && block + 4 <= blocks {
                        self.scores::<_, N, G, 4>(simd, queries, start + block, into, row);
                        block += 4;
                    } else {
                        self.scores::<_, N, G, 1>(simd, queries, start + block, into, row);
                        block += 1;
                    }
                }
                let mut factors = [0.0; G];
                for (g, factor) in factors.iter_mut().enumerate() {
                    let hidden = [0..self.first - start * LANES, self.position + 1 - start * LANES..row];
                    for place in hidden.into_iter().flatten() {
                        scores.add(g * row + place).write(f32::NEG_INFINITY);
                    }
                    *factor = softmax(simd, how, scores.add(g * row), weights.add(g * row), row);
                }
                let dim = self.held.shape.dim;
                let mut at = 0;
                while at < dim {
                    let wide = S::WIDE && dim - at >= 4 * LANES;
                    let (lane, into) = (at / LANES, out.add(at));
                    if wide {
                        self.weigh::<_, N, G, 4>(simd, weights, start..start + blocks, lane, &factors, into);
                    } else {
                        self.weigh::<_, N, G, 1>(simd, weights, start..start + blocks, lane, &factors, into);
                    }
                    at += if wide { 4 * LANES } else { LANES };
                }
            }
        });
    }

    /// Scores of G queries with the keys of B blocks.
    ///
    /// # Safety
    /// `queries` has G heads; `into` has G rows, `row` apart, with room for B blocks; the sequence holds the blocks.
    #[inline(always)]
    unsafe fn scores<S: Simd, N: Number, const G: usize, const B: usize>(
        &self,
        simd: S,
        queries: *const N,
        first: usize,
        into: *mut f32,
        row: usize,
    ) {
        let dim = self.held.shape.dim;
        let blocks: [_; B] = std::array::from_fn(|b| self.block(first + b));
        let mut sums = [[simd.splat(0.0); B]; G];
        for word in 0..self.held.shape.keys {
            // SAFETY: the caller's promise.
            unsafe {
                for part in 0..N::parts::<S>() {
                    let mut keys = [simd.word(0); B];
                    for b in 0..B {
                        keys[b] = N::part(simd.words(blocks[b].add(word).cast()), part);
                    }
                    for g in 0..G {
                        let query = simd.broadcast(queries.add(g * dim + word * N::PER_WORD).cast());
                        for b in 0..B {
                            sums[g][b] = N::dot(sums[g][b], keys[b], N::part(query, part));
                        }
                    }
                }
            }
        }
        for g in 0..G {
            for b in 0..B {
                // SAFETY: the caller's promise.
                unsafe { sums[g][b].store(into.add(g * row + b * LANES), LANES) };
            }
        }
    }

    /// Sums of the values, weighted, of L lines of each.
    ///
    /// # Safety
    /// `weights` has G rows of sixteen for each block, `out` room for L lines of G heads; the sequence holds the blocks.
    #[inline(always)]
    unsafe fn weigh<S: Simd, N: Number, const G: usize, const L: usize>(
        &self,
        simd: S,
        weights: *const N,
        blocks: std::ops::Range<usize>,
        lane: usize,
        factors: &[f32; G],
        out: *mut N,
    ) {
        let shape = &self.held.shape;
        let row = blocks.len() * LANES;
        let mut sums = [[simd.splat(0.0); L]; G];
        for (index, block) in blocks.enumerate() {
            let values = self.block(block).wrapping_add(shape.keys + lane);
            for word in 0..shape.values {
                // SAFETY: the caller's promise.
                unsafe {
                    let at = index * LANES + word * N::PER_WORD;
                    for part in 0..N::parts::<S>() {
                        let mut lines = [simd.word(0); L];
                        for l in 0..L {
                            lines[l] = N::part(simd.words(values.add(word * shape.value + l).cast()), part);
                        }
                        for g in 0..G {
                            let weight = simd.broadcast(weights.add(g * row + at).cast());
                            for l in 0..L {
                                sums[g][l] = N::dot(sums[g][l], lines[l], N::part(weight, part));
                            }
                        }
                    }
                }
            }
        }
        let left = shape.dim - lane * LANES;
        for g in 0..G {
            for l in 0..L {
                // A constant where it can be: the store is then one instruction.
                let left = if left >= L * LANES { LANES } else { left.saturating_sub(l * LANES) };
                let mean = sums[g][l] * simd.splat(factors[g]);
                // SAFETY: `out` has room for the head, of which no more than `left` are written.
                unsafe { mean.store(out.add(g * shape.dim + l * LANES), left) };
            }
        }
    }
}

/// Writes the weights exp(score − largest); returns 1 / their sum.
///
/// # Safety
/// There are `count` scores and room for as many weights; `count` is a multiple of sixteen.
#[inline(always)]
unsafe fn softmax<S: Simd, N: Number>(
    simd: S,
    how: &Attention,
    scores: *mut f32,
    weights: *mut N,
    count: usize,
) -> f32 {
    let scale = simd.splat(how.scale as f32);
    let mut most = simd.splat(f32::NEG_INFINITY);
    for at in (0..count).step_by(LANES) {
        // SAFETY: `count` scores and weights, a multiple of sixteen.
        unsafe {
            let mut score = simd.load(scores.add(at).cast_const(), LANES) * scale;
            if let Some(cap) = how.soft_cap {
                let capped = (score * simd.splat(1.0 / cap as f32)).tanh() * simd.splat(cap as f32);
                // What is hidden stays so.
                score = capped.or(score.above(f32::MIN), score);
            }
            score.store(scores.add(at), LANES);
            most = score.max(most);
        }
    }
    let most = simd.splat(most.largest());
    let mut sum: Lanes<S> = simd.splat(0.0);
    for at in (0..count).step_by(LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let weight = ((simd.load(scores.add(at).cast_const(), LANES) - most) * simd.splat(LOG2_E)).exp2();
            weight.store(weights.add(at), LANES);
            sum = sum + weight;
        }
    }
    sum.sum().recip()
}
