//! Decoding: passes of few rows, each computed by itself, so that a row's result is the same whatever rows stand beside
//! it. Nothing here goes through libtorch: at one token per sequence its operators' overhead and layouts cost more than
//! the arithmetic.

mod blocks;
mod buffer;
mod cache;
mod matrix;
mod rows;
#[cfg(test)]
mod tests;

pub use super::lanes::Number;
pub use buffer::Buffer;
pub use cache::{KeysValues, Place, attend, put};
pub use matrix::{Into, Matrix};
pub use rows::{Angles, add, embed, gated, norm, norm_heads, rope, soft_cap};

use super::lanes::{Avx512, LANES};

/// Whether this processor has the instructions.
pub fn available() -> bool {
    Avx512::detect().is_some()
}

/// Proof of it, for functions that only what was made with it can reach.
fn simd() -> Avx512 {
    Avx512::detect().expect("buffers and matrices exist only where the instructions do")
}

/// A line of the processor's cache: sixteen words of 32 bits.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line([u32; LANES]);

pub(super) const EMPTY: Line = Line([0; LANES]);

/// Words that so many numbers take.
fn words<N: Number>(numbers: usize) -> usize {
    numbers.div_ceil(N::PER_WORD)
}
