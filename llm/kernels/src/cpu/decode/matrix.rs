//! A weight laid out for few rows, and its product with them.
//!
//! Outputs stand in tiles of 32. A tile holds, word by word of the inputs, that word of its 32 outputs: two loads serve a
//! block of up to twelve rows, whose words are each broadcast to both. A sum runs over the inputs in one register from
//! the first to the last, whatever the block, so that a row's result does not depend on the rows beside it.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::buffer::Buffer;
use super::support::{computing, words};
use crate::cpu::amx::{self, Amx};
use crate::cpu::factors::{BlockSums, Factors};
use crate::cpu::lanes::{LANES, Make, Number, Simd, run};
use crate::cpu::nf4::{Place, write_row};
use crate::cpu::product::{NARROW_BLOCK, accumulate, rows_of_block, share};
use crate::cpu::rows::{Rows, by_rows};
use crate::cpu::weight::{TILE, Weight};
use crate::nf4::Nf4Weight;
use crate::shim::parallel;

/// Words ahead of those in use that are asked for: what comes from memory takes that long (measured).
const AHEAD: usize = 4096;

/// A weight `[O, I]` in tiles.
#[derive(Debug)]
pub struct Matrix {
    tiles: Tiles,
    outputs: usize,
    inputs: usize,
    /// Words of an output's inputs.
    depth: usize,
    bias: Option<Vec<f32>>,
}

/// Where a matrix's tiles are.
#[derive(Debug)]
enum Tiles {
    /// In memory: in a tensor, so that they lie where tensors do, in huge pages.
    Whole(Tensor),
    /// Nowhere: each is laid out when a product comes to it, from a weight in four bits and the columns beside it.
    Nf4(Nf4Weight, Tensor),
}

/// The same as threads read it.
enum Source<'a, N> {
    /// The address of the first tile.
    Whole(usize),
    Nf4(Place<'a>, Rows<N>),
}

/// Where a thread lays out a tile.
struct Room {
    /// Its outputs' numbers.
    rows: Tensor,
    words: Tensor,
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// It takes the place of what was there.
    Place,
    /// It is added to what was there.
    Sum,
}

impl Matrix {
    /// Lays out a matrix of N on the CPU.
    pub fn new<N: Number>(weight: &Tensor, bias: Option<&Tensor>) -> Self {
        let rows = Rows::<N>::of(weight).expect("a matrix of this kind on the CPU");
        let (outputs, inputs, depth) = (rows.count, rows.columns, words::<N>(rows.columns));
        let count = outputs.div_ceil(TILE);
        let tiles = Tensor::empty([(count * depth * TILE) as i64], (Kind::Int, Device::Cpu));
        let (from, first) = (Weight::Inputs(rows), tiles.data_ptr() as usize);
        computing!(simd => parallel(count, 1, |part| {
            for tile in part {
                let own = tile * TILE..outputs.min((tile + 1) * TILE);
                let into = (first as *mut u32).wrapping_add(tile * depth * TILE);
                // SAFETY: each tile is one thread's and has room for its words; the weight has the outputs and inputs.
                unsafe { from.lay_out(simd, &own, &(0..inputs), into) };
            }
        }));
        Self { tiles: Tiles::Whole(tiles), outputs, inputs, depth, bias: floats(bias) }
    }

    /// A matrix whose first columns are a weight in four bits and whose others, `[O, L]`, are of N; it takes no more memory
    /// than these.
    pub fn nf4<N: Number>(weight: &Nf4Weight, beside: &Tensor, bias: Option<&Tensor>) -> Self {
        let (outputs, inputs) = (weight.outputs() as usize, (weight.inputs() + beside.size()[1]) as usize);
        let tiles = Tiles::Nf4(weight.shallow_clone(), beside.shallow_clone());
        Self { tiles, outputs, inputs, depth: words::<N>(inputs), bias: floats(bias) }
    }

    /// O.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// I.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// x·Wᵀ + bias.
    pub fn product<N: Number, O: Number>(&self, x: &Buffer<N>, out: &mut Buffer<O>, how: Into) {
        assert_eq!((x.columns(), x.rows(), self.outputs), (self.inputs, out.rows(), out.columns()));
        let out = out.shared();
        self.run::<N, O>(x.first() as usize, x.row_words(), x.rows(), how, &|row, output| {
            out.row(row).wrapping_add(output)
        });
    }

    /// The same as f32, rows of outputs side by side.
    pub fn product_into<N: Number>(&self, x: &Buffer<N>, out: &mut [f32]) {
        assert_eq!((x.columns(), x.rows() * self.outputs), (self.inputs, out.len()));
        let (first, outputs) = (out.as_mut_ptr() as usize, self.outputs);
        let at = |row: usize, output: usize| (first as *mut f32).wrapping_add(row * outputs + output);
        self.run::<N, f32>(x.first() as usize, x.row_words(), x.rows(), Into::Place, &at);
    }

