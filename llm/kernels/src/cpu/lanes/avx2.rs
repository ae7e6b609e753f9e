//! AVX2 with FMA: sixteen numbers are two registers.
// Loops by index are unrolled, and rows stay in registers.
#![allow(clippy::wildcard_imports, clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::simd::{LANES, Mask, Simd};
use crate::backend::Backend;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Avx2(());

/// Numbers in a register.
const HALF: usize = LANES / 2;

type Floats = [__m256; 2];
type Integers = [__m256i; 2];

/// The same of both registers. No closures: they would be compiled without the instructions.
macro_rules! both {
    ($($name:ident),+ => $of:expr) => {
        [
            {
                $(let $name = $name[0];)+
                intrinsic!($of)
            },
            {
                $(let $name = $name[1];)+
                intrinsic!($of)
            },
        ]
    };
}

/// A register's numbers. The instructions' own functions copy them, which in programs with assertions is checked each time
/// and keeps sums out of the registers.
///
/// # Safety
/// So many lie at `from`.
#[inline(always)]
unsafe fn read<N, R>(from: *const N) -> R {
    // SAFETY: the caller's promise.
    unsafe { from.cast::<R>().read_unaligned() }
}

/// Two registers' highest bits of words as one mask.
#[inline(always)]
fn mask(of: Integers) -> Mask {
    let [low, high] = both!(of => _mm256_movemask_ps(_mm256_castsi256_ps(of)) as Mask);
    low | high << HALF
}

/// All bits of the words that a mask names.
#[inline(always)]
fn spread(mask: Mask) -> Integers {
    let low = intrinsic!(_mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128));
    let (all, bits) = intrinsic!((_mm256_set1_epi32(i32::from(mask)), [low, _mm256_slli_epi32::<8>(low)]));
    both!(bits => _mm256_cmpeq_epi32(_mm256_and_si256(all, bits), bits))
}

/// All bits of the first `count` words of the register that begins with word `from`.
#[inline(always)]
fn first(count: usize, from: usize) -> __m256i {
    let left = count.saturating_sub(from).min(HALF) as i32;
    intrinsic!(_mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))
}

/// To the nearest bf16, of two the even one, in the lower half of each word; NaN stays NaN.
#[inline(always)]
fn rounded(x: __m256) -> __m256i {
    intrinsic!({
        let bits = _mm256_castps_si256(x);
        let upper = _mm256_srli_epi32::<16>(bits);
        let odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
        let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
        let nearest = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half));
        let quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
        let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
        _mm256_blendv_epi8(nearest, quiet, is_nan)
    })
}

/// Sixteen words' lower halves, side by side.
#[inline(always)]
fn packed(words: Integers) -> __m256i {
    intrinsic!(_mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(words[0], words[1])))
}

/// Of a register, by an instruction for two registers of four.
macro_rules! reduced {
    ($x:expr, $by:ident) => {
        intrinsic!({
            let x = $x;
            let four = $by(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = $by(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32($by(two, _mm_movehdup_ps(two)))
        })
    };
}

/// 2ⁿ for a whole number from −126 to 128.
#[inline(always)]
fn power(n: __m256i) -> __m256 {
    intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)))))
}

/// Rows become columns, eight words of eight rows.
#[inline(always)]
fn square(rows: [__m256i; HALF]) -> [__m256i; HALF] {
    let (mut a, mut b) = (rows, rows);
    intrinsic!({
        for i in (0..8).step_by(2) {
            b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
            b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
        }
        for i in (0..8).step_by(4) {
            a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
            a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
            a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
            a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
        }
        for i in 0..4 {
            b[i] = _mm256_permute2x128_si256::<0x20>(a[i], a[4 + i]);
            b[4 + i] = _mm256_permute2x128_si256::<0x31>(a[i], a[4 + i]);
        }
    });
    b
}

impl Simd for Avx2 {
    type Floats = Floats;
    type Integers = Integers;

