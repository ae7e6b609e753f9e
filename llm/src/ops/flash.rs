//! Attention on CUDA: libtorch's flash attention over documents of differing lengths. Its backward pass adds in an order
//! that differs from run to run, unless torch is told to be deterministic.

use tch::{Kind, Tensor};

use super::{Attention, plain};
use crate::Layout;
use crate::shim::FlashAttention;

/// `None` where flash attention does not apply: on another device or for another kind of number, with a shared prefix, a
/// soft cap, or heads that its kernels do not know.
fn prepare(qkv: &Tensor, layout: &Layout, how: &Attention) -> Option<FlashAttention> {
    let knows = how.soft_cap.is_none() && how.heads.dim.is_multiple_of(8) && how.heads.dim <= 256;
    if !qkv.device().is_cuda() || qkv.kind() != Kind::BFloat16 || layout.prefix > 0 || !knows {
        return None;
    }
    let ends: Vec<i32> = std::iter::once(0).chain(layout.ranges().map(|range| range.end as i32)).collect();
    Some(FlashAttention {
        ends: Tensor::from_slice(&ends).to_device(qkv.device()),
        longest: layout.lengths.iter().copied().max().unwrap_or(0) as i64,
        scale: how.scale,
        window: how.window,
    })
}

/// `[T, heads·K]` → `[T, heads, K]`.
fn split(x: &Tensor, how: &Attention) -> Tensor {
    x.unflatten(1, [-1, how.heads.dim as i64])
}

pub(super) fn attention(qkv: &Tensor, layout: &Layout, how: &Attention, out: &Tensor) -> Option<Tensor> {
    let flash = prepare(qkv, layout, how)?;
    let [result, lse] = flash.forward(&plain::columns(qkv, &how.heads).map(|x| split(&x, how)));
    out.shallow_clone().copy_(&result.flatten(1, 2));
    Some(lse)
}

pub(super) fn attention_backward(
    d_out: &Tensor,
    qkv: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    how: &Attention,
) -> Option<Tensor> {
    let flash = prepare(qkv, layout, how)?;
    let outcome = [split(&d_out.to_kind(qkv.kind()), how), split(out, how), lse.shallow_clone()];
    let gradients = flash.backward(&outcome, &plain::columns(qkv, &how.heads).map(|x| split(&x, how)));
    Some(Tensor::cat(&gradients.map(|x| x.flatten(1, 2)), 1))
}
