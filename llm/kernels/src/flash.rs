//! Attention on CUDA: libtorch's flash attention over documents of differing lengths. Its backward pass adds in an order
//! that differs from run to run, unless torch is told to be deterministic.

use tch::{Device, Kind, Tensor};

use crate::layout::Layout;
use crate::plain;
use crate::shape::Attention;
use crate::shim::FlashAttention;
use crate::upload::upload;

/// Whether flash attention is there for such numbers: not on another device or for another kind of number, with a soft
/// cap, or for heads that its kernels do not know.
pub fn applies(device: Device, kind: Kind, how: &Attention) -> bool {
    let knows = how.soft_cap.is_none() && how.heads.dim.is_multiple_of(8) && how.heads.dim <= 256;
    device.is_cuda() && kind == Kind::BFloat16 && knows
}

/// The documents' cumulative lengths from 0 on.
fn ends(layout: &Layout) -> Vec<i32> {
    std::iter::once(0).chain(layout.ranges().map(|range| range.end as i32)).collect()
}

/// `None` where flash attention does not apply, or documents share a prefix, of which it knows nothing.
fn prepare(qkv: &Tensor, layout: &Layout, how: &Attention) -> Option<FlashAttention> {
    if layout.prefix > 0 || !applies(qkv.device(), qkv.kind(), how) {
        return None;
    }
    Some(FlashAttention {
        ends: upload(&ends(layout), qkv.device()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Heads;

    #[test]
    fn flash_attention_is_for_bf16_on_cuda() {
        let heads = Heads { queries: 4, keys: 2, dim: 64 };
        let how = Attention { heads, scale: 0.1, soft_cap: None, window: Some(5) };
        let cuda = Device::Cuda(0);
        assert!(applies(cuda, Kind::BFloat16, &how));
        assert!(!applies(Device::Cpu, Kind::BFloat16, &how) && !applies(Device::Mps, Kind::BFloat16, &how));
        assert!(!applies(cuda, Kind::Float, &how));
        assert!(!applies(cuda, Kind::BFloat16, &Attention { soft_cap: Some(50.0), ..how }));
        for dim in [12, 264] {
            assert!(!applies(cuda, Kind::BFloat16, &Attention { heads: Heads { dim, ..heads }, ..how }));
        }
    }

    #[test]
    fn documents_end_where_the_next_begin() {
        assert_eq!(ends(&Layout { prefix: 0, lengths: vec![3, 1, 4] }), [0, 3, 4, 8]);
    }
}
