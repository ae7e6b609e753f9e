//! Attention's forward pass.

use std::f32::consts::LN_2;

use tch::{Device, Kind, Tensor};

use super::gather::{gather_keys, gather_queries, prefetch, transpose, zip};
use super::problem::{KEYS, Problem, SPAN, Scratch, TILE, Task, share};
use super::products::{Weights, add_weighted, rows_times_lanes};
use super::tile::{Scale, Sixteen, Tile, tiles};
use crate::cpu::dropout::Bits;
use crate::cpu::lanes::{LANES, Lanes, Make, Number, Simd, run};
use crate::cpu::rows::Rows;
use crate::mask::Mask;

/// Where a maximum starts: below every score, above [`UNSEEN`].
const LOWEST: f32 = -1e30;

/// The score of a key that a query does not see.
const UNSEEN: f32 = f32::MIN;

pub(super) fn run<S: Simd, N: Number>(problem: &Problem<'_, S, N>, out: &Tensor) -> Option<Tensor> {
    let (heads, tokens) = (problem.heads, problem.qkv.count);
    let into = Rows::<N>::of(out)?;
    assert_eq!((into.count, into.columns), (tokens, heads.queries * heads.dim));
    let lse = Tensor::empty([heads.queries as i64, tokens as i64], (Kind::Float, Device::Cpu));
    let lse_rows = Rows::<f32>::of(&lse)?;
    let tasks = problem.tasks();
    let key_rows = tasks.iter().map(Task::key_rows).max().unwrap_or(0);
    share(&tasks, |next| {
        let mut memory = Memory::new(key_rows, heads.dim, problem.words());
        while let Some(task) = next() {
            // SAFETY: the instructions exist; each task writes rows and heads of its own.
            unsafe { forward(problem, task, &mut memory, &into, &lse_rows) };
        }
    });
    Some(lse)
}

/// Which probabilities of sixteen queries are dropped.
#[derive(Clone, Copy)]
struct Chance<S: Simd> {
    bits: Bits<S>,
    /// The pair of places of the first two keys.
    first: i32,
    threshold: u16,
    /// Which of the queries lose nothing.
    whole: u16,
    /// What each one's probabilities are multiplied by.
    scales: [f32; LANES],
}

impl<S: Simd> Chance<S> {
    #[inline(always)]
    fn of_tile<const C: usize>(simd: S, mask: Option<&Mask>, tile: &Tile<S, C>) -> Option<[Self; C]> {
        let mask = mask?;
        let mut chances = [Self::new(simd, mask, &tile.sixteens[0]); C];
        for (chance, sixteen) in chances.iter_mut().zip(&tile.sixteens).skip(1) {
            *chance = Self::new(simd, mask, sixteen);
        }
        Some(chances)
    }

    #[inline(always)]
    fn new(simd: S, mask: &Mask, sixteen: &Sixteen) -> Self {
        let mut keys = [[0; LANES]; 2];
        let (mut whole, mut scales) = (0, [1.0; LANES]);
        for lane in 0..sixteen.count {
            match mask.key(sixteen.row + lane) {
                Some(key) => {
                    (keys[0][lane], keys[1][lane]) = (key[0], key[1]);
                    scales[lane] = mask.scale() as f32;
                }
                None => whole |= 1 << lane,
            }
        }
        let first = (Mask::place(sixteen.head, 0) / 2) as i32;
        Self { bits: Bits::of_keys(simd, &keys), first, threshold: mask.threshold(), whole, scales }
    }

    /// The probabilities of keys `key`, even, and `key` + 1.
    #[inline(always)]
    fn dropped(&self, simd: S, key: usize, pair: [Lanes<S>; 2]) -> [Lanes<S>; 2] {
        let bits = self.bits.of(simd, simd.word(0).plus(self.first + (key / 2) as i32));
        let kept = bits.each_half_from(self.threshold).map(|kept| kept | self.whole);
        let zero = simd.splat(0.0);
        [pair[0].or(kept[0], zero), pair[1].or(kept[1], zero)]
    }
}

