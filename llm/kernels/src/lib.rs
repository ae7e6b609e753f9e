//! The transformer's operations, forward and backward, by hand: faster and leaner than autograd's, and the backward pass
//! can be left out where nothing needs it. The crate knows tensors and numbers, and neither a model nor an objective.
//!
//! # Back ends
//!
//! A [`Backend`] is what computes; `tokensieve doctor` and a run's `run.json` name it. On a CPU it is detected once, or
//! pinned by the environment variable `TOKENSIEVE_BACKEND`:
//!
//! - `avx512-bf16`: kernels in AVX-512 with its bf16 instructions, on libtorch's threads. What no kernel applies to (another
//!   kind of number, a product of fewer than 24 rows whose result is of its factors' kind) is left to libtorch.
//! - `amx`: the same, but products of bf16, however few the rows, by the processor's matrix instructions.
//! - `avx2`: the same kernels, compiled for AVX2 and FMA. bf16 is widened where it is multiplied and rounded as the
//!   instructions of `avx512-bf16` round it; f32 is faster.
//! - `neon`: the same kernels on 64-bit Arm processors, with bf16 as in `avx2`.
//! - `plain`: libtorch's own operators, right without any of these instructions, and for f64 too. bf16 is a form of storage
//!   there: every operation computes in f32 and rounds its result once, as the kernels do.
//! - `cuda`: on a GPU, libtorch's products and flash attention, and kernels of our own for all else (`cuda/kernels.cu`), which
//!   NVRTC compiles there; libtorch's operators where it cannot.
//!
//! Every entry of the crate asks the processor's kernels first, then the GPU's, then [`plain`].
//!
//! | operation | amx, avx512-bf16, avx2, neon | plain | cuda | tested |
//! |---|---|---|---|---|
//! | [`Product`] | `cpu/product/`, `cpu/amx.rs` | `plain.rs` | libtorch | f64, all shapes and layouts; kernel against plain |
//! | [`rms_norm`], [`gated`], [`attention`] | `cpu/norm.rs`, `gated.rs`, `attention/` | `plain.rs` | kernels, kernels, flash | f64 autograd of the formula; kernel against plain; any number of threads |
//! | [`rope`] | `cpu/rope.rs` | `plain.rs` | kernel | f64 formula and back; kernel against plain |
//! | dropout ([`Mask`]) | `cpu/dropout.rs` | `plain.rs` | kernel | the same numbers dropped; the rate |
//! | [`head_rows`] | `cpu/head_rows/` | `head_rows/plain.rs` | kernels, libtorch for the most probable tokens | kernel against plain; f64 autograd in `tokensieve-model` |
//! | [`spread`] | `cpu/spread.rs` | `spread/plain.rs` | libtorch | kernel against plain |
//! | [`logits`] (sampling) | `cpu/logits.rs` | loops | on the host | kernel against loops |
//! | [`Int8Weight`] (int8) | `cpu/int8.rs` (avx512-bf16 with VNNI) | none | none | product of the rounded factors |
//! | [`Nf4Weight`] (4 bits) | `cpu/nf4.rs` | `nf4.rs` | kernel | nearest levels; kernel against plain |
//! | sums over GPUs ([`nccl`]) | none | none | NCCL | functions in NCCL's place; one GPU alone |
//! | `decode` | `cpu/decode/` | the forward pass with a cache | the same, with attention by kernels ([`Held`]) | libtorch; a row by itself |
//!
//! Tests of a kernel call it directly and fail where it does not apply. Where this process computes without kernels, they
//! print `skipped: TEST (needs kernels)`, and fail if `TOKENSIEVE_REQUIRE_BACKEND` names another back end than the process's. One
//! test runs all others again on every other back end that the machine has. The GPU's kernels are compiled for the CPU as
//! well and tested there, one thread at a time; `tokensieve-train`'s `tests/cuda.rs` runs where there is a GPU.
//!
//! # Shapes
//!
//! T tokens of a pack, D width of the residual stream, F width of the feed-forward layer, H query heads, G key and value
//! heads, K dimensions of a head. Every tensor may be a view whose rows lie apart, as long as a row's numbers lie side by
//! side. Inputs are f32 or bf16; statistics are f32, and every result is rounded once.
//!
//! # Map
//!
//! `shape` and `product` say what is computed, `cpu/lanes/` is the one layer of SIMD (sixteen numbers at a time, with
//! exponentials, logarithm and tanh; a set of instructions is one implementation of its trait `Simd`), `cpu/rows.rs`
//! reads tensors as rows, `shim` is what tch has no call for, and [`memory`] and [`machine`] say where tensors live and what libtorch offers.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the kernels are written for x86-64 and for 64-bit Arm");

