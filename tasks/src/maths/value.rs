//! Numbers that are exact as long as they can be, and know otherwise how far they may be off.

use num_bigint::BigInt;
use num_complex::Complex64;
use num_rational::Ratio;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use super::budget::Budget;

pub(super) type Rational = Ratio<BigInt>;

/// Bits of an exact number's numerator and denominator together, enough for 1000!; longer ones go on as floating point.
pub(super) const LARGEST: u64 = 10_000;

/// Relative difference up to which numbers are taken for equal unless both are exact.
const NEAR: f64 = 1e-9;

/// Error bounds are of first order; differences up to this multiple count as rounding.
const SLACK: f64 = 4.0;

/// Error, relative to the number, from which floating point says nothing any more.
const WORTHLESS: f64 = 1e-7;

/// Error of a number that may be zero, from which floating point says nothing any more.
const WORTHLESS_ZERO: f64 = 1e-6;

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A rational number.
    Exact(Rational),
    /// A complex number in floating point, with a bound on its absolute error.
    Near(Complex64, f64),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Exact(Rational::from_integer(number.into()))
    }
}

impl Value {
    /// A number in floating point that is off by this much at most; `None` if nothing can be said of it.
    pub(super) fn near(number: Complex64, error: f64) -> Option<Self> {
        let error = error + 2.0 * f64::EPSILON * number.norm();
        // Adding 0 makes −0 a 0, which is on the other side of the branch cuts.
        let number = Complex64::new(number.re + 0.0, number.im + 0.0);
        let is_sure = error <= WORTHLESS * number.norm();
        let is_zero = number.norm() <= SLACK * error && error <= WORTHLESS_ZERO;
        // Smaller numbers have lost digits.
        let is_normal = number.norm() >= f64::MIN_POSITIVE;
        let is_known = number.is_finite() && error.is_finite() && ((is_sure && is_normal) || is_zero);
        is_known.then_some(Self::Near(number, error))
    }

    /// The same for what is not zero; `None` if it is too small for floating point.
    pub(super) fn near_and_not_zero(number: Complex64, error: f64) -> Option<Self> {
        if number.norm() == 0.0 { None } else { Self::near(number, error) }
    }

    pub(super) fn pi() -> Self {
        Self::Near(std::f64::consts::PI.into(), f64::EPSILON * 4.0)
    }

    pub(super) fn e() -> Self {
        Self::Near(std::f64::consts::E.into(), f64::EPSILON * 4.0)
    }

    pub(super) fn i() -> Self {
        Self::Near(Complex64::i(), 0.0)
    }

    /// The number in floating point and its error.
    pub(super) fn floating(&self) -> Option<(Complex64, f64)> {
        match self {
            Self::Near(number, error) => Some((*number, *error)),
            Self::Exact(number) => {
                let float = to_f64(number)?;
                let is_whole = number.is_integer() && float.abs() < 9e15;
                Some((float.into(), if is_whole { 0.0 } else { f64::EPSILON * float.abs() }))
            }
        }
    }

    /// The real number in floating point and its error, if it is real.
    pub(super) fn real(&self) -> Option<(f64, f64)> {
        let (number, error) = self.floating()?;
        (number.im.abs() <= SLACK * error).then_some((number.re, error))
    }

    /// The whole number that it is. In floating point: that it may be.
    pub(super) fn whole(&self) -> Option<BigInt> {
        match self {
            Self::Exact(number) => number.is_integer().then(|| number.numer().clone()),
            Self::Near(..) => {
                let (number, error) = self.real()?;
                let whole = (number - number.round()).abs() <= SLACK * error && number.abs() < 9e15;
                whole.then(|| BigInt::from(number.round() as i64))
            }
        }
    }

