//! Products of rows with a weight in bytes: a number is a whole multiple, from −127 to 127, of its row's or its output's
//! step. Twice as many products a second as in bf16, each result about a hundredth off: enough to put documents in order.
//!
//! The instruction wants one factor without a sign. It is the weight's, moved up by 128; 128·Σx, known of each row, is
//! taken off again. Sums are of whole numbers, so a result depends on nothing beside its row.

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;
use tch::{Device, Kind, Tensor};

use super::lanes::{Avx512, LANES, Make, Number, Vnni, Words};
use super::line::{EMPTY, Line};
use super::product::{Added, BLOCK, share};
use super::rows::{Rows, by_rows, for_rows};
use super::weight::TILE;
use crate::shim::parallel;

/// Bytes in a word.
const PER_WORD: usize = 4;

/// Bytes in a line, of which every row is a whole number.
const LINE: usize = PER_WORD * LANES;

/// What each byte of a word is moved by: 128, which turns its first bit.
const SHIFT: u32 = 0x8080_8080;

/// Bytes of the rows that a tile serves at a time: half of the second-level cache (choice).
const PANEL: usize = 512 << 10;

/// Rows that are worth a thread of their own (choice).
const ROWS_PER_THREAD: usize = 64;

/// A weight `[O, I]` in bytes.
#[derive(Debug)]
pub struct Int8Weight {
    inputs: usize,
    outputs: usize,
    /// Tile by tile of outputs, word by word of the inputs, that word of each output.
    tiles: Tensor,
    /// Of each output, f32; 0 of those that fill up the last tile.
    steps: Tensor,
}

impl Int8Weight {
    /// A weight of bf16 or f32 whose rows' numbers lie side by side on the CPU; `None` where that is not so, or the
    /// processor does not multiply bytes.
    pub fn of(weight_oi: &Tensor) -> Option<Self> {
        match weight_oi.kind() {
            Kind::Float => quantised::<f32>(weight_oi),
            Kind::BFloat16 => quantised::<bf16>(weight_oi),
            _ => None,
        }
    }

    /// Writes x·weightᵀ and what is `added`, as [`Product::plus`](crate::Product::plus) has it, into `out`.
    ///
    /// # Panics
    /// If they are not of one kind, bf16 or f32, or not on the CPU: a mistake of the calling code.
    pub fn product(&self, x: &Tensor, added: Option<&Tensor>, out: &Tensor) {
        let done = match out.kind() {
            Kind::Float => self.product_of::<f32>(x, added, out),
            _ => self.product_of::<bf16>(x, added, out),
        };
        done.expect("rows of one kind on the CPU");
    }

    fn product_of<N: Number>(&self, x: &Tensor, added: Option<&Tensor>, out: &Tensor) -> Option<()> {
        let vnni = Vnni::detect()?;
        let (x, out) = (Rows::<N>::of(x)?, Rows::<N>::of(out)?);
        assert_eq!((x.columns, out.columns, out.count), (self.inputs, self.outputs, x.count));
        let (rows, added) = (QuantisedRows::of(vnni, &x), Added::<N>::of(added)?);
        // Asked for once: libtorch takes its time over it.
        let task = Task {
            vnni,
            weight: self,
            tiles: self.tiles.data_ptr().cast(),
            output_steps: self.steps.data_ptr().cast(),
            rows: rows.bytes.data_ptr().cast(),
            row_steps: rows.steps.data_ptr().cast(),
            excess: rows.excess.data_ptr().cast(),
            added,
            out,
        };
        let parts = (out.count / ROWS_PER_THREAD).clamp(1, tch::get_num_threads().max(1) as usize);
        parallel(parts, 1, |range| {
            // SAFETY: the assertion above, and each part has rows of its own.
            range.for_each(|part| unsafe { task.part(share(out.count, part, parts)) });
        });
        Some(())
    }

    /// Bytes of an output's, or a row's, inputs.
    fn stride(&self) -> usize {
        self.inputs.next_multiple_of(LINE)
    }
}