struct Memory {
    /// `[keys, K]`
    keys: Scratch,
    values: Scratch,
    /// The values, zipped.
    value_pairs: Scratch,
    /// `[C·16, K]`, and transposed.
    queries: Scratch,
    query_lanes: Scratch,
    /// `[SPAN, C·16]`
    scores: Scratch,
    /// The same as weights, in words down the keys.
    weights: Scratch,
    /// `[C·16, K]`
    sums: Scratch,
}

impl Memory {
    fn new(key_rows: usize, dim: usize, words: usize) -> Self {
        Self {
            keys: Scratch::new(key_rows * words),
            values: Scratch::new(key_rows * words),
            value_pairs: Scratch::new(key_rows * words),
            queries: Scratch::new(TILE * words),
            query_lanes: Scratch::new(TILE * words),
            scores: Scratch::new(SPAN * TILE),
            weights: Scratch::new(SPAN * TILE),
            sums: Scratch::new(TILE * dim),
        }
    }
}

/// # Safety
/// The memory was made for the largest task; no other thread writes the task's rows and heads of `out` and `lse`.
unsafe fn forward<S: Simd, N: Number>(
    problem: &Problem<'_, S, N>,
    task: &Task,
    memory: &mut Memory,
    out: &Rows<N>,
    lse: &Rows<f32>,
) {
    run!(problem.simd, {
        let (simd, heads, dim) = (problem.simd, problem.heads, problem.heads.dim);
        // SAFETY: the memory has room for the task's keys.
        unsafe {
            gather_keys(problem, task, heads.queries + task.head, memory.keys.words().cast());
            gather_keys(problem, task, heads.queries + heads.keys + task.head, memory.values.words().cast());
            let values: *const N = memory.values.words().cast();
            zip::<S, N>(values, task.key_rows(), dim, memory.value_pairs.words());
        }
        let tiles = tiles(problem, task);
        for (i, sixteens) in tiles.iter().enumerate() {
            // Meanwhile, let the next tile's rows come.
            if let Some(next) = tiles.get(i + 1) {
                prefetch(simd, &problem.qkv, dim, next);
            }
            // SAFETY: the caller's promise, and the tile is the task's.
            unsafe {
                match sixteens[..] {
                    [a] => tile(problem, [a], memory, out, lse),
                    [a, b] => tile(problem, [a, b], memory, out, lse),
                    [a, b, c] => tile(problem, [a, b, c], memory, out, lse),
                    _ => unreachable!("one to three"),
                }
            }
        }
    });
}

