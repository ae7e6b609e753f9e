//! Sixteen numbers at a time, and the two kinds of numbers that memory holds.
//!
//! [`Avx512`] exists only where the processor has the instructions, [`Lanes`] and [`Words`] come only from it, and all
//! that works on them is inlined into functions compiled for those instructions.
// `self` of Avx512 is a proof, not a value; rows to transpose stay in registers.
#![allow(clippy::unused_self, clippy::wildcard_imports, clippy::large_types_passed_by_value)]

/// The result of instructions that read and write registers only, or ask for memory without needing it.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: the processor has the instructions, for `Lanes` and `Words` come only from `Avx512`, their proof.
        unsafe { $call }
    };
}

mod int8;
mod words;

pub(super) use int8::Vnni;

use std::arch::x86_64::*;
use std::f32::consts::{LN_2, LOG2_E, SQRT_2};
use std::mem::transmute;
use std::ops::{Add, Div, Mul, Sub};

use half::bf16;
use tch::Kind;

use crate::backend::Backend;

/// Numbers in a [`Lanes`].
pub(super) const LANES: usize = 16;

/// log₂ e less what f32 holds of it.
const LOG2_E_REST: f32 = (std::f64::consts::LOG2_E - std::f32::consts::LOG2_E as f64) as f32;

/// 2ˣ on [−½, ½], from the sixth power down: interpolated at Chebyshev's points, relative error below 1e-8, exact at 0.
const EXP2: [f32; 7] =
    [1.545_316_3e-4, 1.339_086_3e-3, 9.618_083e-3, 5.550_357e-2, 0.240_226_5, std::f32::consts::LN_2, 1.0];

/// Proof that the processor has AVX-512 with its bf16 instructions.
#[derive(Clone, Copy)]
pub struct Avx512(());

/// Sixteen f32.
#[derive(Clone, Copy)]
pub struct Lanes(__m512);

/// Sixteen words of 32 bits: as many f32, or pairs of bf16.
#[derive(Clone, Copy)]
pub struct Words(__m512i);

/// Which of sixteen.
pub(super) type Mask = __mmask16;

impl Avx512 {
    /// The proof, unless another back end is pinned.
    pub(super) fn detect() -> Option<Self> {
        (Backend::of_cpu() == Ok(Backend::Avx512Bf16)).then_some(Self(()))
    }

    #[inline(always)]
    pub(super) fn splat(self, x: f32) -> Lanes {
        Lanes(intrinsic!(_mm512_set1_ps(x)))
    }

    /// Asks for the cache line at `from`, which need not exist.
    #[inline(always)]
    pub(super) fn prefetch<N>(self, from: *const N) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T0>(from.cast()));
    }

    /// The same, into the second-level cache.
    #[inline(always)]
    pub(super) fn prefetch_far<N>(self, from: *const N) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T1>(from.cast()));
    }

    /// Sixteen times a word.
    #[inline(always)]
    pub(super) fn word(self, word: u32) -> Words {
        Words(intrinsic!(_mm512_set1_epi32(word.cast_signed())))
    }

    /// 0, 1, … 15.
    #[inline(always)]
    pub(super) fn count(self) -> Words {
        Words(intrinsic!(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)))
    }

    /// Sixteen times the word at `from`.
    ///
    /// # Safety
    /// A word lies at `from`.
    #[inline(always)]
    pub(super) unsafe fn broadcast(self, from: *const u32) -> Words {
        // SAFETY: the caller's promise.
        Words(unsafe { _mm512_set1_epi32(from.read_unaligned().cast_signed()) })
    }

    /// # Safety
    /// Sixteen words lie at `from`.
    #[inline(always)]
    pub(super) unsafe fn words(self, from: *const u32) -> Words {
        // SAFETY: the caller's promise.
        Words(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    /// The first `count` words at `from`, then zeros.
    ///
    /// # Safety
    /// `count` words lie at `from`.
    #[inline(always)]
    pub(super) unsafe fn first_words(self, from: *const u32, count: usize) -> Words {
        // SAFETY: the caller's promise.
        Words(unsafe { _mm512_maskz_loadu_epi32(first(count), from.cast()) })
    }

    /// Sixteen numbers.
    #[inline(always)]
    pub(super) fn read<N: Number>(self, from: &[N; LANES]) -> Lanes {
        // SAFETY: there are sixteen.
        unsafe { N::load(self, from.as_ptr()) }
    }

    /// At most sixteen numbers, then zeros.
    #[inline(always)]
    pub(super) fn read_part<N: Number>(self, from: &[N]) -> Lanes {
        // SAFETY: no more are read than there are.
        unsafe { self.load(from.as_ptr(), from.len()) }
    }

    /// The first `count` numbers at `from` (all, if there are more than sixteen), then zeros.
    ///
    /// # Safety
    /// At least `count` numbers, or sixteen, lie at `from`.
    #[inline(always)]
    pub(super) unsafe fn load<N: Number>(self, from: *const N, count: usize) -> Lanes {
        // SAFETY: the caller's promise.
        unsafe { if count >= LANES { N::load(self, from) } else { N::load_first(self, from, count) } }
    }
}

fn first(count: usize) -> Mask {
    (1_u32 << count).wrapping_sub(1) as Mask
}

impl Add for Lanes {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_add_ps(self.0, other.0)))
    }
}