/// Ends a test of the kernels where this process computes with another back end.
#[cfg(test)]
macro_rules! needs_kernels {
    () => {
        if !crate::backend::runs_tests_of_kernels() {
            return;
        }
    };
}
#[cfg(test)]
use needs_kernels;

pub mod backend;
mod cpu;
mod cuda;
mod flash;
pub mod head_rows;
mod layout;
mod library;
pub mod logits;
pub mod machine;
mod mask;
pub mod memory;
mod nf4;
pub mod plain;
mod product;
mod shape;
pub mod shim;
pub mod spread;
#[cfg(test)]
mod tests;
mod upload;

use tch::Tensor;

pub use backend::{Backend, kind_name};
pub use cpu::{Int8Weight, decode};
pub use cuda::{Held, Sequence, nccl};
pub use flash::applies as is_flash;
pub use layout::Layout;
pub use mask::Mask;
pub use nf4::Nf4Weight;
pub use product::{Block, Product};
pub use shape::{Activation, Attention, Heads};
pub use upload::upload;

impl Product<'_> {
    /// Computes it into a tensor of the factors' kind or of f32.
    pub fn write(self, out: &Tensor) {
        if cpu::product(&self, out).is_some() {
            return;
        }
        // Kernels leave few rows to libtorch, which rounds to the factors' kind.
        let has_bf16 = || Backend::of_cpu().is_ok_and(|own| own.includes(Backend::Avx512Bf16));
        if self.x.kind() == out.kind() && has_bf16() {
            plain::native_product(&self, out);
        } else {
            plain::product(&self, out);
        }
    }

    /// Computes it into a new tensor of the factors' kind.
    pub fn result(self) -> Tensor {
        let size = [self.x.size()[0], self.weight.size()[1]];
        let out = Tensor::empty(size, (self.x.kind(), self.x.device()));
        self.write(&out);
        out
    }
}

impl Nf4Weight {
    /// The nearest levels to the numbers of a weight of f32 or bf16, on its device.
    ///
    /// # Panics
    /// If it is no matrix.
    pub fn of(weight_oi: &Tensor) -> Self {
        let size = weight_oi.size().try_into().expect("a weight is a matrix");
        let held = Self::empty(size, weight_oi.device());
        cpu::hold_nf4(weight_oi, &held).unwrap_or_else(|| held.hold_plainly(weight_oi));
        held
    }

    /// Writes what the levels stand for, each number rounded once, into `[O, I]` of f32 or bf16, whose rows may lie apart.
    ///
    /// # Panics
    /// If that is of another size.
    pub fn write(&self, out_oi: &Tensor) {
        assert_eq!(out_oi.size(), [self.outputs(), self.inputs()], "a matrix of the weight's size");
        cpu::nf4(self, out_oi)
            .or_else(|| cuda::nf4(self, out_oi))
            .unwrap_or_else(|| self.write_plainly(out_oi));
    }
}

impl Mask {
    /// x `[T, I]` with the dropped numbers at 0, not scaled: that costs less on the small result of the product that
    /// follows, see [`Mask::rescale`].
    pub fn apply(&self, x: &Tensor) -> Tensor {
        dropout(x, None, self, 1.0)
    }

    /// x `[T, D]` with the dropped numbers at 0 and the kept ones scaled, plus `base`.
    pub fn add(&self, x: &Tensor, base: Option<&Tensor>) -> Tensor {
        dropout(x, base, self, self.scale())
    }
}

fn dropout(x: &Tensor, base: Option<&Tensor>, mask: &Mask, scale: f64) -> Tensor {
    assert_eq!(x.size()[0], mask.rows() as i64, "a key per row");
    cpu::dropout(x, base, mask, scale)
        .or_else(|| cuda::dropout(x, base, mask, scale))
        .unwrap_or_else(|| plain::dropout(x, base, mask, scale))
}

