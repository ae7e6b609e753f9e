//! Sixteen numbers at a time, and the two kinds of numbers that memory holds.
//!
//! [`Simd`] is what a set of instructions must have: `Avx512`, `Avx2` and `Neon` exist only where the processor has theirs.
//! [`Lanes`] and [`Words`] come only from them, and all that works on them is inlined into functions compiled for those
//! instructions ([`Simd::run`]).
// A proof is no value; rows to transpose stay in registers.
#![allow(clippy::unused_self, clippy::large_types_passed_by_value)]

/// The result of instructions that read and write registers only, or ask for memory without needing it.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: the processor has the instructions, for what they work on comes only from their proof.
        unsafe { $call }
    };
}

/// What a block computes, compiled for the instructions ([`Simd::run`]). What it names moves into it; `return` leaves the
/// block alone.
macro_rules! run {
    ($simd:expr, $body:block) => {
        $simd.run(
            #[inline(always)]
            move || $body,
        )
    };
}
pub(super) use run;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod functions;
#[cfg(target_arch = "x86_64")]
mod int8;
#[cfg(target_arch = "aarch64")]
mod neon;
mod simd;
mod words;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
#[cfg(target_arch = "x86_64")]
pub(super) use int8::Vnni;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;
pub use simd::Simd;
pub(super) use simd::{LANES, Mask};

use std::ops::{Add, Div, Mul, Sub};

use half::bf16;
use tch::Kind;

/// Sixteen f32.
#[derive(Clone, Copy)]
pub struct Lanes<S: Simd>(S::Floats);

/// Sixteen words of 32 bits: as many f32, or pairs of bf16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Words<S: Simd>(S::Integers);

/// What a proof makes.
pub(super) trait Make: Simd {
    /// Sixteen times a number.
    #[inline(always)]
    fn splat(self, x: f32) -> Lanes<Self> {
        Lanes::splat(x)
    }

    /// Asks for the cache line at `from`, which need not exist.
    #[inline(always)]
    fn prefetch<N>(self, from: *const N) {
        #[cfg(target_arch = "x86_64")]
        intrinsic!(std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.cast()));
        #[cfg(target_arch = "aarch64")]
        intrinsic!(
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) from, options(nostack, readonly, preserves_flags))
        );
    }

    /// The same, into the second-level cache.
    #[inline(always)]
    fn prefetch_far<N>(self, from: *const N) {
        #[cfg(target_arch = "x86_64")]
        intrinsic!(std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(from.cast()));
        #[cfg(target_arch = "aarch64")]
        intrinsic!(
            std::arch::asm!("prfm pldl2keep, [{}]", in(reg) from, options(nostack, readonly, preserves_flags))
        );
    }

    /// Sixteen times a word.
    #[inline(always)]
    fn word(self, word: u32) -> Words<Self> {
        Words(Self::splat_word(word))
    }

    /// 0, 1, … 15.
    #[inline(always)]
    fn count(self) -> Words<Self> {
        Words(<Self as Simd>::count())
    }

    /// Sixteen times the word at `from`.
    ///
    /// # Safety
    /// A word lies at `from`.
    #[inline(always)]
    unsafe fn broadcast(self, from: *const u32) -> Words<Self> {
        // SAFETY: the caller's promise.
        self.word(unsafe { from.read_unaligned() })
    }

    /// # Safety
    /// Sixteen words lie at `from`.
    #[inline(always)]
    unsafe fn words(self, from: *const u32) -> Words<Self> {
        // SAFETY: the caller's promise.
        Words(unsafe { Self::load_words(from) })
    }

    /// The first `count` words at `from`, then zeros.
    ///
    /// # Safety
    /// `count` words lie at `from`.
    #[inline(always)]
    unsafe fn first_words(self, from: *const u32, count: usize) -> Words<Self> {
        // SAFETY: the caller's promise.
        Words(unsafe { Self::load_first_words(from, count) })
    }

    /// Sixteen numbers.
    #[inline(always)]
    fn read<N: Number>(self, from: &[N; LANES]) -> Lanes<Self> {
        // SAFETY: there are sixteen.
        unsafe { N::load(from.as_ptr()) }
    }

    /// At most sixteen numbers, then zeros.
    #[inline(always)]
    fn read_part<N: Number>(self, from: &[N]) -> Lanes<Self> {
        // SAFETY: no more are read than there are.
        unsafe { self.load(from.as_ptr(), from.len()) }
    }

    /// The first `count` numbers at `from` (all, if there are more than sixteen), then zeros.
    ///
    /// # Safety
    /// At least `count` numbers, or sixteen, lie at `from`.
    #[inline(always)]
    unsafe fn load<N: Number>(self, from: *const N, count: usize) -> Lanes<Self> {
        // SAFETY: the caller's promise.
        unsafe { if count >= LANES { N::load(from) } else { N::load_first(from, count) } }
    }
}