    /// The largest whole number up to a real one.
    pub(super) fn floor(&self) -> Option<Self> {
        let whole = match (self.whole(), self) {
            (Some(whole), _) => whole,
            (None, Self::Exact(number)) => number.floor().to_integer(),
            (None, Self::Near(..)) => {
                let (number, _) = self.real().filter(|(number, _)| number.abs() < 9e15)?;
                BigInt::from(number.floor() as i64)
            }
        };
        Some(Self::Exact(Rational::from_integer(whole)))
    }

    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Exact(number) => number.is_zero(),
            Self::Near(number, error) => number.norm() <= SLACK * error,
        }
    }

    pub(super) fn is_negative(&self) -> bool {
        match self {
            Self::Exact(number) => number.is_negative(),
            Self::Near(number, error) => number.re < -SLACK * error && number.im.abs() <= SLACK * error,
        }
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Self::Exact(number) => Self::Exact(-number),
            Self::Near(number, error) => Self::Near(Complex64::new(0.0 - number.re, 0.0 - number.im), error),
        }
    }

    pub(super) fn magnitude(&self) -> Option<Self> {
        match self {
            Self::Exact(number) => Some(Self::Exact(number.abs())),
            Self::Near(number, error) => Self::near(number.norm().into(), *error),
        }
    }

    /// An operation on exact numbers if both are and the result is short enough to stay so.
    fn exactly(
        &self,
        other: &Self,
        budget: &Budget,
        on_whole: fn(&BigInt, &BigInt) -> BigInt,
        on_any: fn(&Rational, &Rational) -> Rational,
    ) -> Option<Self> {
        let (Self::Exact(one), Self::Exact(two)) = (self, other) else { return None };
        let bits = bits(one) + bits(two);
        let whole = one.is_integer() && two.is_integer();
        // The greatest common divisor of long fractions takes quadratic time (measured: two of 8,500 bits, 3 ms).
        let units = if whole { bits / 4096 } else { bits * bits / 8192 };
        if bits > 2 * LARGEST || !budget.afford(units) {
            return None;
        }
        Some(Self::Exact(if whole {
            Rational::from_integer(on_whole(one.numer(), two.numer()))
        } else {
            on_any(one, two)
        }))
    }

    pub(super) fn plus(&self, other: &Self, budget: &Budget) -> Option<Self> {
        self.exactly(other, budget, |a, b| a + b, |a, b| a + b).or_else(|| {
            let ((a, a_error), (b, b_error)) = (self.floating()?, other.floating()?);
            Self::near(a + b, a_error + b_error)
        })
    }

    pub(super) fn minus(&self, other: &Self, budget: &Budget) -> Option<Self> {
        self.plus(&other.clone().negated(), budget)
    }

    pub(super) fn times(&self, other: &Self, budget: &Budget) -> Option<Self> {
        self.exactly(other, budget, |a, b| a * b, |a, b| a * b).or_else(|| {
            let ((a, a_error), (b, b_error)) = (self.floating()?, other.floating()?);
            let near = if self.is_zero() || other.is_zero() { Self::near } else { Self::near_and_not_zero };
            near(a * b, a.norm() * b_error + b.norm() * a_error)
        })
    }

    pub(super) fn over(&self, other: &Self, budget: &Budget) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let inverse = match other {
            Self::Exact(number) => Self::Exact(number.recip()),
            Self::Near(number, error) => {
                let inverse = number.inv();
                Self::near_and_not_zero(inverse, error * inverse.norm_sqr())?
            }
        };
        self.times(&inverse, budget)
    }

    /// A power; exact where both numbers are, the exponent is whole and the result is short.
    pub(super) fn power(&self, exponent: &Self, budget: &Budget) -> Option<Self> {
        if let Some(whole) = exponent.whole() {
            return self.whole_power(whole.to_i64()?, budget);
        }
        if self.is_zero() {
            return exponent.real().filter(|(exponent, _)| *exponent > 0.0).map(|_| Self::from(0));
        }
        let ((a, a_error), (b, b_error)) = (self.floating()?, exponent.floating()?);
        let a = off_the_cut(a, a_error);
        let result = if a.im == 0.0 && a.re > 0.0 && b.im == 0.0 {
            a.re.powf(b.re).into()
        } else {
            (b * a.ln()).exp()
        };
        let log = a.ln();
        let relative = log.norm() * b_error + b.norm() * a_error / a.norm() + f64::EPSILON * (b * log).norm();
        Self::near_and_not_zero(result, relative * result.norm())
    }

    fn whole_power(&self, exponent: i64, budget: &Budget) -> Option<Self> {
        let size = exponent.unsigned_abs();
        if exponent == 1 {
            return Some(self.clone());
        }
        if self.is_zero() {
            return match exponent {
                0 => Some(Self::from(1)),
                1.. => Some(Self::from(0)),
                _ => None,
            };
        }
        if let Self::Exact(number) = self {
            let is_unit = number.is_integer() && number.numer().magnitude().is_one();
            let bits = if is_unit { 1 } else { bits(number).saturating_mul(size) };
            let times =
                if is_unit { u32::from(size % 2 == 1) } else { u32::try_from(size).unwrap_or(u32::MAX) };
            if bits <= LARGEST && budget.afford(bits / 64) {
                // Powers of numbers without a common divisor have none.
                let power = |number: &BigInt| Pow::pow(number, times);
                let power = Rational::new_raw(power(number.numer()), power(number.denom()));
                return Some(Self::Exact(if exponent < 0 { power.recip() } else { power }));
            }
        }
        let (number, error) = self.floating()?;
        let result = if number.im == 0.0 {
            number.re.powf(exponent as f64).into()
        } else {
            number.powi(i32::try_from(exponent).ok()?)
        };
        let relative = size as f64 * (error / number.norm() + f64::EPSILON);
        Self::near_and_not_zero(result, relative * result.norm())
    }

    /// A function of a complex number. Its error is how much the result changes within the argument's.
    pub(super) fn map(&self, function: impl Fn(Complex64) -> Complex64) -> Option<Self> {
        let (number, error) = self.floating()?;
        let number = off_the_cut(number, error);
        let result = function(number);
        let change =
            (function(number + error) - result).norm().max((function(number - error) - result).norm());
        Self::near(result, change + f64::EPSILON * result.norm())
    }

    /// Whether two values are equal: exact ones exactly, others up to rounding. What may be zero equals only zero.
    pub(super) fn matches(&self, other: &Self) -> bool {
        if let (Self::Exact(one), Self::Exact(two)) = (self, other) {
            return one == two;
        }
        if self.is_zero() || other.is_zero() {
            return self.is_zero() && other.is_zero();
        }
        let (Some((a, a_error)), Some((b, b_error))) = (self.floating(), other.floating()) else {
            return false;
        };
        (a - b).norm() <= NEAR * a.norm().max(b.norm()) + SLACK * (a_error + b_error)
    }

    pub(super) fn is_real(&self) -> bool {
        self.real().is_some()
    }
}