/// # Safety
/// The memory holds the task's keys and values and has room for a tile; the tile's rows of `out` and `lse` are this thread's.
unsafe fn tile<S: Simd, N: Number, const C: usize>(
    problem: &Problem<'_, S, N>,
    sixteens: [Sixteen; C],
    memory: &mut Memory,
    out: &Rows<N>,
    lse: &Rows<f32>,
) {
    run!(problem.simd, {
        let (simd, dim, words, width) = (problem.simd, problem.heads.dim, problem.words(), C * LANES);
        let tile = Tile::new(simd, sixteens, problem.how);
        let scale = Scale::new(simd, problem.how);
        let (keys, value_pairs) = (memory.keys.words(), memory.value_pairs.words());
        let (query_lanes, scores) = (memory.query_lanes.words(), memory.scores.floats());
        let (weights, sums) = (memory.weights.words(), memory.sums.floats());
        let chances = Chance::of_tile(simd, problem.dropout, &tile);
        let mut max = [simd.splat(LOWEST); C];
        let mut total = [simd.splat(0.0); C];
        // SAFETY: the memory has room for the tile; its rows are rows of the pack.
        unsafe {
            gather_queries(&problem.qkv, dim, &tile, memory.queries.words().cast::<N>());
            transpose::<_, C>(simd, memory.queries.words(), words, query_lanes);
            sums.write_bytes(0, width * dim);
        }
        for first in tile.keys.clone().step_by(SPAN) {
            let last = tile.keys.end.min(first + SPAN);
            let mut new_max = max;
            for key in (first..last).step_by(KEYS) {
                let mut block = [[simd.splat(0.0); C]; KEYS];
                // SAFETY: the key is one of the task's, and the next seven have room.
                unsafe {
                    rows_times_lanes::<_, N, C>(simd, keys.add(key * words), query_lanes, words, &mut block);
                };
                scale.apply(&mut block);
                if tile.is_edge(key) {
                    for (r, scores) in block.iter_mut().enumerate() {
                        for (c, score) in scores.iter_mut().enumerate() {
                            *score = score.or(tile.seen(c, key + r), simd.splat(UNSEEN));
                        }
                    }
                }
                for (r, block) in block.iter().enumerate() {
                    for (c, score) in block.iter().enumerate() {
                        new_max[c] = score.max(new_max[c]);
                        // SAFETY: there is room for a span's scores.
                        unsafe { score.store(scores.add((key - first + r) * width + c * LANES), LANES) };
                    }
                }
            }
            let mut shrink = [simd.splat(0.0); C];
            for c in 0..C {
                shrink[c] = (max[c] - new_max[c]).exp2();
                total[c] = total[c] * shrink[c];
            }
            max = new_max;
            for key in (0..last - first).step_by(2) {
                for c in 0..C {
                    // SAFETY: the key's scores and the next one's are there, and room for their weights.
                    unsafe {
                        let scores = scores.add(key * width + c * LANES).cast_const();
                        let (one, next) = (simd.load(scores, LANES), simd.load(scores.add(width), LANES));
                        let mut pair = [(one - max[c]).exp2(), (next - max[c]).exp2()];
                        total[c] = total[c] + (pair[0] + pair[1]);
                        if let Some(chances) = &chances {
                            pair = chances[c].dropped(simd, first + key, pair);
                        }
                        N::store_down(pair, weights.add(key / N::PER_WORD * width + c * LANES), width);
                    }
                }
            }
            // SAFETY: there is a sum for every query and column, and a span of weights and values.
            unsafe {
                if first > tile.keys.start {
                    let mut factors = [[0.0; LANES]; C];
                    for c in 0..C {
                        shrink[c].store(factors[c].as_mut_ptr(), LANES);
                    }
                    for (row, factor) in factors.as_flattened().iter().enumerate() {
                        for at in (0..dim).step_by(LANES) {
                            let sum = sums.add(row * dim + at);
                            (simd.load(sum.cast_const(), LANES) * simd.splat(*factor)).store(sum, LANES);
                        }
                    }
                }
                let weights = Weights { first: weights, row: 1, step: width };
                let values = value_pairs.add(first / N::PER_WORD * dim);
                add_weighted::<_, N>(simd, weights, width, values, (last - first) / N::PER_WORD, sums, dim);
            }
        }
        for (c, sixteen) in tile.sixteens.iter().enumerate() {
            let (mut totals, mut maxima) = ([0.0; LANES], [0.0; LANES]);
            // SAFETY: sixteen numbers each.
            unsafe {
                total[c].store(totals.as_mut_ptr(), LANES);
                max[c].store(maxima.as_mut_ptr(), LANES);
            }
            for lane in 0..sixteen.count {
                let scale = chances.as_ref().map_or(1.0, |chances| chances[c].scales[lane]);
                let factor = simd.splat(scale / totals[lane]);
                let row = out.row(sixteen.row + lane);
                // SAFETY: the row has that head, `lse` that query, and the memory its sums.
                unsafe {
                    lse.row(sixteen.head)
                        .add(sixteen.row + lane)
                        .write(maxima[lane] * LN_2 + totals[lane].ln());
                    for at in (0..dim).step_by(LANES) {
                        let sum = simd.load(sums.add((c * LANES + lane) * dim + at).cast_const(), LANES);
                        (sum * factor).store(row.add(sixteen.head * dim + at), LANES);
                    }
                }
            }
        }
    });
}
