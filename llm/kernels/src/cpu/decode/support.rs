//! What all of decoding asks.

use crate::backend::Backend;
use crate::cpu::lanes::Number;

/// Whether this process computes with instructions that decoding is written for.
pub fn available() -> bool {
    Backend::of_cpu().is_ok_and(Backend::has_kernels)
}

/// Evaluates the expression with the instructions that this process computes with.
macro_rules! computing {
    ($simd:ident => $body:expr) => {
        $crate::cpu::rows::with_instructions!(
            $simd => $body,
            else unreachable!("buffers and matrices exist only where the instructions do")
        )
    };
}
pub(super) use computing;

/// Words that so many numbers take.
pub(super) fn words<N: Number>(numbers: usize) -> usize {
    numbers.div_ceil(N::PER_WORD)
}
