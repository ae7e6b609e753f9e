//! What is computed with words of 32 bits.

use std::mem::transmute_copy;

use super::{LANES, Mask, Simd, Words};

impl<S: Simd> Words<S> {
    /// word + i.
    #[inline(always)]
    pub(in super::super) fn plus(self, i: i32) -> Self {
        Self(S::add_words(self.0, S::splat_word(i.cast_unsigned())))
    }

    /// Where word > i.
    #[inline(always)]
    pub(in super::super) fn above(self, i: i32) -> Mask {
        S::words_above(self.0, S::splat_word(i.cast_unsigned()))
    }

    /// Products of 32 bits.
    #[inline(always)]
    pub(in super::super) fn times(self, other: Self) -> Self {
        Self(S::mul_words(self.0, other.0))
    }

    #[inline(always)]
    pub(in super::super) fn xor(self, other: Self) -> Self {
        Self(S::xor(self.0, other.0))
    }

    /// word ^ (word >> BY).
    #[inline(always)]
    pub(in super::super) fn folded<const BY: u32>(self) -> Self {
        Self(S::xor(self.0, S::shift_right::<BY>(self.0)))
    }

    /// Four bits shorter, at the lower end.
    #[inline(always)]
    pub(in super::super) fn without_lowest_four_bits(self) -> Self {
        Self(S::shift_right::<4>(self.0))
    }

    /// Which of the thirty-two halves are at least `least`, each word's lower half first.
    #[inline(always)]
    pub(in super::super) fn halves_from(self, least: u16) -> u32 {
        S::halves_from(self.0, least)
    }

    /// In which words the lower half is at least `least`, and in which the upper.
    #[inline(always)]
    pub(in super::super) fn each_half_from(self, least: u16) -> [Mask; 2] {
        let (lower, upper) = (S::and(self.0, S::splat_word(0xffff)), S::shift_right::<16>(self.0));
        let below = i32::from(least) - 1;
        [Self(lower).above(below), Self(upper).above(below)]
    }

    /// # Safety
    /// There is room for sixteen words at `into`.
    #[inline(always)]
    pub(in super::super) unsafe fn store(self, into: *mut u32) {
        // SAFETY: the caller's promise.
        unsafe { S::store_words(self.0, into) }
    }

    /// Rows become columns.
    #[inline(always)]
    pub(in super::super) fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        // SAFETY: the one is nothing but the other.
        let words = unsafe { transmute_copy::<_, [S::Integers; LANES]>(&rows) };
        let columns = S::transpose(words);
        // SAFETY: likewise.
        unsafe { transmute_copy(&columns) }
    }
}
