//! Weights in four bits, taken up and written out.

use tch::{Device, Tensor};

use super::lanes::{LANES, Make, Number, Simd, run};
use super::rows::{Rows, by_kind, floats, for_rows};
use crate::nf4::{BLOCK, LEVELS, LINE, Nf4Weight, WORDS, borders};

const _: () = assert!(WORDS as usize == LANES && LEVELS.len() == LANES);

/// Blocks of a line.
const BLOCKS: usize = (LINE / BLOCK) as usize;

pub(crate) fn nf4(weight: &Nf4Weight, out: &Tensor) -> Option<()> {
    by_kind!(out, write(weight, out))
}

pub(crate) fn hold_nf4(weight: &Tensor, into: &Nf4Weight) -> Option<()> {
    by_kind!(weight, hold(weight, into))
}

fn hold<S: Simd, N: Number>(simd: S, weight: &Tensor, into: &Nf4Weight) -> Option<()> {
    let from = Rows::<N>::of(weight)?;
    let (words, scales) = (into.words.data_ptr() as usize, into.scales.data_ptr() as usize);
    let lines = into.words.size()[1] as usize / LANES;
    let borders = borders();
    for_rows(from.count, from.columns, |i| {
        // SAFETY: each row is one thread's, and has so many lines.
        let (words, scales) = unsafe {
            let words = (words as *mut [u32; LANES]).add(i * lines);
            let scales = (scales as *mut [f32; BLOCKS]).add(i * lines);
            (std::slice::from_raw_parts_mut(words, lines), std::slice::from_raw_parts_mut(scales, lines))
        };
        for (line, (words, scales)) in words.iter_mut().zip(scales).enumerate() {
            let at = line * LINE as usize;
            // SAFETY: no more are read than the row has.
            unsafe { hold_line(simd, &borders, from.row(i).add(at), from.columns - at, words, scales) };
        }
    });
    Some(())
}

/// Takes up a line, of which the row may have fewer numbers.
///
/// # Safety
/// `left` numbers lie at `from`, or a line of them.
unsafe fn hold_line<S: Simd, N: Number>(
    simd: S,
    borders: &[f32; 15],
    from: *const N,
    left: usize,
    words: &mut [u32; LANES],
    scales: &mut [f32; BLOCKS],
) {
    run!(simd, {
        *words = [0; LANES];
        for (block, scale) in scales.iter_mut().enumerate() {
            let mut numbers = [[0.0_f32; LANES]; BLOCK as usize / LANES];
            for (quarter, numbers) in numbers.iter_mut().enumerate() {
                let at = block * BLOCK as usize + quarter * LANES;
                // SAFETY: the caller's promise.
                unsafe { simd.load(from.wrapping_add(at), left.saturating_sub(at)) }.write(numbers);
            }
            // Once NaN, it stays NaN.
            let larger = |most: f32, x: &f32| if x.abs() > most || x.is_nan() { x.abs() } else { most };
            *scale = numbers.as_flattened().iter().fold(0.0, larger);
            // Where all is zero, so is the scale, whatever the level.
            let largest = scale.max(f32::MIN_POSITIVE);
            for (quarter, numbers) in numbers.iter().enumerate() {
                let shift = 4 * (block * BLOCK as usize / LANES + quarter);
                for (word, x) in words.iter_mut().zip(numbers) {
                    let share = x / largest;
                    let level: u32 = borders.iter().map(|border| u32::from(share > *border)).sum();
                    *word |= level << shift;
                }
            }
        }
    });
}

fn write<S: Simd, N: Number>(simd: S, weight: &Nf4Weight, out: &Tensor) -> Option<()> {
    let out = Rows::<N>::of(out)?;
    let weight = Place::of(weight)?;
    for_rows(out.count, out.columns, |i| {
        // SAFETY: each row is one thread's.
        unsafe { write_row(simd, &weight, i, out.row(i), out.columns) };
    });
    Some(())
}

/// Where a weight's numbers lie.
pub(super) struct Place<'a> {
    words: &'a [i32],
    scales: &'a [f32],
    /// Of a row.
    lines: usize,
}

impl<'a> Place<'a> {
    pub(super) fn of(weight: &'a Nf4Weight) -> Option<Self> {
        let (words, count) = (&weight.words, weight.words.numel());
        if words.device() != Device::Cpu || !words.is_contiguous() {
            return None;
        }
        // SAFETY: so many words lie there as long as the weight lives, and nobody writes to them.
        let words = unsafe { std::slice::from_raw_parts(words.data_ptr().cast(), count) };
        let lines = weight.words.size()[1] as usize / LANES;
        Some(Self { words, scales: floats(&weight.scales)?, lines })
    }
}

/// Writes out the numbers of a row.
///
/// # Safety
/// `out` has room for `n` numbers.
pub(super) unsafe fn write_row<S: Simd, N: Number>(
    simd: S,
    weight: &Place,
    row: usize,
    out: *mut N,
    n: usize,
) {
    let Place { words, scales, lines } = *weight;
    let words = &words[row * lines * LANES..][..lines * LANES];
    let scales = &scales[row * lines * BLOCKS..][..lines * BLOCKS];
    run!(simd, {
        let levels = simd.read(&LEVELS);
        for (line, (words, scales)) in words.chunks_exact(LANES).zip(scales.chunks_exact(BLOCKS)).enumerate()
        {
            // SAFETY: there are sixteen.
            let mut words = unsafe { simd.words(words.as_ptr().cast()) };
            for (block, scale) in scales.iter().enumerate() {
                let levels = levels * simd.splat(*scale);
                for quarter in 0..BLOCK as usize / LANES {
                    let at = line * LINE as usize + block * BLOCK as usize + quarter * LANES;
                    if at >= n {
                        return;
                    }
                    // SAFETY: no more are written than `out` has room for.
                    unsafe { levels.chosen_by(words).store(out.add(at), n - at) };
                    words = words.without_lowest_four_bits();
                }
            }
        }
    });
}
