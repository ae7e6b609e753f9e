//! Attention's backward pass: with P the weights, dP = dO·Vᵀ and D the rows' sums of dO∘O, the scores' gradient is
//! dS = P∘(dP − D); from it dQ = dS·K and dK = dSᵀ·Q, and dV = Pᵀ·dO.

use std::f32::consts::LOG2_E;

use tch::{Device, Kind, Tensor};

use super::gather::{gather_keys, gather_queries, prefetch, transpose, zip};
use super::problem::{KEYS, Problem, SPAN, Scratch, TILE, Task, share};
use super::products::{Weights, add_weighted, rows_times_lanes};
use super::tile::{Scale, Sixteen, Tile, tiles};
use crate::cpu::lanes::{LANES, Lanes, Make, Number, Simd, run};
use crate::cpu::rows::Rows;
use crate::shim::parallel;

pub(super) fn run<S: Simd, N: Number>(
    problem: &Problem<'_, S, N>,
    d_out: &Tensor,
    out: &Tensor,
    lse: &Tensor,
) -> Option<Tensor> {
    let (heads, tokens, prefix) = (problem.heads, problem.qkv.count, problem.layout.prefix);
    let (d_out, out, lse) = (Rows::<N>::of(d_out)?, Rows::<N>::of(out)?, Rows::<f32>::of(lse)?);
    assert_eq!((d_out.count, d_out.columns), (tokens, heads.queries * heads.dim));
    assert_eq!((out.count, out.columns), (tokens, heads.queries * heads.dim));
    assert_eq!((lse.count, lse.columns), (heads.queries, tokens));
    let d_qkv = Tensor::empty([tokens as i64, heads.width() as i64], (N::KIND, Device::Cpu));
    let into = Rows::<N>::of(&d_qkv)?;
    let operands = Operands { d_out, out, lse };
    // Per block of rows: what it gives to the prefix's keys and values, as they stand in a row.
    let width = 2 * heads.keys * heads.dim;
    let parts = Tensor::empty([(problem.blocks() * prefix) as i64, width as i64], (Kind::Float, Device::Cpu));
    let part_rows = Rows::<f32>::of(&parts)?;
    let tasks = problem.tasks();
    let key_rows = tasks.iter().map(Task::key_rows).max().unwrap_or(0);
    share(&tasks, |next| {
        let mut memory = Memory::new(key_rows, heads.dim, problem.words());
        while let Some(task) = next() {
            // SAFETY: the instructions exist; each task writes rows and heads of its own.
            unsafe { backward(problem, task, &operands, &mut memory, &into, &part_rows) };
        }
    });
    parallel(prefix, 1, |rows| {
        for row in rows {
            let parts = (0..problem.blocks()).map(|block| part_rows.row(block * prefix + row).cast_const());
            // SAFETY: the tasks are done; a row of the prefix is one thread's, and the instructions exist.
            unsafe { add_parts(problem.simd, &parts, into.row(row).add(heads.queries * heads.dim), width) };
        }
    });
    Some(d_qkv)
}

/// Results of the forward pass, and the gradient that comes back.
struct Operands<N> {
    d_out: Rows<N>,
    out: Rows<N>,
    lse: Rows<f32>,
}

struct Memory {
    /// `[keys, K]`, the keys also zipped.
    keys: Scratch,
    values: Scratch,
    key_pairs: Scratch,
    /// f32 `[keys, K]`
    d_keys: Scratch,
    d_values: Scratch,
    /// Of queries and of the results' gradients: `[C·16, K]`, transposed, and zipped.
    queries: Scratch,
    query_lanes: Scratch,
    query_pairs: Scratch,
    d_out: Scratch,
    d_out_lanes: Scratch,
    d_out_pairs: Scratch,
    /// `[SPAN, C·16]`: weights in words along the queries, the scores' gradients along queries and along keys.
    weights: Scratch,
    d_scores: Scratch,
    d_scores_down: Scratch,
    /// f32 `[C·16, K]`
    d_queries: Scratch,
}

impl Memory {
    fn new(key_rows: usize, dim: usize, words: usize) -> Self {
        let [keys, values, key_pairs] = [(); 3].map(|()| Scratch::new(key_rows * words));
        let [d_keys, d_values] = [(); 2].map(|()| Scratch::new(key_rows * dim));
        let [queries, query_lanes, query_pairs, d_out, d_out_lanes, d_out_pairs] =
            [(); 6].map(|()| Scratch::new(TILE * words));
        let [weights, d_scores, d_scores_down] = [(); 3].map(|()| Scratch::new(SPAN * TILE));
        Self {
            keys,
            values,
            key_pairs,
            d_keys,
            d_values,
            queries,
            query_lanes,
            query_pairs,
            d_out,
            d_out_lanes,
            d_out_pairs,
            weights,
            d_scores,
            d_scores_down,
            d_queries: Scratch::new(TILE * dim),
        }
    }
}