    /// The product with a buffer's first columns, written into the following ones.
    pub fn product_beside<N: Number>(&self, x: &mut Buffer<N>) {
        assert_eq!(x.columns(), self.inputs + self.outputs);
        // The last word of the inputs may hold the first output, which the matrix has a zero for.
        let (first, row_words, rows, inputs) = (x.first() as usize, x.row_words(), x.rows(), self.inputs);
        let out = x.shared();
        self.run::<N, N>(first, row_words, rows, Into::Place, &|row, output| {
            out.row(row).wrapping_add(inputs + output)
        });
    }

    fn run<N: Number, O: Number>(
        &self,
        x: usize,
        x_row: usize,
        rows: usize,
        how: Into,
        out: &(impl Fn(usize, usize) -> *mut O + Sync),
    ) {
        computing!(simd => self.run_with::<_, N, O>(simd, x, x_row, rows, how, out));
    }

    fn run_with<S: Simd, N: Number, O: Number>(
        &self,
        simd: S,
        x: usize,
        x_row: usize,
        rows: usize,
        how: Into,
        out: &(impl Fn(usize, usize) -> *mut O + Sync),
    ) {
        let source = self.tiles.source::<N>();
        let inputs = self.inputs;
        let (outputs, words, bias) = (self.outputs, self.depth, self.bias.as_deref());
        let amx = Amx::detect().filter(|_| N::KIND == Kind::BFloat16);
        parallel(outputs.div_ceil(TILE), 1, |part| {
            let mut block = BlockSums::<{ amx::BLOCK }>::ZEROS;
            let mut registers = amx.map(Amx::registers);
            let mut room = None;
            for tile in part {
                let weights = match &source {
                    Source::Whole(tiles) => (*tiles as *const u32).wrapping_add(tile * words * TILE),
                    Source::Nf4(weight, beside) => {
                        let own = tile * TILE..outputs.min((tile + 1) * TILE);
                        let room = room.get_or_insert_with(|| Room::new::<N>(inputs, words));
                        room.lay_out(simd, weight, beside, own)
                    }
                };
                let x_row = x_row * size_of::<u32>();
                let factors = Factors { x: x as *const u32, x_row, weights, words };
                let all = Task { outputs, bias, output: tile * TILE, row: 0, factors, sums: None, how };
                let Some(registers) = &mut registers else {
                    // SAFETY: the operands have these rows, outputs and inputs; a tile's outputs are one thread's.
                    unsafe { all.rows::<S, N, O>(simd, rows, out) };
                    continue;
                };
                for start in (0..rows).step_by(amx::BLOCK) {
                    let count = (rows - start).min(amx::BLOCK);
                    registers.set_rows(count);
                    let of_block = all.of_rows_from(start);
                    let none = Factors { words: 0, ..of_block.factors };
                    let (sums, rest) = (block.first(), of_block.factors.rest());
                    // SAFETY: likewise; the sums have the block's rows.
                    unsafe {
                        registers.multiply(&[of_block.factors, none], sums, false);
                        let rest = Task { factors: rest, sums: Some(sums.cast_const()), ..of_block };
                        rest.rows::<S, N, O>(simd, count, out);
                    }
                }
            }
        });
    }
}

impl Tiles {
    fn source<N: Number>(&self) -> Source<'_, N> {
        match self {
            Self::Whole(tiles) => Source::Whole(tiles.data_ptr() as usize),
            Self::Nf4(weight, beside) => {
                let found = Place::of(weight).zip(Rows::of(beside));
                let (weight, beside) = found.expect("a weight on the CPU, and columns of this kind");
                Source::Nf4(weight, beside)
            }
        }
    }
}

impl Room {
    fn new<N: Number>(inputs: usize, depth: usize) -> Self {
        Self {
            rows: Tensor::empty([TILE as i64, inputs as i64], (N::KIND, Device::Cpu)),
            words: Tensor::empty([(depth * TILE) as i64], (Kind::Int, Device::Cpu)),
        }
    }