fn quantised<N: Number>(weight: &Tensor) -> Option<Int8Weight> {
    let vnni = Vnni::detect()?;
    let rows = Rows::<N>::of(weight)?;
    let (outputs, inputs) = (rows.count, rows.columns);
    let (count, stride) = (outputs.div_ceil(TILE), inputs.next_multiple_of(LINE));
    let tiles = Tensor::empty([(count * TILE) as i64, stride as i64], (Kind::Int8, Device::Cpu));
    let steps = Tensor::zeros([(count * TILE) as i64], (Kind::Float, Device::Cpu));
    let (into, steps_at) = (tiles.data_ptr() as usize, steps.data_ptr() as usize);
    parallel(count, 1, |part| {
        for tile in part {
            // SAFETY: each tile, and its steps, is one thread's; both have room for 32 outputs.
            unsafe {
                let tile_at = (into as *mut u32).add(tile * TILE * stride / PER_WORD);
                lay_out(vnni.simd(), &rows, tile * TILE, stride, tile_at, steps_at as *mut f32);
            }
        }
    });
    Some(Int8Weight { inputs, outputs, tiles, steps })
}

thread_local! {
    /// Sixteen outputs' bytes, one after the other.
    static ROOM: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Lays out a tile and notes its steps.
///
/// # Safety
/// `tile` has room for 32 outputs of `stride` numbers, `steps` for the rows' steps, and no other thread writes them.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn lay_out<N: Number>(
    simd: Avx512,
    rows: &Rows<N>,
    first: usize,
    stride: usize,
    tile: *mut u32,
    steps: *mut f32,
) {
    ROOM.with_borrow_mut(|room| {
        for half in [0, LANES] {
            room.clear();
            room.resize(LANES * stride / LINE, EMPTY);
            let bytes: *mut i8 = room.as_mut_ptr().cast();
            for output in first + half..rows.count.min(first + half + LANES) {
                // SAFETY: there is room for sixteen, a step for each output.
                unsafe {
                    let into = bytes.add((output - first - half) * stride);
                    steps.add(output).write(quantise(simd, rows.row(output), rows.columns, into, stride));
                }
            }
            let shift = simd.word(SHIFT);
            for square in 0..stride / LINE {
                // SAFETY: each of the sixteen has `stride` numbers.
                let line =
                    |lane: usize| unsafe { simd.words(bytes.add(lane * stride + square * LINE).cast()) };
                for (word, line) in Words::transpose(std::array::from_fn(line)).into_iter().enumerate() {
                    // SAFETY: the tile has room for every word of its outputs.
                    unsafe { line.xor(shift).store(tile.add((square * LANES + word) * TILE + half)) };
                }
            }
        }
    });
}

/// Writes a row's numbers, and zeros behind them, as multiples of a step; returns the step, NaN where one of them is none
/// or infinite.
///
/// # Safety
/// `row` has `n` numbers, `into` room for `stride`, which is a multiple of sixteen and at least `n`.
#[inline(always)]
unsafe fn quantise<N: Number>(simd: Avx512, row: *const N, n: usize, into: *mut i8, stride: usize) -> f32 {
    let zero = simd.splat(0.0);
    // A byte cannot be NaN, and the largest number forgets it: zero times what is finite is zero.
    let (mut largest, mut odd) = (zero, zero);
    for at in (0..n).step_by(LANES) {
        // SAFETY: the row has `n` numbers, `into` has `stride`.
        let x = unsafe { simd.load(row.add(at), n - at) };
        largest = x.abs().max(largest);
        odd = x.mul_add(zero, odd);
    }
    let largest = largest.largest();
    let per_step = simd.splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    for at in (0..stride).step_by(LANES) {
        // SAFETY: likewise.
        unsafe {
            let x = simd.load(row.wrapping_add(at), n.saturating_sub(at));
            (x * per_step).store_bytes(into.add(at));
        }
    }
    largest / 127.0 + odd.sum()
}

/// Rows in bytes.
struct QuantisedRows {
    bytes: Tensor,
    /// Of each row, f32: its step.
    steps: Tensor,
    /// Of each row, i32: by how much a weight that is moved up makes its products larger.
    excess: Tensor,
}

impl QuantisedRows {
    fn of<N: Number>(vnni: Vnni, x: &Rows<N>) -> Self {
        let (count, stride) = (x.count as i64, x.columns.next_multiple_of(LINE));
        let bytes = Tensor::empty([count, stride as i64], (Kind::Int8, Device::Cpu));
        let steps = Tensor::empty([count], (Kind::Float, Device::Cpu));
        let excess = Tensor::empty([count], (Kind::Int, Device::Cpu));
        let [bytes_at, steps_at, excess_at] =
            [&bytes, &steps, &excess].map(|tensor| tensor.data_ptr() as usize);
        for_rows(x.count, stride, |i| {
            // SAFETY: each row is one thread's.
            unsafe {
                let into = (bytes_at as *mut i8).add(i * stride);
                let (step, sum) = row_of(vnni, x.row(i), x.columns, into, stride);
                (steps_at as *mut f32).add(i).write(step);
                (excess_at as *mut i32).add(i).write(128 * sum);
            }
        });
        Self { bytes, steps, excess }
    }
}