impl<S: Simd> Make for S {}

/// Operators, by the instructions' functions.
macro_rules! operators {
    ($($operator:ident::$function:ident),*) => {
        $(impl<S: Simd> $operator for Lanes<S> {
            type Output = Self;
            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                Self(S::$function(self.0, other.0))
            }
        })*
    };
}
operators!(Add::add, Sub::sub, Mul::mul, Div::div);

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(S::splat(x))
    }

    /// self · factor + term, rounded once.
    #[inline(always)]
    pub(super) fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(S::mul_add(self.0, factor.0, term.0))
    }

    /// self · factor − term, rounded once.
    #[inline(always)]
    pub(super) fn mul_sub(self, factor: Self, term: Self) -> Self {
        Self(S::mul_sub(self.0, factor.0, term.0))
    }

    /// term − self · factor, rounded once.
    #[inline(always)]
    pub(super) fn subtracted(self, factor: Self, term: Self) -> Self {
        Self(S::negated_mul_add(self.0, factor.0, term.0))
    }

    /// The larger one; NaN if `self` is.
    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        Self(S::max(self.0, other.0))
    }

    /// The smaller one; NaN if `self` is.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(S::min(self.0, other.0))
    }

    /// `self` where the mask is set, `other` elsewhere.
    #[inline(always)]
    pub(super) fn or(self, mask: Mask, other: Self) -> Self {
        Self(S::select(mask, self.0, other.0))
    }

    /// Of these sixteen numbers those that the words' lowest four bits name.
    #[inline(always)]
    pub(super) fn chosen_by(self, words: Words<S>) -> Self {
        Self(S::look_up(self.0, words.0))
    }

    /// Where it is larger than `least`.
    #[inline(always)]
    pub(super) fn above(self, least: f32) -> Mask {
        S::above(self.0, S::splat(least))
    }

    #[inline(always)]
    pub(super) fn largest(self) -> f32 {
        S::largest(self.0)
    }

    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        S::sum(self.0)
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
    unsafe fn load<S: Simd>(from: *const Self) -> Lanes<S>;
    /// # Safety
    /// `count` numbers lie at `from`.
    unsafe fn load_first<S: Simd>(from: *const Self, count: usize) -> Lanes<S>;
    /// # Safety
    /// There is room for sixteen at `into`.
    unsafe fn store<S: Simd>(lanes: Lanes<S>, into: *mut Self);
    /// # Safety
    /// There is room for `count` at `into`.
    unsafe fn store_first<S: Simd>(lanes: Lanes<S>, into: *mut Self, count: usize);

    /// In how many parts the instructions multiply words: each takes the numbers at one place of every word, the only one
    /// all numbers.
    fn parts<S: Simd>() -> usize;

    /// A word's numbers in one of the parts, as [`Number::dot`] reads them.
    fn part<S: Simd>(word: Words<S>, part: usize) -> Words<S>;

    /// sum + a·b, per lane over the numbers of a part.
    fn dot<S: Simd>(sum: Lanes<S>, a: Words<S>, b: Words<S>) -> Lanes<S>;

    /// Words of one number from each of [`Number::PER_WORD`] rows, sixteen columns of them; `rows` are that far apart.
    ///
    /// # Safety
    /// Each row has sixteen numbers.
    unsafe fn zip<S: Simd>(rows: *const Self, row: usize) -> Words<S>;

    /// Two rows of sixteen each, one below the other, in words that run down the rows. `row` is in words.
    ///
    /// # Safety
    /// There is room for the words of two rows at `into`.
    unsafe fn store_down<S: Simd>(pair: [Lanes<S>; 2], into: *mut u32, row: usize);

    /// The same in words that run along the rows.
    ///
    /// # Safety
    /// There is room for sixteen numbers at `into` and, `row` words further, for sixteen more.
    #[inline(always)]
    unsafe fn store_along<S: Simd>([a, b]: [Lanes<S>; 2], into: *mut u32, row: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            Self::store(a, into.cast());
            Self::store(b, into.add(row).cast());
        }
    }
}