impl Sub for Lanes {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_sub_ps(self.0, other.0)))
    }
}

impl Mul for Lanes {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_mul_ps(self.0, other.0)))
    }
}

impl Div for Lanes {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_div_ps(self.0, other.0)))
    }
}

impl Lanes {
    #[inline(always)]
    fn like(self, x: f32) -> Self {
        Self(intrinsic!(_mm512_set1_ps(x)))
    }

    /// self · factor + term, rounded once.
    #[inline(always)]
    pub(super) fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(intrinsic!(_mm512_fmadd_ps(self.0, factor.0, term.0)))
    }

    /// self · factor − term, rounded once.
    #[inline(always)]
    pub(super) fn mul_sub(self, factor: Self, term: Self) -> Self {
        Self(intrinsic!(_mm512_fmsub_ps(self.0, factor.0, term.0)))
    }

    /// term − self · factor, rounded once.
    #[inline(always)]
    pub(super) fn subtracted(self, factor: Self, term: Self) -> Self {
        Self(intrinsic!(_mm512_fnmadd_ps(self.0, factor.0, term.0)))
    }

    /// The larger one; NaN if `self` is.
    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_max_ps(other.0, self.0)))
    }

    /// The smaller one; NaN if `self` is.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_min_ps(other.0, self.0)))
    }

    /// `self` where the mask is set, `other` elsewhere.
    #[inline(always)]
    pub(super) fn or(self, mask: Mask, other: Self) -> Self {
        Self(intrinsic!(_mm512_mask_blend_ps(mask, other.0, self.0)))
    }

    /// Where it is larger than `least`.
    #[inline(always)]
    pub(super) fn above(self, least: f32) -> Mask {
        intrinsic!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_set1_ps(least)))
    }

    #[inline(always)]
    pub(super) fn largest(self) -> f32 {
        intrinsic!(_mm512_reduce_max_ps(self.0))
    }

    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        intrinsic!(_mm512_reduce_add_ps(self.0))
    }

    /// 2ˣ, within 2e-7 of it; 0 below −150.
    #[inline(always)]
    pub(super) fn exp2(self) -> Self {
        let x = self.max(self.like(-151.0));
        let whole = x.round();
        (x - whole).exp2_of_part(whole)
    }

    /// eˣ, within 3e-7 of it relatively down to −87; nothing below 2⁻¹²⁶, NaN stays NaN.
    #[inline(always)]
    pub(super) fn exp(self) -> Self {
        let x = self.max(self.like(-126.0 * LN_2));
        let log2_e = self.like(LOG2_E);
        let whole = (x * log2_e).round();
        // In two steps, for a product near 100 has too few digits behind the point.
        let part = x.mul_sub(log2_e, whole);
        x.mul_add(self.like(LOG2_E_REST), part).exp2_of_part(whole)
    }

    /// 2 to the power of `self` + `whole`, for `self` from −½ to ½.
    #[inline(always)]
    fn exp2_of_part(self, whole: Self) -> Self {
        let mut sum = self.like(EXP2[0]);
        for term in &EXP2[1..] {
            sum = sum.mul_add(self, self.like(*term));
        }
        Self(intrinsic!(_mm512_scalef_ps(sum.0, whole.0)))
    }

    /// The nearest whole number, of two the even one.
    #[inline(always)]
    fn round(self) -> Self {
        Self(intrinsic!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)))
    }

    /// ln x, within 3e-7 of it relatively or, near 1, 1e-7 absolutely; that of the smallest normal number below it.
    #[inline(always)]
    pub(super) fn ln(self) -> Self {
        let x = Self(intrinsic!(_mm512_max_ps(self.0, self.like(f32::MIN_POSITIVE).0)));
        let mantissa = Self(intrinsic!(_mm512_getmant_ps::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(x.0)));
        let exponent = Self(intrinsic!(_mm512_getexp_ps(x.0)));
        // From √½ to √2.
        let high = mantissa.above(SQRT_2);
        let mantissa = (mantissa * self.like(0.5)).or(high, mantissa);
        let exponent = (exponent + self.like(1.0)).or(high, exponent);
        let t = mantissa - self.like(1.0);
        // The minimax polynomial of the Cephes library for (ln(1 + t) − t + t²/2) / t³.
        let mut sum = self.like(7.037_683_6e-2);
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
            sum = sum.mul_add(t, self.like(term));
        }
        let square = t * t;
        let rest = sum * t * square;
        // ln 2 in two parts: the first has few digits, so that its multiples are exact.
        let rest = exponent.mul_add(self.like(-2.121_944_4e-4), rest);
        let rest = square.mul_add(self.like(-0.5), rest);
        exponent.mul_add(self.like(0.693_359_4), t + rest)
    }

    /// 1 / (1 + e⁻ˣ), within 5e-7 of it relatively down to −80, where it stays.
    #[inline(always)]
    pub(super) fn sigmoid(self) -> Self {
        let below = (self.like(0.0) - self.max(self.like(-80.0))).exp() + self.like(1.0);
        // 14 bits, doubled by a step of Newton's.
        let reciprocal = Self(intrinsic!(_mm512_rcp14_ps(below.0)));
        reciprocal * (self.like(2.0) - below * reciprocal)
    }

    /// The hyperbolic tangent within 5e-7 of it relatively: the quotient of polynomials that Eigen uses.
    #[inline(always)]
    pub(super) fn tanh(self) -> Self {
        let x = self.max(self.like(-7.905_311)).min(self.like(7.905_311));
        let square = x * x;
        let mut above = self.like(-2.760_768_5e-16);
        for term in [2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619e-4, 4.893_525e-3]
        {
            above = above.mul_add(square, self.like(term));
        }
        let mut below = self.like(1.198_258_4e-6);
        for term in [1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3] {
            below = below.mul_add(square, self.like(term));
        }
        x * above / below
    }

    /// Writes all sixteen.
    #[inline(always)]
    pub(super) fn write<N: Number>(self, into: &mut [N; LANES]) {
        // SAFETY: there is room for sixteen.
        unsafe { N::store(self, into.as_mut_ptr()) }
    }

    /// Stores the first `count` (all, if that is more than sixteen).
    ///
    /// # Safety
    /// At least `count` numbers, or sixteen, have room at `into`.
    #[inline(always)]
    pub(super) unsafe fn store<N: Number>(self, into: *mut N, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { if count >= LANES { N::store(self, into) } else { N::store_first(self, into, count) } }
    }
}

