//! The operations as kernels on libtorch's threads, generic over the instructions (`lanes/simd.rs`). Each entry gives `None`
//! where it does not apply: without the instructions, for another kind of number or place of memory.
#![allow(unsafe_code)]
// What works on lanes must be inlined into the functions that are compiled for the instructions.
#![allow(clippy::inline_always)]

#[cfg_attr(not(target_arch = "x86_64"), path = "../no_amx.rs")]
mod amx;
mod attention;
pub mod decode;
mod dropout;
mod factors;
mod gated;
pub(super) mod head_rows;
#[cfg_attr(not(target_arch = "x86_64"), path = "../no_int8.rs")]
mod int8;
mod lanes;
mod line;
pub(super) mod logits;
mod nf4;
mod norm;
mod product;
mod rope;
mod rows;
pub(super) mod spread;
mod transpose;
mod weight;

pub(super) use attention::{attention, attention_backward};
pub(super) use dropout::dropout;
pub(super) use gated::{gated, gated_backward};
pub use int8::Int8Weight;
pub(super) use nf4::{hold_nf4, nf4};
pub(super) use norm::{rms_norm, rms_norm_backward};
pub(super) use product::product;
pub(super) use rope::rope;