/// Writes a row in bytes; returns its step and the sum of its bytes.
///
/// # Safety
/// `row` has `n` numbers, `into` room for `stride`, a multiple of sixty-four and at least `n`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni")]
unsafe fn row_of<N: Number>(vnni: Vnni, row: *const N, n: usize, into: *mut i8, stride: usize) -> (f32, i32) {
    let simd = vnni.simd();
    // SAFETY: the caller's promise.
    let step = unsafe { quantise(simd, row, n, into, stride) };
    let (ones, mut sums) = (simd.word(0x0101_0101), simd.word(0));
    for at in (0..stride).step_by(LINE) {
        // SAFETY: `into` has `stride` numbers, a multiple of a line.
        sums = vnni.dot(sums, ones, unsafe { simd.words(into.add(at).cast()) });
    }
    (step, sums.sum())
}

struct Task<'a, N> {
    vnni: Vnni,
    weight: &'a Int8Weight,
    tiles: *const u32,
    output_steps: *const f32,
    rows: *const i8,
    row_steps: *const f32,
    excess: *const i32,
    added: Added<N>,
    out: Rows<N>,
}

// SAFETY: memory that outlives the task and is only read, but for `out`, of which threads have rows of their own.
unsafe impl<N: Number> Sync for Task<'_, N> {}

