//! The transformer's operations, forward and backward, by hand: faster and leaner than autograd's, and the backward pass
//! can be left out where nothing needs it.
//!
//! Three implementations, chosen by device, processor and the tensors' kinds: `cpu`, kernels in AVX-512; `flash` and
//! `fused`, libtorch's flash attention and fused gates on CUDA; and [`plain`], libtorch's own operators, right everywhere.
//!
//! Shapes: T tokens of a pack, D width of the residual stream, F width of the feed-forward layer, H query heads, G key and
//! value heads, K dimensions of a head. Every tensor may be a view whose rows lie apart, as long as a row's numbers lie
//! side by side. Inputs are f32 or bf16; statistics are f32, and every result is rounded once.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

#[cfg(not(target_arch = "x86_64"))]
mod bytes;
#[cfg(target_arch = "x86_64")]
mod cpu;
mod flash;
mod fused;
mod layout;
pub mod logits;
pub mod machine;
mod mask;
pub mod memory;
pub mod plain;
pub mod shim;
#[cfg(test)]
mod tests;
mod upload;

use std::ops::Range;

#[cfg(not(target_arch = "x86_64"))]
pub use bytes::Bytes;
#[cfg(target_arch = "x86_64")]
pub use cpu::{Bytes, decode};
use tch::Tensor;

pub use flash::applies as is_flash;
pub use layout::Layout;
pub use mask::Mask;
pub use upload::upload;

/// Attention's heads. Query head h reads key and value head h / (queries / keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads, H: a multiple of `keys`.
    pub queries: usize,
    /// Key and value heads, G.
    pub keys: usize,
    /// Dimensions of a head, K.
    pub dim: usize,
}

impl Heads {
    /// Columns of the fused `[H·K queries | G·K keys | G·K values]`.
    pub fn width(&self) -> usize {
        (self.queries + 2 * self.keys) * self.dim
    }
}

/// The non-linearity of the gated feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(x): Llama, Phi-3, Qwen.
    Silu,
    /// Gaussian error linear unit in its tanh form: Gemma.
    GeluTanh,
}

/// How tokens attend to those before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The heads.
    pub heads: Heads,
    /// What query·key is multiplied by.
    pub scale: f64,
    /// c: scores become c·tanh(score / c) (Gemma 2).
    pub soft_cap: Option<f64>,
    /// How many latest tokens a token sees, itself included; `None`: all.
    pub window: Option<usize>,
}

/// A part of a matrix `[K, N]` outside which it is zero: these outputs read these inputs alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Columns.
    pub outputs: Range<usize>,
    /// Rows, in order; a range may be empty.
    pub inputs: [Range<usize>; 2],
}

/// A matrix product x·weight of `[T, K]` and `[K, N]`, either of which may be a transposed view, and what is added to it
/// before it is rounded.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    x: &'a Tensor,
    weight: &'a Tensor,
    blocks: &'a [Block],
    also: Option<(&'a Tensor, &'a Tensor)>,
    added: Option<&'a Tensor>,
}

impl<'a> Product<'a> {
    /// x·weight.
    pub fn of(x: &'a Tensor, weight: &'a Tensor) -> Self {
        Self { x, weight, blocks: &[], also: None, added: None }
    }

    /// Says where the weight is not zero: every output stands in one of the blocks, or there is none and all counts.
    #[must_use]
    pub fn within(self, blocks: &'a [Block]) -> Self {
        Self { blocks, ..self }
    }

    /// Adds another product, of which no blocks are known.
    ///
    /// # Panics
    /// If blocks are known of the first.
    #[must_use]
    pub fn and(self, x: &'a Tensor, weight: &'a Tensor) -> Self {
        assert!(self.blocks.is_empty(), "blocks are of one product");
        Self { also: Some((x, weight)), ..self }
    }

    /// Adds `[T, N]`, which may be what is written to, or `[N]` to every row.
    #[must_use]
    pub fn plus(self, added: Option<&'a Tensor>) -> Self {
        Self { added, ..self }
    }

    /// Computes it into a tensor of the factors' kind or of f32.
    pub fn write(self, out: &Tensor) {
        #[cfg(target_arch = "x86_64")]
        if cpu::product(&self, out).is_some() {
            return;
        }
        plain::product(&self, out);
    }

    /// Computes it into a new tensor of the factors' kind.
    pub fn result(self) -> Tensor {
        let size = [self.x.size()[0], self.weight.size()[1]];
        let out = Tensor::empty(size, (self.x.kind(), self.x.device()));
        self.write(&out);
        out
    }
}

