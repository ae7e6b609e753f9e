//! What is computed with words of 32 bits.
#![allow(clippy::wildcard_imports)]

use std::arch::x86_64::*;

use super::{LANES, Mask, Words};

impl Words {
    /// word + i.
    #[inline(always)]
    pub(in super::super) fn plus(self, i: i32) -> Self {
        Self(intrinsic!(_mm512_add_epi32(self.0, _mm512_set1_epi32(i))))
    }

    /// Where word > i.
    #[inline(always)]
    pub(in super::super) fn above(self, i: i32) -> Mask {
        intrinsic!(_mm512_cmpgt_epi32_mask(self.0, _mm512_set1_epi32(i)))
    }

    /// Products of 32 bits.
    #[inline(always)]
    pub(in super::super) fn times(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_mullo_epi32(self.0, other.0)))
    }

    #[inline(always)]
    pub(in super::super) fn xor(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_xor_si512(self.0, other.0)))
    }

    /// word ^ (word >> BY).
    #[inline(always)]
    pub(in super::super) fn folded<const BY: u32>(self) -> Self {
        Self(intrinsic!(_mm512_xor_si512(self.0, _mm512_srli_epi32::<BY>(self.0))))
    }

    /// Which of the thirty-two halves are at least `least`, each word's lower half first.
    #[inline(always)]
    pub(in super::super) fn halves_from(self, least: u16) -> u32 {
        intrinsic!(_mm512_cmpge_epu16_mask(self.0, _mm512_set1_epi16(least.cast_signed())))
    }

    /// In which words the lower half is at least `least`, and in which the upper.
    #[inline(always)]
    pub(in super::super) fn each_half_from(self, least: u16) -> [Mask; 2] {
        let least = intrinsic!(_mm512_set1_epi32(i32::from(least)));
        intrinsic!({
            let lower = _mm512_and_si512(self.0, _mm512_set1_epi32(0xffff));
            [lower, _mm512_srli_epi32::<16>(self.0)].map(|half| _mm512_cmpge_epu32_mask(half, least))
        })
    }

    /// # Safety
    /// There is room for sixteen words at `into`.
    #[inline(always)]
    pub(in super::super) unsafe fn store(self, into: *mut u32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_si512(into.cast(), self.0) }
    }

    /// Rows become columns.
    #[inline(always)]
    pub(in super::super) fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let (mut a, mut b) = (rows, rows);
        intrinsic!({
            for i in (0..16).step_by(2) {
                b[i].0 = _mm512_unpacklo_epi32(a[i].0, a[i + 1].0);
                b[i + 1].0 = _mm512_unpackhi_epi32(a[i].0, a[i + 1].0);
            }
            for i in (0..16).step_by(4) {
                a[i].0 = _mm512_unpacklo_epi64(b[i].0, b[i + 2].0);
                a[i + 1].0 = _mm512_unpackhi_epi64(b[i].0, b[i + 2].0);
                a[i + 2].0 = _mm512_unpacklo_epi64(b[i + 1].0, b[i + 3].0);
                a[i + 3].0 = _mm512_unpackhi_epi64(b[i + 1].0, b[i + 3].0);
            }
            // Now a[4g + i] has, in its quarter q, column 4q + i of rows 4g to 4g + 3.
            for i in 0..4 {
                b[i].0 = _mm512_shuffle_i32x4::<0x88>(a[i].0, a[4 + i].0);
                b[4 + i].0 = _mm512_shuffle_i32x4::<0xdd>(a[i].0, a[4 + i].0);
                b[8 + i].0 = _mm512_shuffle_i32x4::<0x88>(a[8 + i].0, a[12 + i].0);
                b[12 + i].0 = _mm512_shuffle_i32x4::<0xdd>(a[8 + i].0, a[12 + i].0);
            }
            for i in 0..4 {
                a[i].0 = _mm512_shuffle_i32x4::<0x88>(b[i].0, b[8 + i].0);
                a[8 + i].0 = _mm512_shuffle_i32x4::<0xdd>(b[i].0, b[8 + i].0);
                a[4 + i].0 = _mm512_shuffle_i32x4::<0x88>(b[4 + i].0, b[12 + i].0);
                a[12 + i].0 = _mm512_shuffle_i32x4::<0xdd>(b[4 + i].0, b[12 + i].0);
            }
        });
        a
    }
}
