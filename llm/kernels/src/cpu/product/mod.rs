//! Products of many rows with a weight.
//!
//! The weight is laid out as it is read, in tiles of 32 outputs small enough for the second-level cache, each of which
//! serves a thousand rows: a copy of the weight would cost memory, and laying it out again costs a hundredth of the
//! product. Sums are f32 and run over the inputs in one order whatever the rows and threads, so a row's result does not
//! depend on the rows beside it.

mod added;
mod matrices;
mod tiles;

use std::array;
use std::cell::RefCell;
use std::ops::Range;

use half::bf16;
use tch::{Kind, Tensor};

pub(super) use self::added::Added;
pub(super) use self::tiles::share;
use self::tiles::{DEPTH, Tile, cuts, even_cuts, tiles};
use super::amx::Amx;
use super::factors::Factors;
use super::lanes::{LANES, Lanes, Make, Number, Simd, run};
use super::line::{EMPTY, Line};
use super::rows::{Rows, by_rows, optional, with_simd};
use super::transpose::transposed;
use super::weight::{TILE, Weight};
use crate::backend::Backend;
use crate::product::{Block, Product};
use crate::shim::parallel;

/// Rows of a block at most: twice as many sums, their two weights and a broadcast fit 32 registers of sixteen numbers.
pub(super) const BLOCK: usize = 12;

/// The same where sixteen registers hold eight numbers each, and a block has the outputs of half a tile.
pub(super) const NARROW_BLOCK: usize = 6;

/// Rows that a tile serves at most: with their inputs they stay near (choice).
const PANEL: usize = 1024;

/// Fewer rows are not worth laying out the weight (choice).
const FEWEST: i64 = 24;

/// Rows that are worth a thread of their own (choice).
const ROWS_PER_THREAD: usize = 128;

/// `None` where libtorch multiplies as fast or faster.
pub(crate) fn product(product: &Product, out: &Tensor) -> Option<()> {
    // Without instructions for bf16 libtorch would widen the weight first; with matrix instructions it compiles code for each
    // number of rows. A product of bf16 in f32 it would round to bf16.
    let in_one_go = product.x.kind() == Kind::Float || Backend::of_cpu() == Ok(Backend::Avx512Bf16);
    if in_one_go && product.x.kind() == out.kind() && product.x.size()[0] < FEWEST {
        return None;
    }
    match (product.x.kind(), out.kind()) {
        (Kind::Float, Kind::Float) => with_simd!(of::<f32, f32>(product, out)),
        (Kind::BFloat16, Kind::BFloat16) => with_simd!(of::<bf16, bf16>(product, out)),
        (Kind::BFloat16, Kind::Float) => with_simd!(of::<bf16, f32>(product, out)),
        _ => None,
    }
}

fn of<S: Simd, N: Number, O: Number>(simd: S, product: &Product, out: &Tensor) -> Option<()> {
    let into = Rows::<O>::of(out)?;
    if into.inner != 1 {
        return None;
    }
    let whole = |range: &Range<usize>| {
        range.start.is_multiple_of(N::PER_WORD) && range.len().is_multiple_of(N::PER_WORD)
    };
    if !product.blocks.iter().flat_map(|block| &block.inputs).all(whole) {
        return None;
    }
    let outputs = into.columns;
    let (first_x, first) = Term::<N>::of(simd, product.x, product.weight, [into.count, outputs])?;
    let second = optional(product.also, |(x, weight)| Term::<N>::of(simd, x, weight, [into.count, outputs]))?;
    let (second_x, second) = second.unzip();
    let added = Added::<O>::of(product.added)?;
    let also = second.as_ref().map_or(0, |term| term.weight.inputs());
    let everything = [Block { outputs: 0..outputs, inputs: [0..first.weight.inputs(), 0..also] }];
    let amx = Amx::detect().filter(|_| N::KIND == Kind::BFloat16);
    let tiles = tiles::<N>(if product.blocks.is_empty() { &everything } else { product.blocks }, amx);
    let task = Task { simd, amx, second: second.unwrap_or(first), first, added, out: into };
    // So many parts of the rows, and for each so many of the tiles.
    let threads = tch::get_num_threads().max(1) as usize;
    let (by_rows, cuts) = if let Some(cuts) = even_cuts(&tiles, threads) {
        (1, cuts)
    } else {
        let fit = (into.count / ROWS_PER_THREAD).clamp(1, threads);
        let by_rows = (1..=fit).rev().find(|parts| threads.is_multiple_of(*parts)).unwrap_or(1);
        (by_rows, cuts(&tiles, threads / by_rows))
    };
    let by_tiles = cuts.len() - 1;
    parallel(by_rows * by_tiles, 1, |parts| {
        for part in parts {
            let (rows, own) = (share(into.count, part / by_tiles, by_rows), part % by_tiles);
            // SAFETY: `of` has seen to it that the operands have these rows, inputs and outputs, and gives each part
            // outputs of its own.
            unsafe { task.part(rows, &tiles[cuts[own]..cuts[own + 1]]) };
        }
    });
    drop((first_x, second_x));
    Some(())
}