/// # Safety
/// The memory was made for the largest task; no other thread writes the task's rows and heads of `into` and `parts`.
unsafe fn backward<S: Simd, N: Number>(
    problem: &Problem<'_, S, N>,
    task: &Task,
    operands: &Operands<N>,
    memory: &mut Memory,
    into: &Rows<N>,
    parts: &Rows<f32>,
) {
    run!(problem.simd, {
        let (simd, heads, dim) = (problem.simd, problem.heads, problem.heads.dim);
        let (key_head, value_head) = (heads.queries + task.head, heads.queries + heads.keys + task.head);
        let (d_keys, d_values) = (memory.d_keys.floats(), memory.d_values.floats());
        // SAFETY: the memory has room for the task's keys.
        unsafe {
            gather_keys(problem, task, key_head, memory.keys.words().cast());
            gather_keys(problem, task, value_head, memory.values.words().cast());
            let keys: *const N = memory.keys.words().cast();
            zip::<S, N>(keys, task.key_rows(), dim, memory.key_pairs.words());
            d_keys.write_bytes(0, task.key_rows() * dim);
            d_values.write_bytes(0, task.key_rows() * dim);
        }
        let tiles = tiles(problem, task);
        for (i, sixteens) in tiles.iter().enumerate() {
            // Meanwhile, let the next tile's rows come.
            if let Some(next) = tiles.get(i + 1) {
                for rows in [&problem.qkv, &operands.d_out, &operands.out] {
                    prefetch(simd, rows, dim, next);
                }
            }
            // SAFETY: the caller's promise, and the tile is the task's.
            unsafe {
                match sixteens[..] {
                    [a] => tile(problem, [a], operands, memory, into),
                    [a, b] => tile(problem, [a, b], operands, memory, into),
                    [a, b, c] => tile(problem, [a, b, c], operands, memory, into),
                    _ => unreachable!("one to three"),
                }
            }
        }
        let prefix = problem.layout.prefix;
        for key in 0..task.keys() {
            for (from, head) in [(d_keys, key_head), (d_values, value_head)] {
                for at in (0..dim).step_by(LANES) {
                    // SAFETY: the key's row has that head, and so has the part's, without the queries.
                    unsafe {
                        let sum = simd.load(from.add(key * dim + at).cast_const(), LANES);
                        if key < prefix {
                            let part = parts.row(task.block * prefix + key);
                            sum.store(part.add((head - heads.queries) * dim + at), LANES);
                        } else {
                            let row = into.row(task.own.start + key - task.shared);
                            sum.store(row.add(head * dim + at), LANES);
                        }
                    }
                }
            }
        }
    });
}

