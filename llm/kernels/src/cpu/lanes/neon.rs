//! NEON, which every 64-bit Arm processor has: sixteen numbers are four registers.
// The compiler knows that the processor has them, so that what only computes is safe; `intrinsic!` is for x86's sake.
#![allow(clippy::wildcard_imports, unused_unsafe)]

use std::arch::aarch64::*;
use std::array::from_fn;

use super::simd::{LANES, Mask, Simd};
use crate::backend::Backend;

/// Proof that this process computes with NEON.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Neon(());

/// Numbers in a register.
const QUARTER: usize = 4;
const REGISTERS: usize = LANES / QUARTER;

type Floats = [float32x4_t; REGISTERS];
type Integers = [uint32x4_t; REGISTERS];

/// The same of every register.
macro_rules! each {
    ($($name:ident),+ => $of:expr) => {
        from_fn(
            #[inline(always)]
            |i| {
                $(let $name = $name[i];)+
                intrinsic!($of)
            },
        )
    };
}

/// The bits of four words of all ones or zeros, from bit `4 · register` on.
#[inline(always)]
fn mask(of: Integers) -> Mask {
    let mut result = 0;
    for (register, words) in of.into_iter().enumerate() {
        let bits = intrinsic!(vaddvq_u32(vandq_u32(words, bits())));
        result |= (bits as Mask) << (QUARTER * register);
    }
    result
}

/// 1, 2, 4, 8.
#[inline(always)]
fn bits() -> uint32x4_t {
    // SAFETY: four words lie there.
    unsafe { vld1q_u32([1, 2, 4, 8].as_ptr()) }
}

#[inline(always)]
fn ints(a: uint32x4_t) -> int32x4_t {
    intrinsic!(vreinterpretq_s32_u32(a))
}

#[inline(always)]
fn floats(a: uint32x4_t) -> float32x4_t {
    intrinsic!(vreinterpretq_f32_u32(a))
}

#[inline(always)]
fn words(a: float32x4_t) -> uint32x4_t {
    intrinsic!(vreinterpretq_u32_f32(a))
}

/// 2ⁿ for a whole number from −126 to 128.
#[inline(always)]
fn power(n: int32x4_t) -> float32x4_t {
    intrinsic!(vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127)))))
}

/// To the nearest bf16, of two the even one, in the lower half of each word; NaN stays NaN.
#[inline(always)]
fn rounded(x: float32x4_t) -> uint32x4_t {
    intrinsic!({
        let bits = words(x);
        let upper = vshrq_n_u32::<16>(bits);
        let odd = vandq_u32(upper, vdupq_n_u32(1));
        let nearest = vshrq_n_u32::<16>(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))));
        let quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
        vbslq_u32(vceqq_f32(x, x), nearest, quiet)
    })
}

/// The lower halves of eight words.
#[inline(always)]
fn packed(low: uint32x4_t, high: uint32x4_t) -> uint16x8_t {
    intrinsic!(vcombine_u16(vmovn_u32(low), vmovn_u32(high)))
}

impl Simd for Neon {
    type Floats = Floats;
    type Integers = Integers;

    // 32 registers of four hold as many numbers as sixteen of eight.
    const WIDE: bool = false;
    const BF16_PARTS: usize = 2;

