//! What all of decoding asks.

use crate::cpu::lanes::{Avx512, Number};

/// Whether this processor has the instructions.
pub fn available() -> bool {
    Avx512::detect().is_some()
}

/// Proof of it, for functions that only what was made with it can reach.
pub(super) fn simd() -> Avx512 {
    Avx512::detect().expect("buffers and matrices exist only where the instructions do")
}

/// Words that so many numbers take.
pub(super) fn words<N: Number>(numbers: usize) -> usize {
    numbers.div_ceil(N::PER_WORD)
}
