//! What dropout drops: a function of a key per row and of the number's place in it, so that nothing is stored, a backward
//! pass finds the same again, and no result depends on what else is computed beside it.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::upload::upload;

/// Which numbers of some rows are dropped. Rows are of numbers (a projection's input, a layer's result) or of attention
/// probabilities, whose places `Mask::place` gives.
///
/// 16 random bits decide on a number: half of the finaliser of `MurmurHash3` of two neighbouring places, keyed twice.
#[derive(Debug)]
pub struct Mask {
    /// A number is dropped if its bits are below this.
    threshold: u16,
    /// Rows before this one keep everything, and are not scaled.
    first: usize,
    keys: Vec<[u32; 2]>,
}

/// How many values 16 bits have.
const VALUES: f64 = 65_536.0;

/// What pairs of places are spread by before they are mixed (2³²/φ, odd).
pub(super) const SPREAD: u32 = 0x9e37_79b1;

/// The finaliser's multipliers.
pub(super) const FACTORS: [u32; 2] = [0x85eb_ca6b, 0xc2b2_ae35];

/// Places of one head's keys: more than any sequence is long.
const HEAD: u32 = 1 << 24;

impl Mask {
    /// Drops numbers at `rate`, to the next of 65,536 steps, in the rows from `first` on; a key per row.
    pub fn new(rate: f64, first: usize, keys: Vec<[u32; 2]>) -> Self {
        Self { threshold: (rate * VALUES).round() as u16, first, keys }
    }

    /// What the kept are multiplied by, for the mean to stay.
    pub fn scale(&self) -> f64 {
        VALUES / (VALUES - f64::from(self.threshold))
    }

    pub(super) fn threshold(&self) -> u16 {
        self.threshold
    }

    /// The key of a row, if it loses anything.
    pub(super) fn key(&self, row: usize) -> Option<[u32; 2]> {
        (row >= self.first).then(|| self.keys[row])
    }

    /// The place of a head's probability for a key (by its position in the document).
    pub(super) fn place(head: usize, key: usize) -> u32 {
        head as u32 * HEAD + key as u32
    }

    /// Multiplies the rows that lost something, for the mean to stay.
    pub fn rescale(&self, x: &Tensor) {
        let rows = x.size()[0];
        let first = (self.first as i64).min(rows);
        let _ = x.narrow(0, first, rows - first).g_mul_scalar_(self.scale());
    }

    /// How many rows it is for.
    pub(crate) fn rows(&self) -> usize {
        self.keys.len()
    }

    /// `scale` for the rows that lose something and 1 for the others, `[rows, 1]`.
    pub(super) fn factors(&self, rows: Range<usize>, scale: f64, kind: Kind, device: Device) -> Tensor {
        let of = |row| if row < self.first { 1.0 } else { scale };
        let factors: Vec<f64> = rows.map(of).collect();
        upload(&factors, device).to_kind(kind).unsqueeze(1)
    }

    /// Which of the places are kept in some rows, bool `[rows, places]`, by operators in 64 bits of which the lower 32
    /// count.
    pub(super) fn kept(&self, rows: Range<usize>, places: &[u32], device: Device) -> Tensor {
        let column = |values: Vec<i64>| upload(&values, device);
        let [a, b] = [0, 1].map(|half| {
            column(self.keys[rows.clone()].iter().map(|key| i64::from(key[half])).collect()).unsqueeze(1)
        });
        let pairs = column(places.iter().map(|place| i64::from((place / 2).wrapping_mul(SPREAD))).collect());
        let shifts = column(places.iter().map(|place| i64::from(place % 2) * 16).collect());
        let folded = |x: &Tensor, by: i64| x.bitwise_xor_tensor(&x.bitwise_right_shift_tensor_scalar(by));
        let times = |x: Tensor, by: u32| (x * i64::from(by)).bitwise_and(0xffff_ffff_i64);
        let x = times(folded(&pairs.unsqueeze(0).bitwise_xor_tensor(&a), 16), FACTORS[0]);
        let x = times(folded(&x, 13).bitwise_xor_tensor(&b), FACTORS[1]);
        let bits = folded(&x, 16).bitwise_right_shift(&shifts.unsqueeze(0)).bitwise_and(0xffff_i64);
        let kept = bits.ge(i64::from(self.threshold));
        let fixed = self.first.saturating_sub(rows.start).min(rows.len());
        let _ = kept.narrow(0, 0, fixed as i64).fill_(1);
        kept
    }
}