/// A kind of number in memory. A word of 32 bits holds [`Number::PER_WORD`] of them.
pub trait Number: Copy + Send + Sync + 'static {
    /// libtorch's name of it.
    const KIND: Kind;
    /// How many make a word of 32 bits.
    const PER_WORD: usize;

    /// It as f32.
    fn widen(self) -> f32;

    /// The nearest number of this kind.
    fn nearest(x: f32) -> Self;

    /// # Safety
    /// Sixteen numbers lie at `from`.
    unsafe fn load(simd: Avx512, from: *const Self) -> Lanes;
    /// # Safety
    /// `count` numbers lie at `from`.
    unsafe fn load_first(simd: Avx512, from: *const Self, count: usize) -> Lanes;
    /// # Safety
    /// There is room for sixteen at `into`.
    unsafe fn store(lanes: Lanes, into: *mut Self);
    /// # Safety
    /// There is room for `count` at `into`.
    unsafe fn store_first(lanes: Lanes, into: *mut Self, count: usize);

    /// sum + a·b, per lane over all numbers of a word.
    fn dot(sum: Lanes, a: Words, b: Words) -> Lanes;

    /// Words of one number from each of [`Number::PER_WORD`] rows, sixteen columns of them; `rows` are that far apart.
    ///
    /// # Safety
    /// Each row has sixteen numbers.
    unsafe fn zip(simd: Avx512, rows: *const Self, row: usize) -> Words;

    /// Two rows of sixteen each, one below the other, in words that run down the rows. `row` is in words.
    ///
    /// # Safety
    /// There is room for the words of two rows at `into`.
    unsafe fn store_down(pair: [Lanes; 2], into: *mut u32, row: usize);

    /// The same in words that run along the rows.
    ///
    /// # Safety
    /// There is room for sixteen numbers at `into` and, `row` words further, for sixteen more.
    unsafe fn store_along(pair: [Lanes; 2], into: *mut u32, row: usize);
}