/// A number that may be real, with an imaginary part of rounding errors, is: which side of a branch cut those lie on
/// means nothing.
fn off_the_cut(number: Complex64, error: f64) -> Complex64 {
    if number.im.abs() <= SLACK * error { Complex64::new(number.re, 0.0) } else { number }
}

pub(super) fn bits(number: &Rational) -> u64 {
    number.numer().bits() + number.denom().bits()
}

/// To within a unit or two in the last place; `None` beyond the range of floating point.
fn to_f64(number: &Rational) -> Option<f64> {
    if let (Some(above), Some(below)) = (number.numer().to_i64(), number.denom().to_i64()) {
        return Some(above as f64 / below as f64);
    }
    // A quotient of at least 64 bits, and the power of two that it was multiplied by.
    let shift = 66 - (number.numer().bits() as i64 - number.denom().bits() as i64);
    let quotient = if shift >= 0 {
        (number.numer() << shift.unsigned_abs()) / number.denom()
    } else {
        number.numer() / (number.denom() << shift.unsigned_abs())
    };
    let shift = i32::try_from(shift).ok()?;
    // In two steps, because 2^shift alone may be beyond the range.
    let float = quotient.to_f64()? * 2f64.powi(-(shift / 2)) * 2f64.powi(-(shift - shift / 2));
    (float.is_finite() && (float != 0.0 || number.is_zero())).then_some(float)
}
