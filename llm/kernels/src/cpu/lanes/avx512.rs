//! AVX-512 with its bf16 instructions.
#![allow(clippy::wildcard_imports)]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::simd::{LANES, Mask, Simd};
use crate::backend::Backend;

/// Proof that the processor has AVX-512 with its bf16 instructions.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Avx512(());

fn first(count: usize) -> Mask {
    (1_u32 << count).wrapping_sub(1) as Mask
}

#[inline(always)]
fn widen(x: __m256i) -> __m512 {
    intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x))))
}

#[inline(always)]
fn narrow(x: __m512) -> __m256i {
    intrinsic!(transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)))
}

impl Simd for Avx512 {
    type Floats = __m512;
    type Integers = __m512i;

    const WIDE: bool = true;
    const BF16_PARTS: usize = 1;

    fn detect() -> Option<Self> {
        Backend::of_cpu().is_ok_and(|own| own.includes(Backend::Avx512Bf16)).then_some(Self(()))
    }

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
        #[inline(never)]
        fn compiled<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn splat(x: f32) -> __m512 {
        intrinsic!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn add(a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsic!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn mul_sub(a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsic!(_mm512_fmsub_ps(a, b, c))
    }

    #[inline(always)]
    fn negated_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsic!(_mm512_fnmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_max_ps(b, a))
    }

    #[inline(always)]
    fn min(a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_min_ps(b, a))
    }

    #[inline(always)]
    fn select(mask: Mask, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_mask_blend_ps(mask, b, a))
    }

    #[inline(always)]
    fn above(a: __m512, b: __m512) -> Mask {
        intrinsic!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b))
    }

    #[inline(always)]
    fn largest(a: __m512) -> f32 {
        intrinsic!(_mm512_reduce_max_ps(a))
    }

    #[inline(always)]
    fn sum(a: __m512) -> f32 {
        intrinsic!(_mm512_reduce_add_ps(a))
    }

    #[inline(always)]
    fn round(a: __m512) -> __m512 {
        intrinsic!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }

    #[inline(always)]
    fn scale(a: __m512, n: __m512) -> __m512 {
        intrinsic!(_mm512_scalef_ps(a, n))
    }

    #[inline(always)]
    fn split(a: __m512) -> [__m512; 2] {
        intrinsic!([_mm512_getmant_ps::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(a), _mm512_getexp_ps(a)])
    }

    #[inline(always)]
    fn reciprocal(a: __m512) -> __m512 {
        intrinsic!(_mm512_rcp14_ps(a))
    }

    #[inline(always)]
    unsafe fn store_first(a: __m512, into: *mut f32, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_mask_storeu_ps(into, first(count), a) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> __m512 {
        // SAFETY: the caller's promise.
        widen(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_first_bf16(from: *const u16, count: usize) -> __m512 {
        // SAFETY: the caller's promise.
        widen(unsafe { _mm256_maskz_loadu_epi16(first(count), from.cast()) })
    }

    #[inline(always)]
    unsafe fn store_bf16(a: __m512, into: *mut u16) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_si256(into.cast(), narrow(a)) }
    }

    #[inline(always)]
    unsafe fn store_first_bf16(a: __m512, into: *mut u16, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_mask_storeu_epi16(into.cast(), first(count), narrow(a)) }
    }

    #[inline(always)]
    fn bf16(a: __m512) -> __m512i {
        intrinsic!(_mm512_cvtepu16_epi32(narrow(a)))
    }

    #[inline(always)]
    fn bf16_part(a: __m512i, _: usize) -> __m512i {
        a
    }

    #[inline(always)]
    fn dot_bf16(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        let bf16s = transmute::<__m512i, __m512bh>;
        intrinsic!(_mm512_dpbf16_ps(sum, bf16s(a), bf16s(b)))
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first_words(from: *const u32, count: usize) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_maskz_loadu_epi32(first(count), from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(a: __m512i, into: *mut u32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_si512(into.cast(), a) }
    }

    #[inline(always)]
    fn splat_word(word: u32) -> __m512i {
        intrinsic!(_mm512_set1_epi32(word.cast_signed()))
    }

    #[inline(always)]
    fn count() -> __m512i {
        intrinsic!(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
    }

    #[inline(always)]
    fn as_floats(a: __m512i) -> __m512 {
        intrinsic!(_mm512_castsi512_ps(a))
    }

    #[inline(always)]
    fn as_words(a: __m512) -> __m512i {
        intrinsic!(_mm512_castps_si512(a))
    }

    #[inline(always)]
    fn add_words(a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn mul_words(a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn and(a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_and_si512(a, b))
    }

    #[inline(always)]
    fn or(a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_or_si512(a, b))
    }

    #[inline(always)]
    fn xor(a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn shift_right<const BY: u32>(a: __m512i) -> __m512i {
        intrinsic!(_mm512_srli_epi32::<BY>(a))
    }

    #[inline(always)]
    fn shift_up_half(a: __m512i) -> __m512i {
        intrinsic!(_mm512_slli_epi32::<16>(a))
    }

    #[inline(always)]
    fn words_above(a: __m512i, b: __m512i) -> Mask {
        intrinsic!(_mm512_cmpgt_epi32_mask(a, b))
    }

    #[inline(always)]
    fn look_up(table: __m512, index: __m512i) -> __m512 {
        intrinsic!(_mm512_permutexvar_ps(index, table))
    }

    #[inline(always)]
    fn halves_from(a: __m512i, least: u16) -> u32 {
        intrinsic!(_mm512_cmpge_epu16_mask(a, _mm512_set1_epi16(least.cast_signed())))
    }

    #[inline(always)]
    fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
        let (mut a, mut b) = (rows, rows);
        intrinsic!({
            for i in (0..16).step_by(2) {
                b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
                b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
            }
            for i in (0..16).step_by(4) {
                a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
                a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
                a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
                a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
            }
            // Now a[4g + i] has, in its quarter q, column 4q + i of rows 4g to 4g + 3.
            for i in 0..4 {
                b[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[4 + i]);
                b[4 + i] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[4 + i]);
                b[8 + i] = _mm512_shuffle_i32x4::<0x88>(a[8 + i], a[12 + i]);
                b[12 + i] = _mm512_shuffle_i32x4::<0xdd>(a[8 + i], a[12 + i]);
            }
            for i in 0..4 {
                a[i] = _mm512_shuffle_i32x4::<0x88>(b[i], b[8 + i]);
                a[8 + i] = _mm512_shuffle_i32x4::<0xdd>(b[i], b[8 + i]);
                a[4 + i] = _mm512_shuffle_i32x4::<0x88>(b[4 + i], b[12 + i]);
                a[12 + i] = _mm512_shuffle_i32x4::<0xdd>(b[4 + i], b[12 + i]);
            }
        });
        a
    }
}