/// Rows and the weight that they are multiplied with.
#[derive(Clone, Copy)]
struct Term<N> {
    x: Rows<N>,
    weight: Weight<N>,
}

impl<N: Number> Term<N> {
    /// With x as a tensor whose rows' numbers lie side by side in whole words, which must outlive the term.
    fn of<S: Simd>(
        simd: S,
        x: &Tensor,
        weight: &Tensor,
        [rows, outputs]: [usize; 2],
    ) -> Option<(Tensor, Self)> {
        let weight_rows = Weight::of(weight)?;
        let inputs = weight_rows.inputs();
        assert_eq!((x.size(), weight.size()[1]), (vec![rows as i64, inputs as i64], outputs as i64));
        let lies_across = x.stride()[1] != 1;
        let across = if lies_across { transposed::<_, N>(simd, x) } else { None };
        let x = across.unwrap_or_else(|| match inputs.is_multiple_of(N::PER_WORD) {
            true if lies_across => x.contiguous(),
            true => x.shallow_clone(),
            false => x.constant_pad_nd([0, 1]),
        });
        let term = Self { x: Rows::of(&x)?, weight: weight_rows };
        Some((x, term))
    }
}

struct Task<S, N, O> {
    simd: S,
    /// Where the numbers are bf16 and there are instructions for matrices of them.
    amx: Option<Amx>,
    /// What a tile's first and second range of inputs are of; they may be of the same.
    first: Term<N>,
    second: Term<N>,
    added: Added<O>,
    out: Rows<O>,
}

/// Where a panel's sums come from, and where they go if they are not complete after this group of inputs.
#[derive(Clone, Copy)]
struct Sums {
    /// The first row's, and how many numbers lie from one row to the next.
    before: (*const f32, usize),
    after: Option<*mut f32>,
}

/// Sums of nothing.
static ZEROS: [f32; TILE] = [0.0; TILE];

impl Sums {
    fn of_outputs_from(self, output: usize) -> Self {
        let (first, by_row) = self.before;
        Self {
            before: (first.wrapping_add(output), by_row),
            after: self.after.map(|after| after.wrapping_add(output)),
        }
    }

    fn of_rows_from(self, row: usize) -> Self {
        let (first, by_row) = self.before;
        Self {
            before: (first.wrapping_add(row * by_row), by_row),
            after: self.after.map(|after| after.wrapping_add(row * TILE)),
        }
    }
}

