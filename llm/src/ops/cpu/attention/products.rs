//! The two matrix products that attention is made of, over words of one f32 or two bf16.

use super::KEYS;
use crate::ops::cpu::lanes::{Avx512, LANES, Lanes, Number};

/// Rows of a result that are formed at a time, in registers.
const ROWS: usize = 8;

/// Eight rows times columns in lanes: result[r][c] = Σ rows[r][w] · columns[w][c] over `words` words.
#[inline(always)]
pub(super) unsafe fn rows_times_lanes<N: Number, const C: usize>(
    simd: Avx512,
    rows: *const u32,
    columns: *const u32,
    words: usize,
) -> [[Lanes; C]; KEYS] {
    let mut sums = [[simd.splat(0.0); C]; KEYS];
    for w in 0..words {
        // Sound: the caller's rows have `words` words each, its columns C·16 per word.
        unsafe {
            let mut column = [simd.words(columns.add(w * C * LANES)); C];
            for (c, column) in column.iter_mut().enumerate().skip(1) {
                *column = simd.words(columns.add((w * C + c) * LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let word = simd.broadcast(rows.add(r * words + w));
                for c in 0..C {
                    sums[c] = N::dot(sums[c], word, column[c]);
                }
            }
        }
    }
    sums
}

/// Words that stand `row` and `step` apart.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    pub(super) first: *const u32,
    pub(super) row: usize,
    pub(super) step: usize,
}

/// into[r] += Σ weights[r][s] · terms[s] over `steps` steps; `terms` and `into` have `dim` columns. `rows` is a multiple
/// of eight, `dim` of sixteen.
#[inline(always)]
pub(super) unsafe fn add_weighted<N: Number>(
    simd: Avx512,
    weights: Weights,
    rows: usize,
    terms: *const u32,
    steps: usize,
    into: *mut f32,
    dim: usize,
) {
    let mut at = 0;
    while at < dim {
        let wide = at + 2 * LANES <= dim;
        for r in (0..rows).step_by(ROWS) {
            // Sound: the caller's promise.
            unsafe {
                let weights = Weights { first: weights.first.add(r * weights.row), ..weights };
                let into = into.add(r * dim + at);
                if wide {
                    add_columns::<N, 2>(simd, weights, terms.add(at), steps, into, dim);
                } else {
                    add_columns::<N, 1>(simd, weights, terms.add(at), steps, into, dim);
                }
            }
        }
        at += if wide { 2 } else { 1 } * LANES;
    }
}

#[inline(always)]
unsafe fn add_columns<N: Number, const V: usize>(
    simd: Avx512,
    weights: Weights,
    terms: *const u32,
    steps: usize,
    into: *mut f32,
    dim: usize,
) {
    let mut sums = [[simd.splat(0.0); V]; ROWS];
    for step in 0..steps {
        // Sound: the caller's promise.
        unsafe {
            let mut term = [simd.words(terms.add(step * dim)); V];
            for (v, term) in term.iter_mut().enumerate().skip(1) {
                *term = simd.words(terms.add(step * dim + v * LANES));
            }
            let first = weights.first.add(step * weights.step);
            for (r, sums) in sums.iter_mut().enumerate() {
                let word = simd.broadcast(first.add(r * weights.row));
                for v in 0..V {
                    sums[v] = N::dot(sums[v], word, term[v]);
                }
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            unsafe {
                let into = into.add(r * dim + v * LANES);
                (simd.load(into.cast_const(), LANES) + *sum).store(into, LANES);
            }
        }
    }
}
