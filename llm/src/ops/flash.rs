//! Attention on CUDA: libtorch's flash attention over documents of differing lengths. Its backward pass adds in an order
//! that differs from run to run, unless torch is told to be deterministic.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use super::{Attention, plain};
use crate::Layout;
use crate::shim::FlashAttention;

thread_local! {
    /// The latest documents' ends on their device: every layer of a pass asks for the same, and the program waits for
    /// the device whenever something is uploaded.
    static LATEST: RefCell<Option<(Vec<i32>, Tensor)>> = const { RefCell::new(None) };
}

/// Whether flash attention is there for such numbers: not on another device or for another kind of number, with a soft
/// cap, or for heads that its kernels do not know.
pub(crate) fn applies(device: Device, kind: Kind, how: &Attention) -> bool {
    let knows = how.soft_cap.is_none() && how.heads.dim.is_multiple_of(8) && how.heads.dim <= 256;
    device.is_cuda() && kind == Kind::BFloat16 && knows
}

/// The documents' cumulative lengths from 0 on, on a device.
fn ends(layout: &Layout, device: Device) -> Tensor {
    let ends: Vec<i32> = std::iter::once(0).chain(layout.ranges().map(|range| range.end as i32)).collect();
    LATEST.with_borrow_mut(|latest| {
        let there = latest.take().filter(|(of, tensor)| *of == ends && tensor.device() == device);
        let (_, tensor) = latest.insert(there.unwrap_or_else(|| {
            let tensor = Tensor::from_slice(&ends).to_device(device);
            (ends, tensor)
        }));
        tensor.shallow_clone()
    })
}

/// `None` where flash attention does not apply, or documents share a prefix, of which it knows nothing.
fn prepare(qkv: &Tensor, layout: &Layout, how: &Attention) -> Option<FlashAttention> {
    if layout.prefix > 0 || !applies(qkv.device(), qkv.kind(), how) {
        return None;
    }
    Some(FlashAttention {
        ends: ends(layout, qkv.device()),
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
    use crate::ops::Heads;

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
    fn the_ends_of_a_pass_are_uploaded_once() {
        let layout = |lengths: &[usize]| Layout { prefix: 0, lengths: lengths.to_vec() };
        let first = ends(&layout(&[3, 1, 4]), Device::Cpu);
        assert_eq!(Vec::<i32>::try_from(&first).unwrap(), [0, 3, 4, 8]);
        assert_eq!(ends(&layout(&[3, 1, 4]), Device::Cpu).data_ptr(), first.data_ptr());
        assert_eq!(Vec::<i32>::try_from(&ends(&layout(&[2, 6]), Device::Cpu)).unwrap(), [0, 2, 8]);
    }
}