/// Root-mean-square norm: out = x / rms(x) · weight per row, with rms = √(mean x² + eps). `weight_d` is f32, with what
/// a family adds to it added. Returns 1/rms, f32, one per row.
///
/// x and out are `[T, D]`, or `[T, H, D]` for a norm per head; out may be x.
pub fn rms_norm(x_td: &Tensor, weight_d: &Tensor, eps: f64, out_td: &Tensor) -> Tensor {
    cpu::rms_norm(x_td, weight_d, eps, out_td)
        .or_else(|| cuda::rms_norm(x_td, weight_d, eps, out_td))
        .unwrap_or_else(|| plain::rms_norm(x_td, weight_d, eps, out_td))
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
    cpu::rms_norm_backward(dy_td, x_td, weight_d, inv_rms_t, residual_td, d_weight)
        .or_else(|| cuda::rms_norm_backward(dy_td, x_td, weight_d, inv_rms_t, residual_td, d_weight))
        .unwrap_or_else(|| plain::rms_norm_backward(dy_td, x_td, weight_d, inv_rms_t, residual_td, d_weight))
}

/// Turns the queries and keys of `[T, (H+2G)·K]` in place by each token's angles: dimension i < r/2 of a head is paired
/// with i + r/2, those from r on stay. `cos_tr` and `sin_tr` are f32 `[T, r/2]`. `backward` turns the other way: the
/// gradient's way back.
pub fn rope(qkv: &Tensor, cos_tr: &Tensor, sin_tr: &Tensor, heads: &Heads, backward: bool) {
    cpu::rope(qkv, cos_tr, sin_tr, heads, backward)
        .or_else(|| cuda::rope(qkv, cos_tr, sin_tr, heads, backward))
        .unwrap_or_else(|| plain::rope(qkv, cos_tr, sin_tr, heads, backward));
}

/// out = activation(gate) · up, of `[T, 2F]` with the gate's columns first.
pub fn gated(gate_up: &Tensor, activation: Activation, out_tf: &Tensor) {
    cpu::gated(gate_up, activation, out_tf)
        .or_else(|| cuda::gated(gate_up, activation, out_tf))
        .unwrap_or_else(|| plain::gated(gate_up, activation, out_tf));
}

/// Backward of [`gated`]: the gradient `[T, 2F]`, of `gate_up`'s kind. Writes what the forward pass gave into `act_out`, if given, so that
/// nobody need keep it.
pub fn gated_backward(
    d_act: &Tensor,
    gate_up: &Tensor,
    activation: Activation,
    act_out: Option<&Tensor>,
) -> Tensor {
    cpu::gated_backward(d_act, gate_up, activation, act_out)
        .or_else(|| cuda::gated_backward(d_act, gate_up, activation, act_out))
        .unwrap_or_else(|| plain::gated_backward(d_act, gate_up, activation, act_out))
}

/// Attention of `qkv` (`[T, (H+2G)·K]`, after [`rope`]) into `out` (`[T, H·K]`): a document's tokens see the prefix and
/// their own document up to themselves, the prefix's see the prefix. Returns the log-sum-exp of each row's scores, f32
/// `[H, T]`, for the backward pass. `dropout`, if given, drops probabilities and scales the kept ones, with a key per
/// token; that has no backward pass.
pub fn attention(
    qkv: &Tensor,
    layout: &Layout,
    how: &Attention,
    dropout: Option<&Mask>,
    out: &Tensor,
) -> Tensor {
    cpu::attention(qkv, layout, how, dropout, out)
        // Flash attention draws random numbers of its own, which depend on what else is computed.
        .or_else(|| dropout.is_none().then(|| flash::attention(qkv, layout, how, out))?)
        .unwrap_or_else(|| plain::attention(qkv, layout, how, dropout, out))
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
    cpu::attention_backward(d_out, qkv, out, lse, layout, how)
        .or_else(|| flash::attention_backward(d_out, qkv, out, lse, layout, how))
        .unwrap_or_else(|| plain::attention_backward(d_out, qkv, out, lse, layout, how))
}