thread_local! {
    /// Tiles laid out, and sums of rows between two groups of inputs.
    static ROOM: RefCell<[Vec<Line>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

impl<S: Simd, N: Number, O: Number> Task<S, N, O> {
    /// Some rows' product with some tiles.
    ///
    /// # Safety
    /// The operands have these rows and the tiles' inputs and outputs, and no other thread writes their results.
    unsafe fn part(&self, rows: Range<usize>, tiles: &[Tile]) {
        if let Some(amx) = self.amx {
            // SAFETY: the caller's promise.
            unsafe { self.part_by_matrices(amx, rows, tiles) };
            return;
        }
        ROOM.with_borrow_mut(|[laid_out, sums]| {
            laid_out.resize(laid_out.len().max(DEPTH * TILE / LANES), EMPTY);
            let laid_out: *mut u32 = laid_out.as_mut_ptr().cast();
            for start in rows.clone().step_by(PANEL) {
                let panel = start..rows.end.min(start + PANEL);
                for tile in tiles {
                    if tile.groups.len() > 1 {
                        sums.resize(sums.len().max(PANEL * TILE / LANES), EMPTY);
                    }
                    let sums: *mut f32 = sums.as_mut_ptr().cast();
                    for (index, group) in tile.groups.iter().enumerate() {
                        // SAFETY: a group of inputs fits the room.
                        unsafe { self.lay_out(tile, group, laid_out) };
                        let (first, last) = (index == 0, index + 1 == tile.groups.len());
                        let sums = Sums {
                            before: if first { (ZEROS.as_ptr(), 0) } else { (sums.cast_const(), TILE) },
                            after: (!last).then_some(sums),
                        };
                        let factors = self.factors(panel.start, group, laid_out);
                        // SAFETY: the caller's promise; the group is laid out, and there are sums of the panel's rows.
                        unsafe { self.rows(&panel, &tile.outputs, factors, sums) };
                    }
                }
            }
        });
    }

    /// Lays out a tile's group of inputs.
    ///
    /// # Safety
    /// There is room for its words.
    unsafe fn lay_out(&self, tile: &Tile, [first, second]: &[Range<usize>; 2], into: *mut u32) {
        // SAFETY: the caller's promise, and the weights have the tile's inputs and outputs.
        unsafe {
            let words = self.first.weight.lay_out(self.simd, &tile.outputs, first, into);
            self.second.weight.lay_out(self.simd, &tile.outputs, second, into.add(words * TILE));
        }
    }

    /// What rows from `row` on are multiplied with.
    fn factors(&self, row: usize, group: &[Range<usize>; 2], weights: *const u32) -> [Factors; 2] {
        let of = |Term { x, .. }: &Term<N>, inputs: &Range<usize>, weights| Factors {
            x: x.row(row).wrapping_add(inputs.start).cast_const().cast(),
            x_row: x.outer * size_of::<N>(),
            weights,
            words: inputs.len().div_ceil(N::PER_WORD),
        };
        let [first, second] = group;
        let first = of(&self.first, first, weights);
        [first, of(&self.second, second, weights.wrapping_add(first.words * TILE))]
    }

    /// Some rows' product with a tile, in blocks.
    ///
    /// # Safety
    /// As in [`Task::part`]; the factors are of these rows, and so are the sums.
    unsafe fn rows(&self, rows: &Range<usize>, outputs: &Range<usize>, factors: [Factors; 2], sums: Sums) {
        let blocks = rows.len().div_ceil(rows_of_block::<S>());
        for block in 0..blocks {
            let own = share(rows.len(), block, blocks);
            let (row, sums) = (rows.start + own.start, sums.of_rows_from(own.start));
            let factors = factors.map(|all| all.of_rows_from(own.start));
            // SAFETY: the caller's promise.
            unsafe { by_rows!(own.len(), M => self.halves::<M>(row, outputs, factors, sums)) };
        }
    }

    /// # Safety
    /// As in [`Task::rows`], for M rows from `row` on.
    #[inline(always)]
    unsafe fn halves<const M: usize>(
        &self,
        row: usize,
        outputs: &Range<usize>,
        factors: [Factors; 2],
        sums: Sums,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if S::WIDE {
                self.block::<M, 2>(row, outputs, factors, sums);
                return;
            }
            // Spares the compiler what is never called.
            if M > NARROW_BLOCK {
                unreachable!("a narrow block has fewer rows");
            }
            for half in [0, LANES] {
                let outputs = outputs.start + half..outputs.end.max(outputs.start + half);
                let of_half = |all: Factors| Factors { weights: all.weights.wrapping_add(half), ..all };
                self.block::<M, 1>(row, &outputs, factors.map(of_half), sums.of_outputs_from(half));
            }
        }
    }

    // Plain indices: the compiler then unrolls the block and keeps its sums in registers; it does not for iterators.
    /// # Safety
    /// As in [`Task::halves`], for H·16 outputs.
    #[allow(clippy::needless_range_loop)]
    unsafe fn block<const M: usize, const H: usize>(
        &self,
        row: usize,
        outputs: &Range<usize>,
        factors: [Factors; 2],
        between: Sums,
    ) {
        run!(self.simd, {
            let simd = self.simd;
            let (before, row_before) = between.before;
            // Not zeroed and then filled by index: the compiler would call memset for each block.
            let mut sums: [[Lanes<S>; H]; M] = array::from_fn(
                #[inline(always)]
                |m| {
                    array::from_fn(
                        #[inline(always)]
                        |half| {
                            // SAFETY: there is a tile's line per row of the block.
                            unsafe { simd.load(before.add(m * row_before + half * LANES), LANES) }
                        },
                    )
                },
            );
            let [first, second] = factors;
            // Not in a loop: the compiler would keep the sums in memory.
            // SAFETY: the rows have these inputs, the tile their words.
            unsafe {
                sums = accumulate::<S, N, M, H, 0>(simd, sums, &first);
                sums = accumulate::<S, N, M, H, 0>(simd, sums, &second);
            }
            if let Some(after) = between.after {
                for m in 0..M {
                    for half in 0..H {
                        // SAFETY: likewise.
                        unsafe { sums[m][half].store(after.add(m * TILE + half * LANES), LANES) };
                    }
                }
                return;
            }
            for m in 0..M {
                for half in 0..H {
                    let output = outputs.start + half * LANES;
                    let left = outputs.end.saturating_sub(output).min(LANES);
                    // SAFETY: `out` and what is added have the row; no more than `left` numbers of it are touched.
                    unsafe {
                        let sum = self.added.to(simd, sums[m][half], row + m, output, left);
                        sum.store(self.out.row(row + m).wrapping_add(output), left);
                    }
                }
            }
        });
    }
}

/// Rows of a block at most.
pub(super) fn rows_of_block<S: Simd>() -> usize {
    if S::WIDE { BLOCK } else { NARROW_BLOCK }
}

/// Adds the product of M rows with H·16 of a tile's outputs to their sums. What lies `AHEAD` words further in the tile is
/// asked for, unless that is 0.
///
/// # Safety
/// There are M rows, and H·16 outputs at the beginning of each line of the tile.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(super) unsafe fn accumulate<S: Simd, N: Number, const M: usize, const H: usize, const AHEAD: usize>(
    simd: S,
    mut sums: [[Lanes<S>; H]; M],
    factors: &Factors,
) -> [[Lanes<S>; H]; M] {
    let Factors { x, x_row, weights, words } = *factors;
    let (x, x_row) = (x.cast::<N>(), x_row / size_of::<N>());
    // Part by part: sums, weights and a broadcast of one part fill the registers.
    for part in 0..N::parts::<S>() {
        let (mut weights, mut x) = (weights, x);
        for _ in 0..words {
            // SAFETY: the caller's promise.
            unsafe {
                if AHEAD > 0 && part == 0 {
                    for half in 0..H {
                        simd.prefetch_far(weights.wrapping_add(AHEAD + half * LANES));
                    }
                }
                let mut weight = [simd.word(0); H];
                for half in 0..H {
                    weight[half] = N::part(simd.words(weights.add(half * LANES)), part);
                }
                for m in 0..M {
                    let word = N::part(simd.broadcast(x.add(m * x_row).cast()), part);
                    for half in 0..H {
                        sums[m][half] = N::dot(sums[m][half], weight[half], word);
                    }
                }
                weights = weights.add(TILE);
                x = x.add(N::PER_WORD);
            }
        }
    }
    sums
}
