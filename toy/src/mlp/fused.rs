//! The multiply-add that all kernels are made of.

use fearless_simd::{Simd, f32x16, prelude::*};

/// a·b + c, lane by lane, rounded once.
#[inline(always)]
pub(super) fn fused<S: Simd>(a: f32x16<S>, b: f32x16<S>, c: f32x16<S>) -> f32x16<S> {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if a.simd.level().as_avx2().is_none() {
        return emulated(a, b, c);
    }
    a.mul_add_precise(b, c)
}

/// [`fused`] where there is no such instruction: sixteen calls of a function. Within the kernels' unrolled loops they would be
/// nine tenths of this crate's machine code, and no faster.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[inline(never)]
fn emulated<S: Simd>(a: f32x16<S>, b: f32x16<S>, c: f32x16<S>) -> f32x16<S> {
    a.mul_add_precise(b, c)
}