    /// A tile of these outputs.
    fn lay_out<S: Simd, N: Number>(
        &self,
        simd: S,
        weight: &Place,
        beside: &Rows<N>,
        outputs: Range<usize>,
    ) -> *const u32 {
        let rows = Rows::<N>::of(&self.rows).expect("as they were made");
        let (count, inputs) = (outputs.len(), rows.columns - beside.columns);
        for (row, output) in outputs.enumerate() {
            // SAFETY: the room is one thread's; a row has the inputs and what is beside them.
            unsafe {
                let into = rows.row(row);
                write_row(simd, weight, output, into, inputs);
                // Without an adapter there is no memory of what is beside.
                if beside.columns > 0 {
                    into.add(inputs).copy_from_nonoverlapping(beside.row(output), beside.columns);
                }
            }
        }
        let into: *mut u32 = self.words.data_ptr().cast();
        // SAFETY: the rows have so many outputs and inputs, and there is room for their words.
        unsafe { Weight::Inputs(rows).lay_out(simd, &(0..count), &(0..rows.columns), into) };
        into
    }
}

fn floats(bias: Option<&Tensor>) -> Option<Vec<f32>> {
    bias.map(|bias| Vec::try_from(&bias.to_kind(Kind::Float)).expect("a vector"))
}

/// A tile's product with a block of rows, or half a tile's.
#[derive(Clone, Copy)]
struct Task<'a> {
    outputs: usize,
    bias: Option<&'a [f32]>,
    /// The first output.
    output: usize,
    /// The first row.
    row: usize,
    factors: Factors,
    /// The rows' sums so far, if there are any.
    sums: Option<*const f32>,
    how: Into,
}

impl Task<'_> {
    /// The same without the first rows.
    fn of_rows_from(self, row: usize) -> Self {
        let sums = self.sums.map(|sums| sums.wrapping_add(row * TILE));
        Self { row: self.row + row, factors: self.factors.of_rows_from(row), sums, ..self }
    }

    /// So many rows, in blocks.
    ///
    /// # Safety
    /// As in [`Task::run`].
    unsafe fn rows<S: Simd, N: Number, O: Number>(
        &self,
        simd: S,
        rows: usize,
        out: &impl Fn(usize, usize) -> *mut O,
    ) {
        let blocks = rows.div_ceil(rows_of_block::<S>());
        for block in 0..blocks {
            let own = share(rows, block, blocks);
            let at = self.of_rows_from(own.start);
            // SAFETY: the caller's promise.
            unsafe {
                if S::WIDE {
                    by_rows!(own.len(), M => at.run::<S, N, O, M, 2>(simd, out));
                    continue;
                }
                for half in [0, LANES] {
                    let weights = at.factors.weights.add(half);
                    let at =
                        Task { output: at.output + half, factors: Factors { weights, ..at.factors }, ..at };
                    by_rows!(own.len(), M => {
                        // Spares the compiler what is never called.
                        if M > NARROW_BLOCK {
                            unreachable!("a narrow block has fewer rows");
                        }
                        at.run::<S, N, O, M, 1>(simd, out);
                    });
                }
            }
        }
    }

    // Plain indices: the compiler then unrolls the block and keeps its sums in registers; it does not for iterators.
    /// # Safety
    /// The task's operands have its rows, inputs and outputs, and no other thread writes what `out` points to.
    #[allow(clippy::needless_range_loop)]
    unsafe fn run<S: Simd, N: Number, O: Number, const M: usize, const H: usize>(
        &self,
        simd: S,
        out: &impl Fn(usize, usize) -> *mut O,
    ) {
        run!(simd, {
            let count = self.outputs.saturating_sub(self.output);
            let mut start = [simd.splat(0.0); H];
            if let Some(bias) = self.bias {
                for half in (0..H).filter(|half| half * LANES < count) {
                    start[half] = simd.read_part(&bias[self.output + half * LANES..]);
                }
            }
            let mut sums = [start; M];
            if let Some(before) = self.sums {
                for m in 0..M {
                    for half in 0..H {
                        // SAFETY: there is a tile's line per row.
                        let before = unsafe { simd.load(before.add(m * TILE + half * LANES), LANES) };
                        sums[m][half] = sums[m][half] + before;
                    }
                }
            }
            // SAFETY: the caller's promise.
            sums = unsafe { accumulate::<S, N, M, H, AHEAD>(simd, sums, &self.factors) };
            let whole = count >= H * LANES;
            for m in 0..M {
                let into = out(self.row + m, self.output);
                for half in 0..H {
                    let (sum, into) = (sums[m][half], into.wrapping_add(half * LANES));
                    // A constant where it can be: the store is then one instruction.
                    let left = if whole { LANES } else { count.saturating_sub(half * LANES) };
                    // SAFETY: the caller's promise; where `left` is 0 nothing is read or written.
                    unsafe {
                        let sum = match self.how {
                            Into::Place => sum,
                            Into::Sum => sum + simd.load(into.cast_const(), left),
                        };
                        sum.store(into, left);
                    }
                }
            }
        });
    }
}