/// How a kind of number is loaded and stored, by the instructions' functions.
macro_rules! moves {
    ($load:ident, $load_first:ident, $store:ident, $store_first:ident) => {
        #[inline(always)]
        unsafe fn load<S: Simd>(from: *const Self) -> Lanes<S> {
            // SAFETY: the caller's promise.
            Lanes(unsafe { S::$load(from.cast()) })
        }

        #[inline(always)]
        unsafe fn load_first<S: Simd>(from: *const Self, count: usize) -> Lanes<S> {
            // SAFETY: the caller's promise.
            Lanes(unsafe { S::$load_first(from.cast(), count) })
        }

        #[inline(always)]
        unsafe fn store<S: Simd>(lanes: Lanes<S>, into: *mut Self) {
            // SAFETY: the caller's promise.
            unsafe { S::$store(lanes.0, into.cast()) }
        }

        #[inline(always)]
        unsafe fn store_first<S: Simd>(lanes: Lanes<S>, into: *mut Self, count: usize) {
            // SAFETY: the caller's promise.
            unsafe { S::$store_first(lanes.0, into.cast(), count) }
        }
    };
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

    moves!(load, load_first, store, store_first);

    #[inline(always)]
    fn parts<S: Simd>() -> usize {
        1
    }

    #[inline(always)]
    fn part<S: Simd>(word: Words<S>, _: usize) -> Words<S> {
        word
    }

    #[inline(always)]
    fn dot<S: Simd>(sum: Lanes<S>, a: Words<S>, b: Words<S>) -> Lanes<S> {
        Lanes(S::mul_add(S::as_floats(a.0), S::as_floats(b.0), sum.0))
    }

    #[inline(always)]
    unsafe fn zip<S: Simd>(rows: *const Self, _: usize) -> Words<S> {
        // SAFETY: the caller's promise.
        Words(unsafe { S::load_words(rows.cast()) })
    }

    #[inline(always)]
    unsafe fn store_down<S: Simd>(pair: [Lanes<S>; 2], into: *mut u32, row: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::store_along(pair, into, row) }
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

    moves!(load_bf16, load_first_bf16, store_bf16, store_first_bf16);

    #[inline(always)]
    fn parts<S: Simd>() -> usize {
        S::BF16_PARTS
    }

    #[inline(always)]
    fn part<S: Simd>(word: Words<S>, part: usize) -> Words<S> {
        Words(S::bf16_part(word.0, part))
    }

    #[inline(always)]
    fn dot<S: Simd>(sum: Lanes<S>, a: Words<S>, b: Words<S>) -> Lanes<S> {
        Lanes(S::dot_bf16(sum.0, a.0, b.0))
    }

    #[inline(always)]
    unsafe fn zip<S: Simd>(rows: *const Self, row: usize) -> Words<S> {
        // SAFETY: the caller's promise.
        let [low, high] = unsafe { [S::load_halves(rows.cast()), S::load_halves(rows.add(row).cast())] };
        Words(S::or(low, S::shift_up_half(high)))
    }

    #[inline(always)]
    unsafe fn store_down<S: Simd>([a, b]: [Lanes<S>; 2], into: *mut u32, _: usize) {
        // Rounded, then the one's halves between the other's.
        let words = S::or(S::bf16(a.0), S::shift_up_half(S::bf16(b.0)));
        // SAFETY: the caller's promise.
        unsafe { S::store_words(words, into) }
    }
}

#[cfg(test)]
mod tests;