    fn detect() -> Option<Self> {
        (Backend::of_cpu() == Ok(Backend::Neon)).then_some(Self(()))
    }

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[inline(never)]
        fn compiled<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        compiled(work)
    }

    #[inline(always)]
    fn splat(x: f32) -> Floats {
        [intrinsic!(vdupq_n_f32(x)); REGISTERS]
    }

    #[inline(always)]
    fn add(a: Floats, b: Floats) -> Floats {
        each!(a, b => vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(a: Floats, b: Floats) -> Floats {
        each!(a, b => vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(a: Floats, b: Floats) -> Floats {
        each!(a, b => vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(a: Floats, b: Floats) -> Floats {
        each!(a, b => vdivq_f32(a, b))
    }

    #[inline(always)]
    fn mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
        each!(a, b, c => vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn mul_sub(a: Floats, b: Floats, c: Floats) -> Floats {
        each!(a, b, c => vfmaq_f32(vnegq_f32(c), a, b))
    }

    #[inline(always)]
    fn negated_mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
        each!(a, b, c => vfmsq_f32(c, a, b))
    }

    // By comparison: the instructions for it give NaN.
    #[inline(always)]
    fn max(a: Floats, b: Floats) -> Floats {
        each!(a, b => vbslq_f32(vcgtq_f32(b, a), b, a))
    }

    #[inline(always)]
    fn min(a: Floats, b: Floats) -> Floats {
        each!(a, b => vbslq_f32(vcltq_f32(b, a), b, a))
    }

    #[inline(always)]
    fn select(mask: Mask, a: Floats, b: Floats) -> Floats {
        from_fn(
            #[inline(always)]
            |i| {
                intrinsic!({
                    let own = vdupq_n_u32(u32::from(mask >> (QUARTER * i)));
                    vbslq_f32(vtstq_u32(own, bits()), a[i], b[i])
                })
            },
        )
    }

    #[inline(always)]
    fn above(a: Floats, b: Floats) -> Mask {
        mask(each!(a, b => vcgtq_f32(a, b)))
    }

    #[inline(always)]
    fn largest(a: Floats) -> f32 {
        intrinsic!(vmaxvq_f32(vmaxq_f32(vmaxq_f32(a[0], a[1]), vmaxq_f32(a[2], a[3]))))
    }

    #[inline(always)]
    fn sum(a: Floats) -> f32 {
        intrinsic!(vaddvq_f32(vaddq_f32(vaddq_f32(a[0], a[1]), vaddq_f32(a[2], a[3]))))
    }

    #[inline(always)]
    fn round(a: Floats) -> Floats {
        each!(a => vrndnq_f32(a))
    }

    #[inline(always)]
    fn scale(a: Floats, n: Floats) -> Floats {
        each!(a, n => {
            // In two steps, for 2ⁿ may be no normal number.
            let n = vcvtnq_s32_f32(vminq_f32(n, vdupq_n_f32(256.0)));
            let part = vshrq_n_s32::<1>(n);
            vmulq_f32(vmulq_f32(a, power(part)), power(vsubq_s32(n, part)))
        })
    }

    #[inline(always)]
    fn split(a: Floats) -> [Floats; 2] {
        let mantissa = each!(a => {
            let digits = vandq_u32(words(a), vdupq_n_u32(0x007f_ffff));
            floats(vorrq_u32(digits, words(vdupq_n_f32(1.0))))
        });
        let exponent = each!(a => {
            vcvtq_f32_s32(vsubq_s32(ints(vshrq_n_u32::<23>(words(a))), vdupq_n_s32(127)))
        });
        [mantissa, exponent]
    }

    // The estimate has eight bits; a step of Newton's doubles them.
    #[inline(always)]
    fn reciprocal(a: Floats) -> Floats {
        each!(a => {
            let estimate = vrecpeq_f32(a);
            vmulq_f32(vrecpsq_f32(a, estimate), estimate)
        })
    }

    #[inline(always)]
    unsafe fn store_bf16(a: Floats, into: *mut u16) {
        let [a, b, c, d] = Self::bf16(a);
        // SAFETY: the caller's promise.
        unsafe {
            vst1q_u16(into, packed(a, b));
            vst1q_u16(into.add(LANES / 2), packed(c, d));
        }
    }

    #[inline(always)]
    fn bf16(a: Floats) -> Integers {
        a.map(rounded)
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Integers {
        // SAFETY: the caller's promise.
        from_fn(|i| unsafe { vmovl_u16(vld1_u16(from.add(QUARTER * i))) })
    }

    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> Integers {
        // SAFETY: the caller's promise.
        from_fn(|i| unsafe { vld1q_u32(from.add(QUARTER * i)) })
    }

    #[inline(always)]
    unsafe fn store_words(a: Integers, into: *mut u32) {
        for (i, a) in a.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { vst1q_u32(into.add(QUARTER * i), a) };
        }
    }

    #[inline(always)]
    fn splat_word(word: u32) -> Integers {
        [intrinsic!(vdupq_n_u32(word)); REGISTERS]
    }

    #[inline(always)]
    fn count() -> Integers {
        let numbers: [u32; LANES] = from_fn(|i| i as u32);
        // SAFETY: there are sixteen.
        unsafe { Self::load_words(numbers.as_ptr()) }
    }

    #[inline(always)]
    fn as_floats(a: Integers) -> Floats {
        a.map(floats)
    }

    #[inline(always)]
    fn as_words(a: Floats) -> Integers {
        a.map(words)
    }

    #[inline(always)]
    fn add_words(a: Integers, b: Integers) -> Integers {
        each!(a, b => vaddq_u32(a, b))
    }

    #[inline(always)]
    fn mul_words(a: Integers, b: Integers) -> Integers {
        each!(a, b => vmulq_u32(a, b))
    }

    #[inline(always)]
    fn and(a: Integers, b: Integers) -> Integers {
        each!(a, b => vandq_u32(a, b))
    }

    #[inline(always)]
    fn or(a: Integers, b: Integers) -> Integers {
        each!(a, b => vorrq_u32(a, b))
    }

    #[inline(always)]
    fn xor(a: Integers, b: Integers) -> Integers {
        each!(a, b => veorq_u32(a, b))
    }

    #[inline(always)]
    fn shift_right<const BY: u32>(a: Integers) -> Integers {
        each!(a => vshlq_u32(a, vdupq_n_s32(-BY.cast_signed())))
    }

    #[inline(always)]
    fn shift_up_half(a: Integers) -> Integers {
        each!(a => vshlq_n_u32::<16>(a))
    }

    #[inline(always)]
    fn words_above(a: Integers, b: Integers) -> Mask {
        mask(each!(a, b => vcgtq_s32(ints(a), ints(b))))
    }

    #[inline(always)]
    fn look_up(table: Floats, index: Integers) -> Floats {
        let [a, b, c, d] = table;
        let bytes = intrinsic!(uint8x16x4_t(
            vreinterpretq_u8_f32(a),
            vreinterpretq_u8_f32(b),
            vreinterpretq_u8_f32(c),
            vreinterpretq_u8_f32(d)
        ));
        each!(index => {
            // A word's four bytes: four times its index, and 0 to 3 more.
            let first = vandq_u32(index, vdupq_n_u32(15));
            let places = vmlaq_u32(vdupq_n_u32(0x0302_0100), first, vdupq_n_u32(0x0404_0404));
            vreinterpretq_f32_u8(vqtbl4q_u8(bytes, vreinterpretq_u8_u32(places)))
        })
    }

    #[inline(always)]
    fn halves_from(a: Integers, least: u16) -> u32 {
        // SAFETY: eight halves lie there.
        let bits = unsafe { vld1q_u16([1, 2, 4, 8, 16, 32, 64, 128].as_ptr()) };
        let mut result = 0;
        for (register, words) in a.into_iter().enumerate() {
            let found = intrinsic!({
                let at_least = vcgeq_u16(vreinterpretq_u16_u32(words), vdupq_n_u16(least));
                vaddvq_u16(vandq_u16(at_least, bits))
            });
            result |= u32::from(found) << (2 * QUARTER * register);
        }
        result
    }

    #[inline(always)]
    fn transpose(rows: [Integers; LANES]) -> [Integers; LANES] {
        let mut result = rows;
        for i in 0..REGISTERS {
            for j in 0..REGISTERS {
                let columns = square(from_fn(|row| rows[QUARTER * i + row][j]));
                for (column, of) in columns.into_iter().enumerate() {
                    result[QUARTER * j + column][i] = of;
                }
            }
        }
        result
    }
}

/// Rows become columns, four words of four rows.
#[inline(always)]
fn square([a, b, c, d]: [uint32x4_t; QUARTER]) -> [uint32x4_t; QUARTER] {
    intrinsic!({
        let (even, odd) = (pairs(vtrn1q_u32(a, b)), pairs(vtrn2q_u32(a, b)));
        let (even_below, odd_below) = (pairs(vtrn1q_u32(c, d)), pairs(vtrn2q_u32(c, d)));
        [
            vreinterpretq_u32_u64(vtrn1q_u64(even, even_below)),
            vreinterpretq_u32_u64(vtrn1q_u64(odd, odd_below)),
            vreinterpretq_u32_u64(vtrn2q_u64(even, even_below)),
            vreinterpretq_u32_u64(vtrn2q_u64(odd, odd_below)),
        ]
    })
}

#[inline(always)]
fn pairs(a: uint32x4_t) -> uint64x2_t {
    intrinsic!(vreinterpretq_u64_u32(a))
}