impl<N: Number> Task<'_, N> {
    /// Some rows' product.
    ///
    /// # Safety
    /// The rows are among the task's, and no other thread is given them.
    unsafe fn part(&self, rows: Range<usize>) {
        let panel = (PANEL / self.weight.stride()).max(BLOCK) / BLOCK * BLOCK;
        for start in rows.clone().step_by(panel) {
            let panel = start..rows.end.min(start + panel);
            let blocks = panel.len().div_ceil(BLOCK);
            for tile in 0..self.weight.outputs.div_ceil(TILE) {
                for block in 0..blocks {
                    let rows = share(panel.len(), block, blocks);
                    // SAFETY: the caller's promise.
                    unsafe { by_rows!(rows.len(), M => self.block::<M>(panel.start + rows.start, tile)) };
                }
            }
        }
    }

    // Plain indices: the compiler then unrolls the block and keeps its sums in registers; it does not for iterators.
    /// # Safety
    /// The M rows from `row` on and the tile are among the task's, and no other thread writes their results.
    #[allow(clippy::needless_range_loop)]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni")]
    unsafe fn block<const M: usize>(&self, row: usize, tile: usize) {
        let (vnni, simd, stride) = (self.vnni, self.vnni.simd(), self.weight.stride());
        let mut sums = [[simd.word(0); 2]; M];
        // SAFETY: the tile has a line of each half for every word of the rows.
        unsafe {
            let mut weights = self.tiles.add(tile * TILE * stride / PER_WORD);
            let mut x = self.rows.add(row * stride);
            for _ in 0..self.weight.inputs.div_ceil(PER_WORD) {
                let (low, high) = (simd.words(weights), simd.words(weights.add(LANES)));
                for m in 0..M {
                    let word = simd.broadcast(x.add(m * stride).cast());
                    sums[m][0] = vnni.dot(sums[m][0], low, word);
                    sums[m][1] = vnni.dot(sums[m][1], high, word);
                }
                weights = weights.add(TILE);
                x = x.add(PER_WORD);
            }
        }
        for m in 0..M {
            // SAFETY: the row is among the rows, the outputs are among the tile's; no more than `left` are written.
            unsafe {
                let (step, excess) = (*self.row_steps.add(row + m), *self.excess.add(row + m));
                for half in 0..2 {
                    let output = tile * TILE + half * LANES;
                    let left = self.weight.outputs.saturating_sub(output).min(LANES);
                    let steps = simd.load(self.output_steps.add(output), LANES);
                    let sum = sums[m][half].plus(-excess).lanes() * (steps * simd.splat(step));
                    let sum = self.added.to(simd, sum, row + m, output, left);
                    sum.store(self.out.row(row + m).wrapping_add(output), left);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::random;

    /// A matrix as its bytes say it is: each row in multiples of its largest number's 127th.
    fn rounded(x: &Tensor) -> Tensor {
        let step = x.abs().amax([1], true) / 127.0;
        (x / &step).nan_to_num(0.0, None, None).round() * step
    }

    #[test]
    fn a_product_is_that_of_the_rounded_factors() {
        if !crate::backend::runs_test_of(crate::Backend::Avx512Bf16) {
            return;
        }
        // Rests of rows, of words, of lines and of tiles; one row of zeros.
        for (kind, [rows, inputs, outputs]) in [
            (Kind::Float, [1, 5, 3]),
            (Kind::Float, [40, 64, 32]),
            (Kind::BFloat16, [29, 131, 70]),
            (Kind::BFloat16, [300, 576, 96]),
        ] {
            let numbers = |size: [i64; 2], seed| random(&size, seed).to_kind(kind);
            let (weight, residual) = (numbers([outputs, inputs], 1), numbers([rows, outputs], 2));
            // Rows that lie apart.
            let x = numbers([rows, inputs + 7], 3).narrow(1, 0, inputs);
            let _ = x.get(0).zero_();
            let int8 = Int8Weight::of(&weight).expect("the processor multiplies int8");
            let float = |x: &Tensor| x.to_kind(Kind::Float);
            let bias = random(&[outputs], 4).to_kind(Kind::Float);
            for added in [None, Some(&residual), Some(&bias)] {
                let out = Tensor::empty([rows, outputs], (kind, Device::Cpu));
                int8.product(&x, added, &out);
                let mut expected = rounded(&float(&x)).mm(&rounded(&float(&weight)).tr());
                if let Some(added) = added {
                    expected += float(added);
                }
                let off = f64::try_from((float(&out) - &expected).abs().max()).unwrap();
                let largest = f64::try_from(expected.abs().max()).unwrap();
                // The result's own rounding; ties in bf16 may round the other way here and there.
                let allowed = if kind == Kind::Float { 1e-5 } else { 5e-3 };
                assert!(off <= allowed * largest.max(1.0), "{kind:?} {rows} {inputs} {outputs}: {off}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        if !crate::backend::runs_test_of(crate::Backend::Avx512Bf16) {
            return;
        }
        for (kind, wrong) in [
            (Kind::Float, f64::NAN),
            (Kind::Float, f64::INFINITY),
            (Kind::BFloat16, f64::NAN),
            (Kind::BFloat16, f64::NEG_INFINITY),
        ] {
            let numbers = |seed| random(&[2, 64], seed).to_kind(kind);
            let product = |x: &Tensor, weight: &Tensor| {
                let out = Tensor::empty([2, 2], (kind, Device::Cpu));
                Int8Weight::of(weight).expect("the processor multiplies int8").product(x, None, &out);
                Vec::<bool>::try_from(out.isfinite().flatten(0, -1)).unwrap()
            };
            let spoilt = |seed| {
                let numbers = numbers(seed);
                let _ = numbers.get(1).get(3).fill_(wrong);
                numbers
            };
            assert_eq!(product(&spoilt(1), &numbers(2)), [true, true, false, false], "{kind:?} {wrong}");
            assert_eq!(product(&numbers(1), &spoilt(2)), [true, false, true, false], "{kind:?} {wrong}");
        }
    }

    #[test]
    fn rounding_costs_about_a_hundredth() {
        if !crate::backend::runs_test_of(crate::Backend::Avx512Bf16) {
            return;
        }
        let [x, weight] = [64, 128].map(|n| random(&[n, 576], n as u64).to_kind(Kind::Float));
        let int8 = Int8Weight::of(&weight).expect("the processor multiplies int8");
        let out = Tensor::empty([64, 128], (Kind::Float, Device::Cpu));
        int8.product(&x, None, &out);
        let exact = x.mm(&weight.tr());
        let off = f64::try_from((out - &exact).square().mean(Kind::Double).sqrt()).unwrap();
        let size = f64::try_from(exact.square().mean(Kind::Double).sqrt()).unwrap();
        assert!(off < 0.015 * size, "{off} of {size}");
    }

    #[test]
    fn a_row_does_not_depend_on_those_beside_it() {
        if !crate::backend::runs_test_of(crate::Backend::Avx512Bf16) {
            return;
        }
        let [x, weight] = [200, 64].map(|n| random(&[n, 96], n as u64).to_kind(Kind::Float));
        let int8 = Int8Weight::of(&weight).expect("the processor multiplies int8");
        let [all, one] = [200, 1].map(|rows| Tensor::empty([rows, 64], (Kind::Float, Device::Cpu)));
        int8.product(&x, None, &all);
        int8.product(&x.narrow(0, 131, 1), None, &one);
        assert_eq!(all.narrow(0, 131, 1), one);
    }
}