/// Root-mean-square norm: out = x / rms(x) · weight per row, with rms = √(mean x² + eps). `weight_d` is f32, with what
/// a family adds to it added. Returns 1/rms, f32, one per row.
///
/// x and out are `[T, D]`, or `[T, H, D]` for a norm per head; out may be x.
pub fn rms_norm(x_td: &Tensor, weight_d: &Tensor, eps: f64, out_td: &Tensor) -> Tensor {
    #[cfg(target_arch = "x86_64")]
    if let Some(result) = cpu::rms_norm(x_td, weight_d, eps, out_td) {
        return result;
    }
    plain::rms_norm(x_td, weight_d, eps, out_td)
}

/// Backward of [`rms_norm`]: the gradient at x, of x's kind, plus `residual_td` (the gradient that went around the norm)
/// if given. The weight's gradient is added to `d_weight` (f32 `[D]`) if given. dy may be f32 where x is bf16.
pub fn rms_norm_backward(
    dy_td: &Tensor,
    x_td: &Tensor,
    weight_d: &Tensor,
    inv_rms_t: &Tensor,
    residual_td: Option<&Tensor>,
    d_weight: Option<&Tensor>,
) -> Tensor {
    #[cfg(target_arch = "x86_64")]
    if let Some(result) = cpu::rms_norm_backward(dy_td, x_td, weight_d, inv_rms_t, residual_td, d_weight) {
        return result;
    }
    plain::rms_norm_backward(dy_td, x_td, weight_d, inv_rms_t, residual_td, d_weight)
}

/// Turns the queries and keys of `[T, (H+2G)·K]` in place by each token's angles: dimension i < r/2 of a head is paired
/// with i + r/2, those from r on stay. `cos_tr` and `sin_tr` are f32 `[T, r/2]`. `backward` turns the other way: the
/// gradient's way back.
pub fn rope(qkv: &Tensor, cos_tr: &Tensor, sin_tr: &Tensor, heads: &Heads, backward: bool) {
    #[cfg(target_arch = "x86_64")]
    if cpu::rope(qkv, cos_tr, sin_tr, heads, backward).is_some() {
        return;
    }
    plain::rope(qkv, cos_tr, sin_tr, heads, backward);
}

/// out = activation(gate) · up, of `[T, 2F]` with the gate's columns first.
pub fn gated(gate_up: &Tensor, activation: Activation, out_tf: &Tensor) {
    #[cfg(target_arch = "x86_64")]
    if cpu::gated(gate_up, activation, out_tf).is_some() {
        return;
    }
    fused::gated(gate_up, activation, out_tf).unwrap_or_else(|| plain::gated(gate_up, activation, out_tf));
}

/// Backward of [`gated`]: the gradient `[T, 2F]`, of `gate_up`'s kind. Writes what the forward pass gave into `act_out`, if given, so that
/// nobody need keep it.
pub fn gated_backward(
    d_act: &Tensor,
    gate_up: &Tensor,
    activation: Activation,
    act_out: Option<&Tensor>,
) -> Tensor {
    #[cfg(target_arch = "x86_64")]
    if let Some(result) = cpu::gated_backward(d_act, gate_up, activation, act_out) {
        return result;
    }
    fused::gated_backward(d_act, gate_up, activation, act_out)
        .unwrap_or_else(|| plain::gated_backward(d_act, gate_up, activation, act_out))
}

/// Attention of `qkv` (`[T, (H+2G)·K]`, after [`rope`]) into `out` (`[T, H·K]`): a document's tokens see the prefix and
/// their own document up to themselves, the prefix's see the prefix. Returns the log-sum-exp of each row's scores, f32
/// `[H, T]`, for the backward pass.
pub fn attention(qkv: &Tensor, layout: &Layout, how: &Attention, out: &Tensor) -> Tensor {
    #[cfg(target_arch = "x86_64")]
    if let Some(result) = cpu::attention(qkv, layout, how, None, out) {
        return result;
    }
    flash::attention(qkv, layout, how, out).unwrap_or_else(|| plain::attention(qkv, layout, how, None, out))
}

/// The same with probabilities dropped and the kept ones scaled, as `dropout` has it for each token. There is no way
/// back.
pub fn attention_dropped(
    qkv: &Tensor,
    layout: &Layout,
    how: &Attention,
    dropout: &Mask,
    out: &Tensor,
) -> Tensor {
    #[cfg(target_arch = "x86_64")]
    if let Some(result) = cpu::attention(qkv, layout, how, Some(dropout), out) {
        return result;
    }
    // Flash attention has random numbers of its own, which depend on what else is computed.
    plain::attention(qkv, layout, how, Some(dropout), out)
}

/// Backward of [`attention`]: the gradient at `qkv`, contiguous and of its kind.
pub fn attention_backward(
    d_out: &Tensor,
    qkv: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    how: &Attention,
) -> Tensor {
    #[cfg(target_arch = "x86_64")]
    if let Some(result) = cpu::attention_backward(d_out, qkv, out, lse, layout, how) {
        return result;
    }
    flash::attention_backward(d_out, qkv, out, lse, layout, how)
        .unwrap_or_else(|| plain::attention_backward(d_out, qkv, out, lse, layout, how))
}
