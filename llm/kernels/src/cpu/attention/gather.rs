//! Rows brought together in the forms that the products read.

use std::ptr::copy_nonoverlapping;

use super::problem::{Problem, Task};
use super::tile::{Sixteen, Tile};
use crate::cpu::lanes::{LANES, Make, Number, Simd, Words};
use crate::cpu::rows::Rows;

/// Copies head `head` (counted over queries, keys and values) of all keys a task sees: `[keys, K]`, and zeros up to
/// whole blocks.
///
/// # Safety
/// `into` has room for `task.key_rows()` rows of a head.
#[inline(always)]
pub(super) unsafe fn gather_keys<S: Simd, N: Number>(
    problem: &Problem<'_, S, N>,
    task: &Task,
    head: usize,
    into: *mut N,
) {
    let dim = problem.heads.dim;
    for key in 0..task.keys() {
        let row = if key < task.shared { key } else { task.own.start + key - task.shared };
        // SAFETY: the row has that head; `into` has room for all keys.
        unsafe {
            copy_nonoverlapping(problem.qkv.row(row).add(head * dim).cast_const(), into.add(key * dim), dim);
        }
    }
    let (keys, rows) = (task.keys(), task.key_rows());
    // SAFETY: `into` has room for whole blocks.
    unsafe { into.add(keys * dim).write_bytes(0, (rows - keys) * dim) };
}

/// Copies the tile's queries from `rows`, whose first columns are the query heads: `[C·16, K]`, zeros for lanes that
/// have no query.
///
/// # Safety
/// The tile's rows are rows of `rows`, and `into` has room for C·16 heads.
#[inline(always)]
pub(super) unsafe fn gather_queries<S: Simd, N: Number, const C: usize>(
    rows: &Rows<N>,
    dim: usize,
    tile: &Tile<S, C>,
    into: *mut N,
) {
    for (c, sixteen) in tile.sixteens.iter().enumerate() {
        let to = into.wrapping_add(c * LANES * dim);
        for lane in 0..sixteen.count {
            let from = rows.row(sixteen.row + lane).wrapping_add(sixteen.head * dim);
            // SAFETY: the tile's rows have those heads; `into` has room for the tile.
            unsafe { copy_nonoverlapping(from.cast_const(), to.add(lane * dim), dim) };
        }
        // SAFETY: `into` has room for sixteen lanes.
        unsafe { to.add(sixteen.count * dim).write_bytes(0, (LANES - sixteen.count) * dim) };
    }
}

/// Asks for the queries' part of `rows` to be brought near.
#[inline(always)]
pub(super) fn prefetch<S: Simd, N: Number>(simd: S, rows: &Rows<N>, dim: usize, sixteens: &[Sixteen]) {
    for sixteen in sixteens {
        for lane in 0..sixteen.count {
            let row = rows.row(sixteen.row + lane).wrapping_add(sixteen.head * dim);
            for at in (0..dim * size_of::<N>()).step_by(64) {
                simd.prefetch(row.wrapping_byte_add(at));
            }
        }
    }
}

/// `[C·16, words]` → `[words, C·16]`.
///
/// # Safety
/// `from` and `into` have C·16·`words` words.
#[inline(always)]
pub(super) unsafe fn transpose<S: Simd, const C: usize>(
    simd: S,
    from: *const u32,
    words: usize,
    into: *mut u32,
) {
    for c in 0..C {
        for first in (0..words).step_by(LANES) {
            let count = (words - first).min(LANES);
            // SAFETY: both have C·16·words words.
            unsafe {
                let mut rows = [simd.first_words(from, 0); LANES];
                for (lane, row) in rows.iter_mut().enumerate() {
                    *row = simd.first_words(from.add((c * LANES + lane) * words + first), count);
                }
                for (i, column) in Words::transpose(rows).into_iter().enumerate().take(count) {
                    column.store(into.add(((first + i) * C + c) * LANES));
                }
            }
        }
    }
}

/// `[rows, K]` → `[rows / PER_WORD, K]` words, each of one number from every row.
///
/// # Safety
/// `from` has `rows` rows of `dim` numbers, `into` room for as many.
#[inline(always)]
pub(super) unsafe fn zip<S: Simd, N: Number>(from: *const N, rows: usize, dim: usize, into: *mut u32) {
    for step in 0..rows / N::PER_WORD {
        for at in (0..dim).step_by(LANES) {
            // SAFETY: `from` has the rows, `into` the room.
            unsafe {
                N::zip::<S>(from.add(step * N::PER_WORD * dim + at), dim).store(into.add(step * dim + at));
            }
        }
    }
}