impl Number for f32 {
    const KIND: Kind = Kind::Float;
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn nearest(x: f32) -> Self {
        x
    }

    #[inline(always)]
    unsafe fn load(_: Avx512, from: *const Self) -> Lanes {
        // SAFETY: the caller's promise.
        Lanes(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(_: Avx512, from: *const Self, count: usize) -> Lanes {
        // SAFETY: the caller's promise.
        Lanes(unsafe { _mm512_maskz_loadu_ps(first(count), from) })
    }

    #[inline(always)]
    unsafe fn store(lanes: Lanes, into: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(into, lanes.0) }
    }

    #[inline(always)]
    unsafe fn store_first(lanes: Lanes, into: *mut Self, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_mask_storeu_ps(into, first(count), lanes.0) }
    }

    #[inline(always)]
    fn dot(sum: Lanes, a: Words, b: Words) -> Lanes {
        Lanes(intrinsic!(_mm512_fmadd_ps(_mm512_castsi512_ps(a.0), _mm512_castsi512_ps(b.0), sum.0)))
    }

    #[inline(always)]
    unsafe fn zip(simd: Avx512, rows: *const Self, _: usize) -> Words {
        // SAFETY: the caller's promise.
        unsafe { simd.words(rows.cast()) }
    }

    #[inline(always)]
    unsafe fn store_down(pair: [Lanes; 2], into: *mut u32, row: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::store_along(pair, into, row) }
    }

    #[inline(always)]
    unsafe fn store_along([a, b]: [Lanes; 2], into: *mut u32, row: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            Self::store(a, into.cast());
            Self::store(b, into.add(row).cast());
        }
    }
}

impl Number for bf16 {
    const KIND: Kind = Kind::BFloat16;
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn nearest(x: f32) -> Self {
        Self::from_f32(x)
    }

    #[inline(always)]
    unsafe fn load(_: Avx512, from: *const Self) -> Lanes {
        // SAFETY: the caller's promise.
        Lanes(unsafe { widen(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn load_first(_: Avx512, from: *const Self, count: usize) -> Lanes {
        // SAFETY: the caller's promise.
        Lanes(unsafe { widen(_mm256_maskz_loadu_epi16(first(count), from.cast())) })
    }

    #[inline(always)]
    unsafe fn store(lanes: Lanes, into: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe {
            _mm256_storeu_si256(into.cast(), transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(lanes.0)));
        }
    }

    #[inline(always)]
    unsafe fn store_first(lanes: Lanes, into: *mut Self, count: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let narrow = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(lanes.0));
            _mm256_mask_storeu_epi16(into.cast(), first(count), narrow);
        }
    }

    #[inline(always)]
    fn dot(sum: Lanes, a: Words, b: Words) -> Lanes {
        let bf16s = transmute::<__m512i, __m512bh>;
        Lanes(intrinsic!(_mm512_dpbf16_ps(sum.0, bf16s(a.0), bf16s(b.0))))
    }

    #[inline(always)]
    unsafe fn zip(_: Avx512, rows: *const Self, row: usize) -> Words {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(rows.cast()));
            let high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(rows.add(row).cast()));
            Words(_mm512_or_si512(low, _mm512_slli_epi32::<16>(high)))
        }
    }

    #[inline(always)]
    unsafe fn store_down([a, b]: [Lanes; 2], into: *mut u32, _: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            // Rounded, then the one's halves between the other's.
            let low = _mm512_cvtepu16_epi32(transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(a.0)));
            let high = _mm512_cvtepu16_epi32(transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(b.0)));
            Words(_mm512_or_si512(low, _mm512_slli_epi32::<16>(high))).store(into);
        }
    }

    #[inline(always)]
    unsafe fn store_along([a, b]: [Lanes; 2], into: *mut u32, row: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            Self::store(a, into.cast());
            Self::store(b, into.add(row).cast());
        }
    }
}

#[inline(always)]
fn widen(x: __m256i) -> __m512 {
    intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x))))
}

#[cfg(test)]
mod tests;
