//! What a set of instructions must have: sixteen f32 or sixteen words of 32 bits at a time. What is composed of the rest is
//! for those that have no instruction of their own for it.

use std::fmt;

/// Numbers in a [`Lanes`](super::Lanes).
pub(in super::super) const LANES: usize = 16;

/// Which of sixteen, the first in the lowest bit.
pub(in super::super) type Mask = u16;

/// Proof that the processor has a set of instructions, and those instructions. Its functions are inlined into what
/// [`Simd::run`] compiles for them.
pub trait Simd: Copy + Send + Sync + fmt::Debug + 'static {
    /// Sixteen f32.
    type Floats: Copy;
    /// Sixteen words of 32 bits: as many f32, whole numbers, or pairs of bf16.
    type Integers: Copy;

    /// Whether 32 registers hold sixteen numbers each; else sixteen hold eight.
    const WIDE: bool;
    /// In how many parts words of two bf16 are multiplied: one where an instruction takes both, else two, each of f32.
    const BF16_PARTS: usize;

    /// The proof, if this process computes with these instructions.
    fn detect() -> Option<Self>;

    /// Calls a function that is compiled for the instructions, as a function of its own.
    fn run<R>(self, work: impl FnOnce() -> R) -> R;

    /// Sixteen times a number.
    fn splat(x: f32) -> Self::Floats;
    /// a + b.
    fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// a − b.
    fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// a · b.
    fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// a / b.
    fn div(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// a · b + c, rounded once.
    fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// a · b − c, rounded once.
    fn mul_sub(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// c − a · b, rounded once.
    fn negated_mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// The larger one; `a` if one is NaN.
    fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The smaller one; `a` if one is NaN.
    fn min(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a` where the mask is set, `b` elsewhere.
    fn select(mask: Mask, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Where a > b.
    fn above(a: Self::Floats, b: Self::Floats) -> Mask;
    /// The largest number.
    fn largest(a: Self::Floats) -> f32;
    /// The sum of all.
    fn sum(a: Self::Floats) -> f32;
    /// The nearest whole number, of two the even one.
    fn round(a: Self::Floats) -> Self::Floats;
    /// a · 2ⁿ for a whole number n from −300 on.
    fn scale(a: Self::Floats, n: Self::Floats) -> Self::Floats;
    /// A positive normal number as m · 2ⁿ with m from 1 to 2: m and n.
    fn split(a: Self::Floats) -> [Self::Floats; 2];
    /// 1 / a to eleven bits and more.
    fn reciprocal(a: Self::Floats) -> Self::Floats;

    /// # Safety
    /// Sixteen numbers lie at `from`.
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Floats {
        // SAFETY: the caller's promise.
        Self::as_floats(unsafe { Self::load_words(from.cast()) })
    }
    /// The first `count` (at most sixteen) numbers at `from`, then zeros.
    ///
    /// # Safety
    /// `count` numbers lie at `from`.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::Floats {
        // SAFETY: the caller's promise.
        Self::as_floats(unsafe { Self::load_first_words(from.cast(), count) })
    }
    /// # Safety
    /// There is room for sixteen at `into`.
    #[inline(always)]
    unsafe fn store(a: Self::Floats, into: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { Self::store_words(Self::as_words(a), into.cast()) }
    }
    /// # Safety
    /// There is room for `count`, at most sixteen, at `into`.
    #[inline(always)]
    unsafe fn store_first(a: Self::Floats, into: *mut f32, count: usize) {
        let mut numbers = [0.0; LANES];
        // SAFETY: there is room for sixteen; the rest is the caller's promise.
        unsafe {
            Self::store(a, numbers.as_mut_ptr());
            into.copy_from_nonoverlapping(numbers.as_ptr(), count.min(LANES));
        }
    }

    /// Sixteen bf16 as f32.
    ///
    /// # Safety
    /// Sixteen halves of words lie at `from`.
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self::Floats {
        // SAFETY: the caller's promise.
        Self::as_floats(Self::shift_up_half(unsafe { Self::load_halves(from) }))
    }
    /// The first `count` (at most sixteen), then zeros.
    ///
    /// # Safety
    /// So many halves of words lie at `from`.
    #[inline(always)]
    unsafe fn load_first_bf16(from: *const u16, count: usize) -> Self::Floats {
        let mut halves = [0; LANES];
        // SAFETY: the caller's promise, and there is room for sixteen.
        unsafe {
            halves.as_mut_ptr().copy_from_nonoverlapping(from, count.min(LANES));
            Self::load_bf16(halves.as_ptr())
        }
    }
    /// Rounds to bf16.
    ///
    /// # Safety
    /// There is room for sixteen halves of words at `into`.
    unsafe fn store_bf16(a: Self::Floats, into: *mut u16);
    /// # Safety
    /// There is room for `count`, at most sixteen, at `into`.
    #[inline(always)]
    unsafe fn store_first_bf16(a: Self::Floats, into: *mut u16, count: usize) {
        let mut halves = [0; LANES];
        // SAFETY: there is room for sixteen; the rest is the caller's promise.
        unsafe {
            Self::store_bf16(a, halves.as_mut_ptr());
            into.copy_from_nonoverlapping(halves.as_ptr(), count.min(LANES));
        }
    }
    /// Rounded to bf16, each in the lower half of a word.
    fn bf16(a: Self::Floats) -> Self::Integers;
    /// The bf16 of a part, as [`Simd::dot_bf16`] reads them.
    #[inline(always)]
    fn bf16_part(a: Self::Integers, part: usize) -> Self::Integers {
        if part == 0 { Self::shift_up_half(a) } else { Self::and(a, Self::splat_word(0xffff_0000)) }
    }
    /// sum + a · b over the bf16 of a part.
    #[inline(always)]
    fn dot_bf16(sum: Self::Floats, a: Self::Integers, b: Self::Integers) -> Self::Floats {
        Self::mul_add(Self::as_floats(a), Self::as_floats(b), sum)
    }

    /// Sixteen halves of words as words.
    ///
    /// # Safety
    /// Sixteen lie at `from`.
    unsafe fn load_halves(from: *const u16) -> Self::Integers;
    /// # Safety
    /// Sixteen words lie at `from`.
    unsafe fn load_words(from: *const u32) -> Self::Integers;
    /// The first `count` (at most sixteen) words at `from`, then zeros.
    ///
    /// # Safety
    /// `count` words lie at `from`.
    #[inline(always)]
    unsafe fn load_first_words(from: *const u32, count: usize) -> Self::Integers {
        let mut words = [0; LANES];
        // SAFETY: the caller's promise, and there is room for sixteen.
        unsafe {
            words.as_mut_ptr().copy_from_nonoverlapping(from, count.min(LANES));
            Self::load_words(words.as_ptr())
        }
    }
    /// # Safety
    /// There is room for sixteen words at `into`.
    unsafe fn store_words(a: Self::Integers, into: *mut u32);
    /// Sixteen times a word.
    fn splat_word(word: u32) -> Self::Integers;
    /// 0, 1, … 15.
    fn count() -> Self::Integers;
    /// The words as f32, bit by bit.
    fn as_floats(a: Self::Integers) -> Self::Floats;
    /// The f32 as words, bit by bit.
    fn as_words(a: Self::Floats) -> Self::Integers;
    /// a + b.
    fn add_words(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// The lower 32 bits of a · b.
    fn mul_words(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// a & b.
    fn and(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// a | b.
    fn or(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// a ^ b.
    fn xor(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// a >> BY.
    fn shift_right<const BY: u32>(a: Self::Integers) -> Self::Integers;
    /// a << 16.
    fn shift_up_half(a: Self::Integers) -> Self::Integers;
    /// Where a > b, with a sign.
    fn words_above(a: Self::Integers, b: Self::Integers) -> Mask;
    /// Of sixteen numbers those that the words' lowest four bits name.
    fn look_up(table: Self::Floats, index: Self::Integers) -> Self::Floats;
    /// Which of the thirty-two halves are at least `least`, without a sign; each word's lower half first.
    fn halves_from(a: Self::Integers, least: u16) -> u32;
    /// Rows become columns.
    fn transpose(rows: [Self::Integers; LANES]) -> [Self::Integers; LANES];
}
