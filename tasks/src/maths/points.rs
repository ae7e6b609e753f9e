//! The values that variables are tried with.

use num_traits::One;
use sha2::{Digest, Sha256};

use super::contents::Contents;
use super::value::{Rational, Value};

/// How many points must have a value of both expressions.
pub(super) const ENOUGH: usize = 3;

/// Whole numbers, the first for surveys: small ones, powers of two, three and ten and their neighbours, squares, and below
/// zero. Rounding down and up differ at few of them.
const WHOLE: [i64; 32] = [
    7, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 15, 16, 17, 25, 27, 32, 36, 63, 99, 100, 101, 1000, 4095,
    1_000_003, 0, -1, -2, -3, -8,
];

/// Real numbers are drawn from between these halves: four from 0.5 to 2.5, larger ones, and negative ones.
const BETWEEN: [(i64, i64); 10] =
    [(1, 5), (1, 5), (1, 5), (1, 5), (5, 24), (24, 200), (-5, -1), (-5, -1), (-24, -5), (-1, 0)];

/// From which of those on numbers are negative.
const NEGATIVE: usize = 6;

/// A value for every variable.
#[derive(Clone, Debug)]
pub(super) struct Point {
    kind: Kind,
    number: usize,
    /// Whether variables of one point have different signs.
    is_mixed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Real,
    /// One variable, a whole number.
    Whole,
    /// Several variables, positive whole numbers.
    WholeDrawn,
}

impl Point {
    /// Where expressions are read to see what they contain.
    pub(super) fn first() -> Self {
        Self { kind: Kind::Real, number: 0, is_mixed: false }
    }

    /// The points that tell two expressions from each other.
    ///
    /// - Variables under a floor, a ceiling or as a negative number's exponent are whole numbers.
    /// - A single variable may be negative. Several are taken for quantities such as lengths and masses, which are
    ///   positive, unless an absolute value says that they need not be: `r√G` is another spelling of `√(r²G)`.
    pub(super) fn all(contents: &Contents) -> Vec<Self> {
        let is_single = contents.variables.len() == 1;
        let (kind, count) = match (contents.is_whole, is_single) {
            (_, false) if contents.variables.is_empty() => (Kind::Real, 1),
            (true, true) => (Kind::Whole, WHOLE.len()),
            (true, false) => (Kind::WholeDrawn, WHOLE.len()),
            (false, _) if is_single || contents.has_absolute => (Kind::Real, BETWEEN.len()),
            (false, _) => (Kind::Real, NEGATIVE),
        };
        (0..count)
            .map(|number| Self { kind, number, is_mixed: contents.has_absolute && !is_single })
            .collect()
    }

    /// Whether variables may be negative here. There an expression without real value counts as undefined, because the
    /// rules of powers and logarithms hold only for one of their complex values.
    pub(super) fn is_negative(&self) -> bool {
        match self.kind {
            Kind::Real => self.is_mixed || self.number >= NEGATIVE,
            Kind::Whole => WHOLE[self.number] < 0,
            Kind::WholeDrawn => false,
        }
    }

    /// The value of a variable: a fraction whose denominator is a power of two.
    pub(super) fn value(&self, name: &str) -> Value {
        let hash = Sha256::new().chain_update([self.number as u8]).chain_update(name).finalize();
        let bits = i64::from(u16::from_le_bytes([hash[0], hash[1]]) >> 4);
        let number = match self.kind {
            Kind::Whole => return Value::from(WHOLE[self.number]),
            Kind::WholeDrawn => {
                // Up to 12 at half of the points, so that n is often below k and often above; else up to 4096.
                return Value::from(if self.number.is_multiple_of(2) { bits % 12 + 1 } else { bits + 1 });
            }
            Kind::Real => {
                let (low, high) = BETWEEN[self.number];
                let number = low * 4096 + bits * (high - low);
                let flips = self.is_mixed && hash[2].is_multiple_of(2);
                if flips { -number } else { number }
            }
        };
        let below = num_bigint::BigInt::one() << 13u32;
        Value::Exact(Rational::new(number.into(), below))
    }
}
