//! Words as four bytes each.
#![allow(clippy::unused_self, clippy::wildcard_imports)]

use std::arch::x86_64::*;

use super::{Avx512, Lanes, Simd, Words};

/// Proof that the processor multiplies bytes (AVX-512 VNNI) and has [`Avx512`].
#[derive(Clone, Copy)]
pub(in super::super) struct Vnni(Avx512);

impl Vnni {
    pub(in super::super) fn detect() -> Option<Self> {
        let avx512 = Avx512::detect()?;
        is_x86_feature_detected!("avx512vnni").then_some(Self(avx512))
    }

    #[inline(always)]
    pub(in super::super) fn simd(self) -> Avx512 {
        self.0
    }

    /// sum + Σ of the four products of bytes in each word: those of a from 0 to 255, those of b from −128 to 127.
    #[inline(always)]
    pub(in super::super) fn dot(
        self,
        sum: Words<Avx512>,
        a: Words<Avx512>,
        b: Words<Avx512>,
    ) -> Words<Avx512> {
        Words(intrinsic!(_mm512_dpbusd_epi32(sum.0, a.0, b.0)))
    }
}

impl Words<Avx512> {
    /// Whole numbers as f32.
    #[inline(always)]
    pub(in super::super) fn lanes(self) -> Lanes<Avx512> {
        Lanes(intrinsic!(_mm512_cvtepi32_ps(self.0)))
    }

    /// The sum of sixteen whole numbers.
    #[inline(always)]
    pub(in super::super) fn sum(self) -> i32 {
        intrinsic!(_mm512_reduce_add_epi32(self.0))
    }
}

impl Lanes<Avx512> {
    #[inline(always)]
    pub(in super::super) fn abs(self) -> Self {
        Self(intrinsic!(_mm512_abs_ps(self.0)))
    }

    /// Stores the sixteen as bytes, each rounded to the nearest of −128 to 127.
    ///
    /// # Safety
    /// There is room for sixteen at `into`.
    #[inline(always)]
    pub(in super::super) unsafe fn store_bytes(self, into: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe { _mm_storeu_si128(into.cast(), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(self.0))) }
    }
}