    const WIDE: bool = false;
    const BF16_PARTS: usize = 2;

    fn detect() -> Option<Self> {
        (Backend::of_cpu() == Ok(Backend::Avx2)).then_some(Self(()))
    }

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn compiled<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn splat(x: f32) -> Floats {
        [intrinsic!(_mm256_set1_ps(x)); 2]
    }

    #[inline(always)]
    fn add(a: Floats, b: Floats) -> Floats {
        both!(a, b => _mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(a: Floats, b: Floats) -> Floats {
        both!(a, b => _mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(a: Floats, b: Floats) -> Floats {
        both!(a, b => _mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(a: Floats, b: Floats) -> Floats {
        both!(a, b => _mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
        both!(a, b, c => _mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn mul_sub(a: Floats, b: Floats, c: Floats) -> Floats {
        both!(a, b, c => _mm256_fmsub_ps(a, b, c))
    }

    #[inline(always)]
    fn negated_mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
        both!(a, b, c => _mm256_fnmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(a: Floats, b: Floats) -> Floats {
        both!(a, b => _mm256_max_ps(b, a))
    }

    #[inline(always)]
    fn min(a: Floats, b: Floats) -> Floats {
        both!(a, b => _mm256_min_ps(b, a))
    }

    #[inline(always)]
    fn select(mask: Mask, a: Floats, b: Floats) -> Floats {
        let chosen = spread(mask);
        both!(a, b, chosen => _mm256_blendv_ps(b, a, _mm256_castsi256_ps(chosen)))
    }

    #[inline(always)]
    fn above(a: Floats, b: Floats) -> Mask {
        mask(both!(a, b => _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b))))
    }

    #[inline(always)]
    fn largest(a: Floats) -> f32 {
        reduced!(_mm256_max_ps(a[0], a[1]), _mm_max_ps)
    }

    #[inline(always)]
    fn sum(a: Floats) -> f32 {
        reduced!(_mm256_add_ps(a[0], a[1]), _mm_add_ps)
    }

    #[inline(always)]
    fn round(a: Floats) -> Floats {
        both!(a => _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }

    #[inline(always)]
    fn scale(a: Floats, n: Floats) -> Floats {
        both!(a, n => {
            // In two steps, for 2ⁿ may be no normal number.
            let n = _mm256_cvtps_epi32(_mm256_min_ps(n, _mm256_set1_ps(256.0)));
            let part = _mm256_srai_epi32::<1>(n);
            _mm256_mul_ps(_mm256_mul_ps(a, power(part)), power(_mm256_sub_epi32(n, part)))
        })
    }

    #[inline(always)]
    fn split(a: Floats) -> [Floats; 2] {
        let mantissa = both!(a => {
            let digits = _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x007f_ffff)));
            _mm256_or_ps(digits, _mm256_set1_ps(1.0))
        });
        let exponent = both!(a => {
            let biased = _mm256_srli_epi32::<23>(_mm256_castps_si256(a));
            _mm256_cvtepi32_ps(_mm256_sub_epi32(biased, _mm256_set1_epi32(127)))
        });
        [mantissa, exponent]
    }

    #[inline(always)]
    fn reciprocal(a: Floats) -> Floats {
        both!(a => _mm256_rcp_ps(a))
    }

    #[inline(always)]
    unsafe fn store_first(a: Floats, into: *mut f32, count: usize) {
        for (i, a) in a.into_iter().enumerate() {
            // SAFETY: the caller's promise; what the mask leaves out is not written.
            unsafe { _mm256_maskstore_ps(into.wrapping_add(i * HALF), first(count, i * HALF), a) };
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(a: Floats, into: *mut u16) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_si256(into.cast(), packed(Self::bf16(a))) }
    }

    #[inline(always)]
    fn bf16(a: Floats) -> Integers {
        [rounded(a[0]), rounded(a[1])]
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Integers {
        // SAFETY: the caller's promise.
        unsafe { [_mm256_cvtepu16_epi32(read(from)), _mm256_cvtepu16_epi32(read(from.add(HALF)))] }
    }

    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> Integers {
        // SAFETY: the caller's promise.
        unsafe { [read(from), read(from.add(HALF))] }
    }

    #[inline(always)]
    unsafe fn load_first_words(from: *const u32, count: usize) -> Integers {
        // SAFETY: the caller's promise; what the mask leaves out is not read.
        unsafe {
            [
                _mm256_maskload_epi32(from.cast(), first(count, 0)),
                _mm256_maskload_epi32(from.wrapping_add(HALF).cast(), first(count, HALF)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store_words(a: Integers, into: *mut u32) {
        // SAFETY: the caller's promise.
        unsafe {
            _mm256_storeu_si256(into.cast(), a[0]);
            _mm256_storeu_si256(into.add(HALF).cast(), a[1]);
        }
    }

    #[inline(always)]
    fn splat_word(word: u32) -> Integers {
        [intrinsic!(_mm256_set1_epi32(word.cast_signed())); 2]
    }

    #[inline(always)]
    fn count() -> Integers {
        intrinsic!([
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)
        ])
    }

    #[inline(always)]
    fn as_floats(a: Integers) -> Floats {
        both!(a => _mm256_castsi256_ps(a))
    }

    #[inline(always)]
    fn as_words(a: Floats) -> Integers {
        both!(a => _mm256_castps_si256(a))
    }

    #[inline(always)]
    fn add_words(a: Integers, b: Integers) -> Integers {
        both!(a, b => _mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn mul_words(a: Integers, b: Integers) -> Integers {
        both!(a, b => _mm256_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn and(a: Integers, b: Integers) -> Integers {
        both!(a, b => _mm256_and_si256(a, b))
    }

    #[inline(always)]
    fn or(a: Integers, b: Integers) -> Integers {
        both!(a, b => _mm256_or_si256(a, b))
    }

    #[inline(always)]
    fn xor(a: Integers, b: Integers) -> Integers {
        both!(a, b => _mm256_xor_si256(a, b))
    }

    #[inline(always)]
    fn shift_right<const BY: u32>(a: Integers) -> Integers {
        both!(a => _mm256_srl_epi32(a, _mm_cvtsi32_si128(BY.cast_signed())))
    }

    #[inline(always)]
    fn shift_up_half(a: Integers) -> Integers {
        both!(a => _mm256_slli_epi32::<16>(a))
    }

    #[inline(always)]
    fn words_above(a: Integers, b: Integers) -> Mask {
        mask(both!(a, b => _mm256_cmpgt_epi32(a, b)))
    }

    #[inline(always)]
    fn look_up(table: Floats, index: Integers) -> Floats {
        let [low, high] = table;
        both!(index => {
            // The lowest three bits name one of eight, the fourth which eight.
            let [low, high] = [_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index)];
            _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index)))
        })
    }

    #[inline(always)]
    fn halves_from(a: Integers, least: u16) -> u32 {
        let [low, high] = both!(a => {
            let least = _mm256_set1_epi16(least.cast_signed());
            let at_least = _mm256_cmpeq_epi16(_mm256_max_epu16(a, least), a);
            // Eight bytes of each half of the register, then zeros.
            let bits = _mm256_movemask_epi8(_mm256_packs_epi16(at_least, _mm256_setzero_si256()));
            (bits | bits >> 8).cast_unsigned() & 0xffff
        });
        low | high << LANES
    }

    #[inline(always)]
    fn transpose(rows: [Integers; LANES]) -> [Integers; LANES] {
        let mut result = rows;
        for (i, first) in [0, HALF].into_iter().enumerate() {
            for (j, columns) in [0, HALF].into_iter().enumerate() {
                let mut part = [rows[0][0]; HALF];
                for row in 0..HALF {
                    part[row] = rows[first + row][j];
                }
                let part = square(part);
                for column in 0..HALF {
                    result[columns + column][i] = part[column];
                }
            }
        }
        result
    }
}
