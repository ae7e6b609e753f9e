//! Exponentials, logarithm, sigmoid and tanh of sixteen numbers.

use std::f32::consts::{LN_2, LOG2_E, SQRT_2};

use super::{Lanes, Simd};

/// log₂ e less what f32 holds of it.
const LOG2_E_REST: f32 = (std::f64::consts::LOG2_E - std::f32::consts::LOG2_E as f64) as f32;

/// 2ˣ on [−½, ½], from the sixth power down: interpolated at Chebyshev's points, relative error below 1e-8, exact at 0.
const EXP2: [f32; 7] =
    [1.545_316_3e-4, 1.339_086_3e-3, 9.618_083e-3, 5.550_357e-2, 0.240_226_5, std::f32::consts::LN_2, 1.0];

impl<S: Simd> Lanes<S> {
    /// 2ˣ, within 2e-7 of it; 0 below −150.
    #[inline(always)]
    pub(in super::super) fn exp2(self) -> Self {
        let x = self.max(Self::splat(-151.0));
        let whole = x.round();
        (x - whole).exp2_of_part(whole)
    }

    /// eˣ, within 3e-7 of it relatively down to −87; nothing below 2⁻¹²⁶, NaN stays NaN.
    #[inline(always)]
    pub(in super::super) fn exp(self) -> Self {
        let x = self.max(Self::splat(-126.0 * LN_2));
        let log2_e = Self::splat(LOG2_E);
        let whole = (x * log2_e).round();
        // In two steps, for a product near 100 has too few digits behind the point.
        let part = x.mul_sub(log2_e, whole);
        x.mul_add(Self::splat(LOG2_E_REST), part).exp2_of_part(whole)
    }

    /// 2 to the power of `self` + `whole`, for `self` from −½ to ½.
    #[inline(always)]
    fn exp2_of_part(self, whole: Self) -> Self {
        let mut sum = Self::splat(EXP2[0]);
        for term in &EXP2[1..] {
            sum = sum.mul_add(self, Self::splat(*term));
        }
        Self(S::scale(sum.0, whole.0))
    }

    /// The nearest whole number, of two the even one.
    #[inline(always)]
    fn round(self) -> Self {
        Self(S::round(self.0))
    }

    /// ln x, within 3e-7 of it relatively or, near 1, 1e-7 absolutely; that of the smallest normal number below it.
    #[inline(always)]
    pub(in super::super) fn ln(self) -> Self {
        let x = Self(S::max(S::splat(f32::MIN_POSITIVE), self.0));
        let [mantissa, exponent] = S::split(x.0);
        let (mantissa, exponent) = (Self(mantissa), Self(exponent));
        // From √½ to √2.
        let high = mantissa.above(SQRT_2);
        let mantissa = (mantissa * Self::splat(0.5)).or(high, mantissa);
        let exponent = (exponent + Self::splat(1.0)).or(high, exponent);
        let t = mantissa - Self::splat(1.0);
        // The minimax polynomial of the Cephes library for (ln(1 + t) − t + t²/2) / t³.
        let mut sum = Self::splat(7.037_683_6e-2);
        for term in [
            -0.115_146_1,
            0.116_769_99,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_58,
            0.200_007_14,
            -0.249_999_94,
            0.333_333_3,
        ] {
            sum = sum.mul_add(t, Self::splat(term));
        }
        let square = t * t;
        let rest = sum * t * square;
        // ln 2 in two parts: the first has few digits, so that its multiples are exact.
        let rest = exponent.mul_add(Self::splat(-2.121_944_4e-4), rest);
        let rest = square.mul_add(Self::splat(-0.5), rest);
        exponent.mul_add(Self::splat(0.693_359_4), t + rest)
    }

    /// 1 / (1 + e⁻ˣ), within 5e-7 of it relatively down to −80, where it stays.
    #[inline(always)]
    pub(in super::super) fn sigmoid(self) -> Self {
        let below = (Self::splat(0.0) - self.max(Self::splat(-80.0))).exp() + Self::splat(1.0);
        // Few bits, doubled by a step of Newton's.
        let reciprocal = Self(S::reciprocal(below.0));
        reciprocal * (Self::splat(2.0) - below * reciprocal)
    }

    /// The hyperbolic tangent within 5e-7 of it relatively: the quotient of polynomials that Eigen uses.
    #[inline(always)]
    pub(in super::super) fn tanh(self) -> Self {
        let x = self.max(Self::splat(-7.905_311)).min(Self::splat(7.905_311));
        let square = x * x;
        let mut above = Self::splat(-2.760_768_5e-16);
        for term in [2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619e-4, 4.893_525e-3]
        {
            above = above.mul_add(square, Self::splat(term));
        }
        let mut below = Self::splat(1.198_258_4e-6);
        for term in [1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3] {
            below = below.mul_add(square, Self::splat(term));
        }
        x * above / below
    }
}
