//! Products by matrix instructions: several tiles at a time are laid out and stay in the second-level cache. A block of rows
//! meets all of them before the next block, some steps of the inputs at a time, so that the block's inputs stay in the
//! first-level cache. So a weight is laid out once, however many rows there are.

use std::ops::Range;

use super::{ROOM, Sums, Task, Tile};
use crate::cpu::amx::{self, Amx};
use crate::cpu::factors::Factors;
use crate::cpu::lanes::{LANES, Number, Simd};
use crate::cpu::line::{EMPTY, Line};
use crate::cpu::weight::TILE;

/// Words of the tiles that are laid out at a time (choice: half of a second-level cache).
const TILES: usize = 1 << 18;

/// Steps after which the next tile takes its turn (measured).
const STEPS: usize = 10;

impl<S: Simd, N: Number, O: Number> Task<S, N, O> {
    /// Some rows' product with some tiles, by matrix instructions: block by block of the rows with several tiles.
    ///
    /// # Safety
    /// As in [`Task::part`].
    pub(super) unsafe fn part_by_matrices(&self, amx: Amx, rows: Range<usize>, tiles: &[Tile]) {
        let words =
            |tile: &Tile| tile.groups[0].iter().map(|inputs| inputs.len().div_ceil(N::PER_WORD)).sum();
        let most: usize = tiles.iter().map(words).max().unwrap_or(0);
        let at_once = (TILES / (most * TILE).max(1)).clamp(1, tiles.len().max(1));
        let mut registers = amx.registers();
        ROOM.with_borrow_mut(|[laid_out, sums]| {
            let (lines, lines_of_sums) = ((most * TILE / LANES).max(1), amx::BLOCK * TILE / LANES);
            laid_out.resize(laid_out.len().max(at_once * lines), EMPTY);
            sums.resize(sums.len().max(at_once * lines_of_sums), EMPTY);
            for tiles in tiles.chunks(at_once) {
                for (tile, into) in tiles.iter().zip(laid_out.chunks_mut(lines)) {
                    // SAFETY: there is room for a tile's words.
                    unsafe { self.lay_out(tile, &tile.groups[0], into.as_mut_ptr().cast()) };
                }
                for start in rows.clone().step_by(amx::BLOCK) {
                    let block = start..rows.end.min(start + amx::BLOCK);
                    registers.set_rows(block.len());
                    let of_tile = |(tile, weights): (&Tile, &[Line])| {
                        self.factors(start, &tile.groups[0], weights.as_ptr().cast())
                    };
                    let factors = || tiles.iter().zip(laid_out.chunks(lines)).map(of_tile);
                    let steps = most.div_ceil(Factors::STEP).max(1);
                    for step in (0..steps).step_by(STEPS) {
                        for (factors, sums) in factors().zip(sums.chunks_mut(lines_of_sums)) {
                            let own = factors.map(|all| all.steps(step, STEPS));
                            // SAFETY: the caller's promise; the sums have the block's rows.
                            unsafe { registers.multiply(&own, sums.as_mut_ptr().cast(), step > 0) };
                        }
                    }
                    for ((tile, factors), sums) in tiles.iter().zip(factors()).zip(sums.chunks(lines_of_sums))
                    {
                        let sums = Sums { before: (sums.as_ptr().cast(), TILE), after: None };
                        // SAFETY: likewise.
                        unsafe { self.rows(&block, &tile.outputs, factors.map(Factors::rest), sums) };
                    }
                }
            }
        });
    }
}
