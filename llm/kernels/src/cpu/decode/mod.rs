//! Decoding: passes of few rows, each computed by itself, so that a row's result is the same whatever rows stand beside
//! it. Nothing here goes through libtorch: at one token per sequence its operators' overhead and layouts cost more than
//! the arithmetic.
//!
//! Buffers and matrices whose shapes do not fit are a mistake of the calling code: every function here panics on them.
#![allow(clippy::missing_panics_doc)]

mod blocks;
mod buffer;
mod cache;
mod matrix;
mod rows;
mod support;
#[cfg(test)]
mod tests;

pub use super::lanes::{Number, Simd};
pub use buffer::Buffer;
pub use cache::{KeysValues, Place, attend, put};
pub use matrix::{Into, Matrix};
pub use rows::{Angles, add, embed, gated, norm, norm_heads, rope, soft_cap};
pub use support::available;
