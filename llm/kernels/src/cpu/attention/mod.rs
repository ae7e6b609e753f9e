//! Attention as flash attention does it, on the CPU: scores are formed for a tile of queries and a span of keys, used
//! while the cache holds them, and formed again in the backward pass.
//!
//! A tile is up to three times sixteen queries, in the lanes of AVX-512: where heads share keys, the same sixteen tokens
//! in up to three heads, so that a key, once loaded, serves them all and little is computed beyond the diagonal. With
//! queries in the lanes, the softmax's maxima and sums need no step across lanes.
//!
//! A task is a document (or the prefix) and a key head: gradients of keys and values need no other task's, but for
//! the prefix's, whose parts are kept apart and added in the documents' order. So no result depends on the threads.

mod backward;
mod forward;
mod gather;
mod problem;
mod products;
mod tile;

use tch::Tensor;

use super::lanes::{Number, Simd};
use super::rows::by_kind;
use crate::layout::Layout;
use crate::mask::Mask;
use crate::shape::Attention;
use problem::Problem;

pub(crate) fn attention(
    qkv: &Tensor,
    layout: &Layout,
    how: &Attention,
    dropout: Option<&Mask>,
    out: &Tensor,
) -> Option<Tensor> {
    by_kind!(qkv, forward(qkv, layout, how, dropout, out))
}

fn forward<S: Simd, N: Number>(
    simd: S,
    qkv: &Tensor,
    layout: &Layout,
    how: &Attention,
    dropout: Option<&Mask>,
    out: &Tensor,
) -> Option<Tensor> {
    forward::run(&Problem { dropout, ..Problem::<S, N>::new(simd, qkv, layout, how)? }, out)
}

pub(crate) fn attention_backward(
    d_out: &Tensor,
    qkv: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    how: &Attention,
) -> Option<Tensor> {
    by_kind!(qkv, backward(&d_out.to_kind(qkv.kind()), qkv, out, lse, layout, how))
}

fn backward<S: Simd, N: Number>(
    simd: S,
    d_out: &Tensor,
    qkv: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    how: &Attention,
) -> Option<Tensor> {
    backward::run(&Problem::<S, N>::new(simd, qkv, layout, how)?, d_out, out, lse)
}
