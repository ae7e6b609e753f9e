//! The two matrix products that attention is made of, over words of one f32 or two bf16. Each is a function of its own
//! with loops by index: so the compiler keeps all sums in registers.
#![allow(clippy::needless_range_loop)]

use super::problem::KEYS;
use crate::cpu::lanes::{LANES, Lanes, Make, Number, Simd, run};

/// Rows of a result that are formed at a time, in registers.
const ROWS: usize = 8;

/// The same where registers are few: as many sums as hide a product's latency.
const FEW_ROWS: usize = 4;

/// Eight rows times columns in lanes: result[r][c] = Σ rows[r][w] · columns[w][c] over `words` words.
///
/// # Safety
/// `rows` has eight rows of `words` words, `columns` C·16 for each of `words`.
#[inline(always)]
pub(super) unsafe fn rows_times_lanes<S: Simd, N: Number, const C: usize>(
    simd: S,
    rows: *const u32,
    columns: *const u32,
    words: usize,
    result: &mut [[Lanes<S>; C]; KEYS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        if S::WIDE {
            block_times_lanes::<S, N, KEYS, C>(simd, rows, columns, C, words, result);
            return;
        }
        for first in (0..KEYS).step_by(FEW_ROWS) {
            for c in 0..C {
                let mut sums = [[simd.splat(0.0); 1]; FEW_ROWS];
                let (rows, columns) = (rows.add(first * words), columns.add(c * LANES));
                block_times_lanes::<S, N, FEW_ROWS, 1>(simd, rows, columns, C, words, &mut sums);
                for r in 0..FEW_ROWS {
                    result[first + r][c] = sums[r][0];
                }
            }
        }
    }
}

/// R rows times C·16 of `all`·16 columns.
///
/// # Safety
/// `rows` has R rows of `words` words, `columns` C·16 at the beginning of each of `words` times `all`·16.
unsafe fn block_times_lanes<S: Simd, N: Number, const R: usize, const C: usize>(
    simd: S,
    rows: *const u32,
    columns: *const u32,
    all: usize,
    words: usize,
    result: &mut [[Lanes<S>; C]; R],
) {
    run!(simd, {
        let mut sums = [[simd.splat(0.0); C]; R];
        for part in 0..N::parts::<S>() {
            for w in 0..words {
                // SAFETY: the caller's rows have `words` words each, its columns C·16 per word.
                unsafe {
                    let columns = columns.add(w * all * LANES);
                    let mut column = [N::part(simd.words(columns), part); C];
                    for c in 1..C {
                        column[c] = N::part(simd.words(columns.add(c * LANES)), part);
                    }
                    for r in 0..R {
                        let word = N::part(simd.broadcast(rows.add(r * words + w)), part);
                        for c in 0..C {
                            sums[r][c] = N::dot(sums[r][c], word, column[c]);
                        }
                    }
                }
            }
        }
        *result = sums;
    });
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
pub(super) unsafe fn add_weighted<S: Simd, N: Number>(
    simd: S,
    weights: Weights,
    rows: usize,
    terms: *const u32,
    steps: usize,
    into: *mut f32,
    dim: usize,
) {
    let mut at = 0;
    while at < dim {
        let wide = S::WIDE && at + 2 * LANES <= dim;
        for r in (0..rows).step_by(if S::WIDE { ROWS } else { FEW_ROWS }) {
            // SAFETY: the caller's promise.
            unsafe {
                let weights = Weights { first: weights.first.add(r * weights.row), ..weights };
                let (terms, into) = (terms.add(at), into.add(r * dim + at));
                if wide {
                    add_columns::<S, N, ROWS, 2>(simd, weights, terms, steps, into, dim);
                } else if S::WIDE {
                    add_columns::<S, N, ROWS, 1>(simd, weights, terms, steps, into, dim);
                } else {
                    add_columns::<S, N, FEW_ROWS, 1>(simd, weights, terms, steps, into, dim);
                }
            }
        }
        at += if wide { 2 } else { 1 } * LANES;
    }
}

/// # Safety
/// As in [`add_weighted`], for R rows and V·16 columns.
unsafe fn add_columns<S: Simd, N: Number, const R: usize, const V: usize>(
    simd: S,
    weights: Weights,
    terms: *const u32,
    steps: usize,
    into: *mut f32,
    dim: usize,
) {
    run!(simd, {
        let mut sums = [[simd.splat(0.0); V]; R];
        for part in 0..N::parts::<S>() {
            for step in 0..steps {
                // SAFETY: the caller's promise.
                unsafe {
                    let terms = terms.add(step * dim);
                    let mut term = [N::part(simd.words(terms), part); V];
                    for v in 1..V {
                        term[v] = N::part(simd.words(terms.add(v * LANES)), part);
                    }
                    let first = weights.first.add(step * weights.step);
                    for r in 0..R {
                        let word = N::part(simd.broadcast(first.add(r * weights.row)), part);
                        for v in 0..V {
                            sums[r][v] = N::dot(sums[r][v], word, term[v]);
                        }
                    }
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                // SAFETY: the caller's promise.
                unsafe {
                    let into = into.add(r * dim + v * LANES);
                    (simd.load(into.cast_const(), LANES) + sums[r][v]).store(into, LANES);
                }
            }
        }
    });
}