/// # Safety
/// The memory holds the task's keys and values and has room for a tile; the tile's rows of `into` are this thread's.
unsafe fn tile<S: Simd, N: Number, const C: usize>(
    problem: &Problem<'_, S, N>,
    sixteens: [Sixteen; C],
    operands: &Operands<N>,
    memory: &mut Memory,
    into: &Rows<N>,
) {
    run!(problem.simd, {
        let (simd, dim, words, width) = (problem.simd, problem.heads.dim, problem.words(), C * LANES);
        let tile = Tile::new(simd, sixteens, problem.how);
        let scale = Scale::new(simd, problem.how);
        let factor = simd.splat(problem.how.scale as f32);
        let (keys, values, key_pairs) =
            (memory.keys.words(), memory.values.words(), memory.key_pairs.words());
        let (query_lanes, query_pairs) = (memory.query_lanes.words(), memory.query_pairs.words());
        let (d_out_lanes, d_out_pairs) = (memory.d_out_lanes.words(), memory.d_out_pairs.words());
        let (weights, d_scores) = (memory.weights.words(), memory.d_scores.words());
        let (d_scores_down, d_queries) = (memory.d_scores_down.words(), memory.d_queries.floats());
        // Words of a row of queries.
        let along = width / N::PER_WORD;
        let mut lse = [simd.splat(0.0); C];
        let mut mean = [simd.splat(0.0); C];
        // SAFETY: the memory has room for the tile; its rows are rows of the pack.
        unsafe {
            let (queries, d_out) = (memory.queries.words(), memory.d_out.words());
            gather_queries(&problem.qkv, dim, &tile, queries.cast::<N>());
            gather_queries(&operands.d_out, dim, &tile, d_out.cast::<N>());
            transpose::<_, C>(simd, queries, words, query_lanes);
            transpose::<_, C>(simd, d_out, words, d_out_lanes);
            zip::<S, N>(queries.cast::<N>(), width, dim, query_pairs);
            zip::<S, N>(d_out.cast::<N>(), width, dim, d_out_pairs);
            d_queries.write_bytes(0, width * dim);
            for (c, sixteen) in tile.sixteens.iter().enumerate() {
                let lse_row = operands.lse.row(sixteen.head).add(sixteen.row).cast_const();
                lse[c] = simd.load(lse_row, sixteen.count) * simd.splat(LOG2_E);
                let mut means = [0.0; LANES];
                for (lane, mean) in means.iter_mut().enumerate().take(sixteen.count) {
                    let out = operands.out.row(sixteen.row + lane).add(sixteen.head * dim).cast_const();
                    let d_out = d_out.cast::<N>().add((c * LANES + lane) * dim).cast_const();
                    *mean = product(simd, out, d_out, dim);
                }
                mean[c] = simd.load(means.as_ptr(), LANES);
            }
        }
        for first in tile.keys.clone().step_by(SPAN) {
            let last = tile.keys.end.min(first + SPAN);
            for key in (first..last).step_by(KEYS) {
                // SAFETY: the key is one of the task's, the next seven have room, and a span's weights too.
                unsafe {
                    let (mut scores, mut d_p) = ([[simd.splat(0.0); C]; KEYS], [[simd.splat(0.0); C]; KEYS]);
                    rows_times_lanes::<_, N, C>(simd, keys.add(key * words), query_lanes, words, &mut scores);
                    rows_times_lanes::<_, N, C>(simd, values.add(key * words), d_out_lanes, words, &mut d_p);
                    scale.apply(&mut scores);
                    let (mut p, edge) = (scores, tile.is_edge(key));
                    for r in 0..KEYS {
                        for c in 0..C {
                            p[r][c] = (scores[r][c] - lse[c]).exp2();
                            if edge {
                                p[r][c] = p[r][c].or(tile.seen(c, key + r), simd.splat(0.0));
                            }
                        }
                    }
                    for r in (0..KEYS).step_by(2) {
                        for c in 0..C {
                            let mut pair = [simd.splat(0.0); 2];
                            for (i, d_score) in pair.iter_mut().enumerate() {
                                *d_score = p[r + i][c] * factor * (d_p[r + i][c] - mean[c]);
                                if let Some(slope) = scale.slope(simd, scores[r + i][c]) {
                                    *d_score = *d_score * slope;
                                }
                            }
                            let at = key - first + r;
                            let column = c * LANES / N::PER_WORD;
                            N::store_along([p[r][c], p[r + 1][c]], weights.add(at * along + column), along);
                            N::store_along(pair, d_scores.add(at * along + column), along);
                            N::store_down(
                                pair,
                                d_scores_down.add(at / N::PER_WORD * width + c * LANES),
                                width,
                            );
                        }
                    }
                }
            }
            let (span, steps) = (last - first, width / N::PER_WORD);
            // SAFETY: all hold a span of keys from `first` on, and a tile's queries.
            unsafe {
                let pairs = key_pairs.add(first / N::PER_WORD * dim);
                let down = Weights { first: d_scores_down, row: 1, step: width };
                add_weighted::<_, N>(simd, down, width, pairs, span / N::PER_WORD, d_queries, dim);
                let d_keys = memory.d_keys.floats().add(first * dim);
                let rows = Weights { first: d_scores, row: along, step: 1 };
                add_weighted::<_, N>(simd, rows, span, query_pairs, steps, d_keys, dim);
                let d_values = memory.d_values.floats().add(first * dim);
                let rows = Weights { first: weights, row: along, step: 1 };
                add_weighted::<_, N>(simd, rows, span, d_out_pairs, steps, d_values, dim);
            }
        }
        for (c, sixteen) in tile.sixteens.iter().enumerate() {
            for lane in 0..sixteen.count {
                let row = into.row(sixteen.row + lane);
                for at in (0..dim).step_by(LANES) {
                    // SAFETY: the row has that head, and the memory that query.
                    unsafe {
                        let sum = simd.load(d_queries.add((c * LANES + lane) * dim + at).cast_const(), LANES);
                        sum.store(row.add(sixteen.head * dim + at), LANES);
                    }
                }
            }
        }
    });
}

/// Σ a·b over `n` numbers, a multiple of sixteen.
///
/// # Safety
/// `a` and `b` have `n` numbers.
#[inline(always)]
unsafe fn product<S: Simd, N: Number>(simd: S, a: *const N, b: *const N, n: usize) -> f32 {
    let mut sum = simd.splat(0.0);
    for at in (0..n).step_by(LANES) {
        // SAFETY: the caller's promise.
        sum = unsafe { simd.load(a.add(at), LANES).mul_add(simd.load(b.add(at), LANES), sum) };
    }
    sum.sum()
}

/// into = Σ parts, in their order; `width` numbers, a multiple of sixteen.
///
/// # Safety
/// Every part, and `into`, has `width` numbers, and no other thread writes `into`.
unsafe fn add_parts<S: Simd, N: Number>(
    simd: S,
    parts: &(impl Iterator<Item = *const f32> + Clone),
    into: *mut N,
    width: usize,
) {
    run!(simd, {
        for at in (0..width).step_by(LANES) {
            let mut sum: Lanes<S> = simd.splat(0.0);
            for part in parts.clone() {
                // SAFETY: the caller's promise.
                sum = sum + unsafe { simd.load(part.add(at), LANES) };
            }
            // SAFETY: the caller's promise.
            unsafe { sum.store(into.add(at), LANES) };
        }
    });
}
