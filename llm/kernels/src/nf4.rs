//! Frozen weights in four bits: `NormalFloat`, the type of `QLoRA` (Dettmers et al., 2023). Of every 64 numbers of a row the
//! largest size is kept in f32, and of each number which of sixteen levels, quantiles of a normal distribution, is nearest
//! to its share of it: four and a half bits a number. Products are those of the numbers that the levels stand for, which
//! are written out for one product at a time.
//!
//! Eight numbers are in a word, sixteen words in a line of 128 numbers: number 16·k + i of a line is in bits 4·k to 4·k + 3
//! of word i, so that one look into the levels gives sixteen numbers that lie side by side. A row begins with a line of its own.

use tch::{Device, Kind, Tensor};

/// Numbers that share a scale.
pub(crate) const BLOCK: i64 = 64;

/// Words of a line.
pub(crate) const WORDS: i64 = 16;

/// Numbers in a word.
const PER_WORD: i64 = 8;

/// Numbers of a line.
pub(crate) const LINE: i64 = WORDS * PER_WORD;

/// The levels as the paper's authors publish them, from −1 to 1 with 0 among them.
pub(crate) const LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Numbers that are rounded at a time (choice: the indices on the way take eight times a number's bytes in bf16).
const AT_A_TIME: i64 = 4 << 20;

/// Half-way between a level and the next one.
pub(crate) fn borders() -> [f32; 15] {
    std::array::from_fn(|level| f32::midpoint(LEVELS[level], LEVELS[level + 1]))
}

/// By how much each of a word's numbers is shifted, `[8, 1]`.
fn shifts(device: Device) -> Tensor {
    Tensor::arange_start_step(0, 4 * PER_WORD, 4, (Kind::Int, device)).view([PER_WORD, 1])
}

/// A weight `[O, I]` in four bits.
#[derive(Debug)]
pub struct Nf4Weight {
    inputs: i64,
    /// Words `[O, lines · 16]`.
    pub(crate) words: Tensor,
    /// f32 `[O, lines · 2]`, of the numbers that fill up a row 0.
    pub(crate) scales: Tensor,
}

impl Nf4Weight {
    /// One without its numbers.
    pub(crate) fn empty([outputs, inputs]: [i64; 2], device: Device) -> Self {
        let lines = (inputs + LINE - 1) / LINE;
        let words = Tensor::empty([outputs, lines * WORDS], (Kind::Int, device));
        let scales = Tensor::empty([outputs, lines * (LINE / BLOCK)], (Kind::Float, device));
        Self { inputs, words, scales }
    }

    /// [`Nf4Weight::of`] by libtorch's operators.
    pub(crate) fn hold_plainly(&self, weight_oi: &Tensor) {
        let (device, lines) = (self.device(), self.words.size()[1] / WORDS);
        let borders = Tensor::from_slice(&borders()).to_device(device);
        for (first, rows) in self.parts() {
            let numbers = Tensor::zeros([rows, lines * LINE], (Kind::Float, device));
            numbers.narrow(1, 0, self.inputs).copy_(&weight_oi.narrow(0, first, rows));
            let blocks = numbers.view([rows, -1, BLOCK]);
            let largest = blocks.abs().amax([-1], true);
            self.scales.narrow(0, first, rows).copy_(&largest.squeeze_dim(-1));
            // Where all is zero, so is the scale, whatever the level.
            let shares = blocks / largest.clamp_min(f64::from(f32::MIN_POSITIVE));
            let levels = shares.bucketize(&borders, true, false).view([rows, lines, PER_WORD, WORDS]);
            // The bits do not overlap, so that their sum has them all.
            let packed = levels.bitwise_left_shift(&shifts(device)).sum_dim_intlist(2, false, Kind::Int);
            self.words.narrow(0, first, rows).copy_(&packed.view([rows, lines * WORDS]));
        }
    }

    /// The same weight once more, in the same memory.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self { inputs: self.inputs, words: self.words.shallow_clone(), scales: self.scales.shallow_clone() }
    }

    /// I.
    pub fn inputs(&self) -> i64 {
        self.inputs
    }

    /// O.
    pub fn outputs(&self) -> i64 {
        self.words.size()[0]
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        self.words.device()
    }

    /// Of the rows that are rounded at a time: the first, and how many.
    fn parts(&self) -> impl Iterator<Item = (i64, i64)> {
        let (outputs, step) = (self.outputs(), (AT_A_TIME / self.inputs.max(1)).max(1));
        (0..outputs).step_by(step as usize).map(move |first| (first, step.min(outputs - first)))
    }

    /// [`Nf4Weight::write`] by libtorch's operators.
    pub(crate) fn write_plainly(&self, out_oi: &Tensor) {
        let device = self.device();
        let levels = Tensor::from_slice(&LEVELS).to_device(device);
        for (first, rows) in self.parts() {
            let words = self.words.narrow(0, first, rows).view([rows, -1, 1, WORDS]);
            let indices = words.bitwise_right_shift(&shifts(device)).bitwise_and(15);
            let shares = levels.index_select(0, &indices.flatten(0, -1)).view([rows, -1, BLOCK]);
            let numbers = shares * self.scales.narrow(0, first, rows).unsqueeze(-1);
            let numbers = numbers.view([rows, -1]).narrow(1, 0, self.inputs);
            out_oi.narrow(0, first, rows).copy_(&numbers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::random;

    /// Each number of a row as the level that is nearest to its share of its block's largest, found by looking at all.
    fn nearest(row: &[f32]) -> Vec<f32> {
        row.chunks(BLOCK as usize)
            .flat_map(|block| {
                let largest = block.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                block.iter().map(move |x| {
                    let off = |level: &f32| (level * largest - x).abs();
                    let best = LEVELS.into_iter().min_by(|a, b| off(a).total_cmp(&off(b)));
                    best.expect("there are levels") * largest
                })
            })
            .collect()
    }

    #[test]
    fn every_number_becomes_the_nearest_level_of_its_block() {
        // Rests of lines and of blocks, and a row of zeros.
        for inputs in [1, 63, 64, 100, 128, 576, 700] {
            let weight = random(&[5, inputs], 1).to_kind(Kind::Float);
            let _ = weight.get(3).zero_();
            let held = Nf4Weight::of(&weight);
            let plainly =
                Nf4Weight { inputs, words: held.words.zeros_like(), scales: held.scales.zeros_like() };
            plainly.hold_plainly(&weight);
            assert!(held.words.equal(&plainly.words) && held.scales.equal(&plainly.scales));
            for (kind, tolerance) in [(Kind::Float, 1e-7), (Kind::BFloat16, 4e-3)] {
                for write in [Nf4Weight::write, Nf4Weight::write_plainly] {
                    // Rows that lie apart, and what is beside them stays.
                    let around = Tensor::full([5, inputs + 24], 7.0, (kind, Device::Cpu));
                    write(&held, &around.narrow(1, 8, inputs));
                    for row in 0..5 {
                        let numbers =
                            |x: &Tensor| Vec::<f32>::try_from(x.get(row).to_kind(Kind::Float)).unwrap();
                        let (found, wanted) = (numbers(&around), nearest(&numbers(&weight)));
                        let (before, rest) = found.split_at(8);
                        let (found, after) = rest.split_at(inputs as usize);
                        assert!(before.iter().chain(after).all(|x| *x == 7.0));
                        for (found, wanted) in found.iter().zip(&wanted) {
                            assert!((found - wanted).abs() <= tolerance * wanted.abs(), "{found} {wanted}");
                        }
                    }
                }
            }
        }
    }

    /// Which level `bitsandbytes` 0.50.2 (`functional.quantize_4bit`, blocks of 64) gives each number of the test below, and
    /// the largest size of each block.
    const THEIRS: &str = "\
        0a2e61c3f91d50b3e71c4f92e60b3e81d50a2e71c4f91d50b3e71d4fa2e61c3f\
        81d50a2e71c4f92e60b3e81d50a2e61c3f91d50b3e71c4fa2e60b3f81d50a2e7\
        1c4f92d60b3e81d4fa2e61c3f81d50b2e71c4f92e60b3e81d50a2e71c4f91d50\
        b3e71d4fa2e61c3f81d50a2e71c4f92d60b3e81d40a2e61c3f91d50b3e71c4f9\
        2e60b3e81d50a2e71c4f91d50b3e81d4fa2e60c3f81d50b2e71c4f92e60b3e81\
        d50a2e61c3f91d50b3e71c4fa2e60b3f81d50a2e71c4f92d60b3e81d4fa2e61c\
        3f81d50b2e71c4f92e60b3e81d50a2e71c4f91d50b3e71d4fa2e60c3f81d50a2\
        e71c4f92d60b3e81d40a2e61c3f91d50b3e71c4f92e60b3e81d50a2e71c4f91d\
        ";
    const THEIR_SCALES: [f32; 8] =
        [1.0, 1.982_482_9, 2.975_097_7, 0.999_542_24, 1.966_796_9, 2.976_471, 0.982_025_15, 1.998_169];

    #[test]
    fn levels_are_those_of_bitsandbytes() {
        let number = |i: i64| ((i * 40_503 % 65_536 - 32_768) as f32 / 32_768.0) * (1 + i / 64 % 3) as f32;
        let weight = Tensor::from_slice(&(0..512).map(number).collect::<Vec<_>>()).view([4, 128]);
        let written = weight.empty_like();
        Nf4Weight::of(&weight).write(&written);
        let theirs = THEIRS.chars().filter_map(|level| level.to_digit(16)).enumerate();
        let theirs: Vec<f32> =
            theirs.map(|(i, level)| LEVELS[level as usize] * THEIR_SCALES[i / 64]).collect();
        assert_eq!(Vec::<f32>::try_from(written.flatten(0, -1)).unwrap(), theirs);
    }

    #[test]
    fn a_weight_that_was_held_so_comes_back_exactly() {
        let first = Tensor::empty([7, 640], (Kind::Float, Device::Cpu));
        Nf4Weight::of(&random(&[7, 640], 2).to_kind(Kind::Float)).write(&first);
        let again = Tensor::empty([7, 640], (Kind::Float, Device::Cpu));
        let held = Nf4Weight::of(&first);
        held.write(&again);
        assert!(again.equal(&first));
        let bytes = 4 * (held.words.numel() + held.scales.numel());
        assert_eq!(bytes * 8, 7 * 640 * 9 / 2);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for wrong in [f32::NAN, f32::INFINITY] {
            let weight = random(&[2, 64], 2).to_kind(Kind::Float);
            let _ = weight.get(1).get(5).fill_(f64::from(wrong));
            let written = weight.empty_like();
            Nf4Weight::of(&weight).write(&written);
            let finite = |row| written.get(row).isfinite();
            assert!(finite(0).all().int64_value(&[]) == 1 && finite(1).get(5).int64_value(&[]) == 0);
        }
    }

    #[test]
    fn kernels_and_operators_write_the_same() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let held = Nf4Weight::of(&random(&[33, 1000], 3).to_kind(kind));
            let [by_kernel, plain] = [0, 1].map(|_| Tensor::empty([33, 1000], (kind, Device::Cpu)));
            held.write(&by_kernel);
            held.write_plainly(&plain);
            assert!(by_kernel.equal(&plain));
        }
    }
}
