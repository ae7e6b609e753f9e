//! The two matrix products that attention is made of, over words of one f32 or two bf16. Each is a function of its own
//! with loops by index: so the compiler keeps all sums in registers.
#![allow(clippy::needless_range_loop)]

use super::problem::KEYS;
use crate::cpu::lanes::{Avx512, LANES, Lanes, Number};

/// Rows of a result that are formed at a time, in registers.
const ROWS: usize = 8;

/// Eight rows times columns in lanes: result[r][c] = Σ rows[r][w] · columns[w][c] over `words` words.
///
/// # Safety
/// `rows` has eight rows of `words` words, `columns` C·16 for each of `words`.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn rows_times_lanes<N: Number, const C: usize>(
    simd: Avx512,
    rows: *const u32,
    columns: *const u32,
    words: usize,
    result: &mut [[Lanes; C]; KEYS],
) {
    let mut sums = [[simd.splat(0.0); C]; KEYS];
    for w in 0..words {
        // SAFETY: the caller's rows have `words` words each, its columns C·16 per word.
        unsafe {
            let columns = columns.add(w * C * LANES);
            let mut column = [simd.words(columns); C];
            for c in 1..C {
                column[c] = simd.words(columns.add(c * LANES));
            }
            for r in 0..KEYS {
                let word = simd.broadcast(rows.add(r * words + w));
                for c in 0..C {
                    sums[r][c] = N::dot(sums[r][c], word, column[c]);
                }
            }
        }
    }
    *result = sums;
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
///
/// # Safety
/// There are weights for all `rows` and `steps`, `steps` rows of `dim` terms, and `rows` rows of `dim` sums.
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
            // SAFETY: the caller's promise.
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

/// # Safety
/// As in [`add_weighted`], for eight rows and V·16 columns.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
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
        // SAFETY: the caller's promise.
        unsafe {
            let terms = terms.add(step * dim);
            let mut term = [simd.words(terms); V];
            for v in 1..V {
                term[v] = simd.words(terms.add(v * LANES));
            }
            let first = weights.first.add(step * weights.step);
            for r in 0..ROWS {
                let word = simd.broadcast(first.add(r * weights.row));
                for v in 0..V {
                    sums[r][v] = N::dot(sums[r][v], word, term[v]);
                }
            }
        }
    }
    for r in 0..ROWS {
        for v in 0..V {
            // SAFETY: the caller's promise.
            unsafe {
                let into = into.add(r * dim + v * LANES);
                (simd.load(into.cast_const(), LANES) + sums[r][v]).store(into, LANES);
            }
        }
    }
}
