//! The operations as libtorch's own operators: right on every device and for every kind (f64 too), and what the kernels
//! are tested against. Tensors whose shapes do not fit are a mistake of the calling code: every function here panics on
//! them.
#![allow(clippy::missing_panics_doc)]

use std::f64::consts::PI;
use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::layout::Layout;
use crate::mask::Mask;
use crate::product::Product;
use crate::shape::{Activation, Attention, Heads};

/// What to compute in.
pub(super) fn wide(x: &Tensor) -> Kind {
    if x.kind() == Kind::Double { Kind::Double } else { Kind::Float }
}

/// Weights that are made f32 at a time (choice: 16 MiB).
const BLOCK: i64 = 4 << 20;

/// See [`Product`]. Zeros are multiplied like other numbers.
///
/// In bf16 on a CPU the factors are made f32, the weight in blocks of some outputs, for libtorch's own products of bf16
/// are ten times as slow where the processor has none: sums are f32, and the result is rounded once. Beside the result this
/// takes twice the memory of x, 16 MiB for a block of weights and that block's results in f32.
pub fn product(product: &Product, out: &Tensor) {
    if product.x.device() != Device::Cpu || product.x.kind() != Kind::BFloat16 {
        return native_product(product, out);
    }
    let Product { x, weight, also, added, .. } = *product;
    let factors: Vec<(Tensor, &Tensor)> = std::iter::once((x, weight))
        .chain(also)
        .map(|(x, weight)| (x.to_kind(Kind::Float), weight))
        .collect();
    let (inputs, outputs) = (weight.size()[0], weight.size()[1]);
    let step = (BLOCK / inputs.max(1)).max(1);
    for start in (0..outputs).step_by(step as usize) {
        let n = step.min(outputs - start);
        let mut sum = added.map(|added| added.narrow(-1, start, n).to_kind(Kind::Float));
        for (x, weight) in &factors {
            let weight = weight.narrow(1, start, n).to_kind(Kind::Float);
            sum = Some(sum.map_or_else(|| x.mm(&weight), |sum| sum.addmm(x, &weight)));
        }
        copy(&out.narrow(1, start, n), &sum.expect("one product at least"));
    }
}

/// The same by libtorch's product of the factors' own kind; a second product is rounded by itself.
pub(crate) fn native_product(product: &Product, out: &Tensor) {
    let Product { x, weight, also, added, .. } = *product;
    let same = |other: &Tensor| other.kind() == x.kind();
    match added {
        None if same(out) => drop(x.mm_out(out, weight)),
        // The CPU's operator rounds to the factors' kind.
        None if x.device().is_cuda() && x.f_mm_dtype_out(out, weight, out.kind()).is_ok() => {}
        Some(added) if same(out) && same(added) => drop(added.addmm_out(out, x, weight)),
        None => copy(out, &x.mm(weight)),
        Some(added) => {
            let own = Tensor::empty(out.size(), (out.kind(), out.device()));
            native_product(&Product::of(x, weight), &own);
            copy(out, &(own + added));
        }
    }
    if let Some((x, weight)) = also {
        native_product(&Product::of(x, weight).plus(Some(out)), out);
    }
}

/// See [`Mask::add`].
pub fn dropout(x: &Tensor, base: Option<&Tensor>, mask: &Mask, scale: f64) -> Tensor {
    let [rows, columns] = x.size()[..] else { panic!("dropout is of a matrix") };
    let (wide, places): (_, Vec<u32>) = (wide(x), (0..columns as u32).collect());
    let kept = mask.kept(0..rows as usize, &places, x.device()).to_kind(wide);
    let dropped = x.to_kind(wide) * kept * mask.factors(0..rows as usize, scale, wide, x.device());
    match base {
        Some(base) => (dropped + base.to_kind(wide)).to_kind(x.kind()),
        None => dropped.to_kind(x.kind()),
    }
}

/// See [`super::rms_norm`].
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64, out: &Tensor) -> Tensor {
    let length = x.norm_scalaropt_dim_dtype(2, [-1], true, wide(x));
    let inv_rms = (length.square() / x.size()[x.dim() - 1] as f64 + eps).rsqrt();
    let _ = (x * &inv_rms).mul_out(out, weight);
    inv_rms.squeeze_dim(-1)
}

/// See [`super::rms_norm_backward`].
pub fn rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    inv_rms: &Tensor,
    residual: Option<&Tensor>,
    d_weight: Option<&Tensor>,
) -> Tensor {
    let inv_rms = inv_rms.unsqueeze(-1);
    if let Some(d_weight) = d_weight {
        let _ = d_weight.shallow_clone().g_add_(&(dy * (x * &inv_rms)).sum_to_size(weight.size()));
    }
    // Operators in place, and numbers made wide on the way through them: most of the time is memory's.
    let mut dx = dy * weight;
    let along = (&dx * x).mean_dim(-1, true, None) * inv_rms.pow_tensor_scalar(3);
    dx *= inv_rms;
    dx -= x * along;
    if let Some(residual) = residual {
        dx += residual;
    }
    dx.to_kind(x.kind())
}

/// See [`super::rope`].
pub fn rope(qkv: &Tensor, cos: &Tensor, sin: &Tensor, heads: &Heads, backward: bool) {
    let (turned, dim, half) = ((heads.queries + heads.keys) as i64, heads.dim as i64, cos.size()[1]);
    let both = qkv.narrow(1, 0, turned * dim).unflatten(1, [turned, dim]).narrow(2, 0, 2 * half);
    let (first, second) = (both.narrow(2, 0, half), both.narrow(2, half, half));
    let (cos, sin) = (cos.unsqueeze(1), if backward { -sin } else { sin.shallow_clone() }.unsqueeze(1));
    // Both before either is written.
    let turned = (&first * &cos - &second * &sin, &second * cos + &first * sin);
    copy(&first, &turned.0);
    copy(&second, &turned.1);
}

/// See [`super::gated`].
pub fn gated(gate_up: &Tensor, activation: Activation, out: &Tensor) {
    let (gate, up) = halves(gate_up);
    copy(out, &(value_and_slope(&gate, activation).0 * up));
}

/// See [`super::gated_backward`].
pub fn gated_backward(
    d_act: &Tensor,
    gate_up: &Tensor,
    activation: Activation,
    act_out: Option<&Tensor>,
) -> Tensor {
    let (gate, up) = halves(gate_up);
    let (value, slope) = value_and_slope(&gate, activation);
    if let Some(out) = act_out {
        copy(out, &(&value * &up));
    }
    let d_act = d_act.to_kind(gate.kind());
    Tensor::cat(&[&d_act * up * slope, d_act * value], 1).to_kind(gate_up.kind())
}

fn halves(gate_up: &Tensor) -> (Tensor, Tensor) {
    let (both, width) = (gate_up.to_kind(wide(gate_up)), gate_up.size()[1] / 2);
    (both.narrow(1, 0, width), both.narrow(1, width, width))
}

/// The activation and its derivative.
fn value_and_slope(x: &Tensor, activation: Activation) -> (Tensor, Tensor) {
    match activation {
        Activation::Silu => {
            let sigmoid = x.sigmoid();
            let value = x * &sigmoid;
            let slope = &sigmoid + &value * (1.0 - &sigmoid);
            (value, slope)
        }
        Activation::GeluTanh => {
            // x·σ(u) with u = √(8/π)·(x + 0.044715·x³): (1 + tanh v) / 2 is σ(2v).
            let u = (x + x.pow_tensor_scalar(3) * 0.044_715) * (8.0 / PI).sqrt();
            let slope_of_u = (x.square() * (3.0 * 0.044_715) + 1.0) * (8.0 / PI).sqrt();
            let sigmoid = u.sigmoid();
            let value = x * &sigmoid;
            let slope = &sigmoid + &value * (1.0 - &sigmoid) * slope_of_u;
            (value, slope)
        }
    }
}

/// See [`super::attention`].
pub fn attention(
    qkv: &Tensor,
    layout: &Layout,
    how: &Attention,
    dropout: Option<&Mask>,
    out: &Tensor,
) -> Tensor {
    let lse = Tensor::empty([how.heads.queries as i64, layout.tokens() as i64], (wide(qkv), qkv.device()));
    for own in blocks(layout) {
        let block = Block::new(qkv, layout, own, how);
        let scores = block.scores(how).0;
        let block_lse = scores.logsumexp([-1], true);
        let mut p = (scores - &block_lse).exp();
        if let Some(mask) = dropout {
            p *= block.kept(mask, how);
        }
        let result = p.matmul(&block.v);
        copy(&block.rows_of(out), &block.unsplit(&result));
        copy(&lse.narrow(1, block.own.start as i64, block.len()), &block_lse.reshape([-1, block.len()]));
    }
    lse
}

/// See [`super::attention_backward`].
pub fn attention_backward(
    d_out: &Tensor,
    qkv: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    how: &Attention,
) -> Tensor {
    let kind = wide(qkv);
    let d_qkv = Tensor::zeros([layout.tokens() as i64, how.heads.width() as i64], (kind, qkv.device()));
    let [d_q, d_k, d_v] = columns(&d_qkv, &how.heads);
    for own in blocks(layout) {
        let block = Block::new(qkv, layout, own, how);
        let (scores, slope) = block.scores(how);
        let split = |rows: &Tensor| split_queries(&block.rows_of(rows).to_kind(kind), &how.heads);
        let (d_result, result) = (split(d_out), split(out));
        let block_lse = lse.narrow(1, block.own.start as i64, block.len()).reshape_as(&result.select(-1, 0));
        let p = (scores - block_lse.unsqueeze(-1)).exp();
        let along = (&d_result * result).sum_dim_intlist(-1, true, None);
        let mut d_scores = (d_result.matmul(&block.v.mt()) - along) * &p * how.scale;
        if let Some(slope) = slope {
            d_scores *= slope;
        }
        copy(&block.rows_of(&d_q), &block.unsplit(&d_scores.matmul(&block.k)));
        for (into, per_query_head) in
            [(&d_k, d_scores.mt().matmul(&block.q)), (&d_v, p.mt().matmul(&d_result))]
        {
            // [G, H/G, keys, K] → [keys, G·K]
            let all = per_query_head.sum_dim_intlist(1, false, None).transpose(0, 1).flatten(1, 2);
            let _ = into.narrow(0, 0, block.prefix).g_add_(&all.narrow(0, 0, block.prefix));
            let _ = block.rows_of(into).g_add_(&all.narrow(0, block.prefix, block.len()));
        }
    }
    d_qkv.to_kind(qkv.kind())
}

/// The rows that attend together: the prefix, if there is one, then each document.
fn blocks(layout: &Layout) -> impl Iterator<Item = Range<usize>> + '_ {
    (layout.prefix > 0).then_some(0..layout.prefix).into_iter().chain(layout.ranges())
}

/// The queries of one document (or the prefix) and all keys and values that any of them sees.
struct Block {
    own: Range<usize>,
    /// How many keys of the prefix precede the block's own.
    prefix: i64,
    /// `[G, H/G, queries, K]`
    q: Tensor,
    /// `[G, 1, keys, K]`
    k: Tensor,
    v: Tensor,
}

impl Block {
    fn new(qkv: &Tensor, layout: &Layout, own: Range<usize>, how: &Attention) -> Self {
        let prefix = if own.start == 0 { 0 } else { layout.prefix as i64 };
        let (heads, start, length) = (&how.heads, own.start as i64, own.len() as i64);
        let [q, k, v] = columns(qkv, heads);
        let keys = |rows: &Tensor| {
            let seen = Tensor::cat(&[rows.narrow(0, 0, prefix), rows.narrow(0, start, length)], 0);
            seen.to_kind(wide(qkv))
                .unflatten(1, [heads.keys as i64, heads.dim as i64])
                .transpose(0, 1)
                .unsqueeze(1)
        };
        Self {
            q: split_queries(&q.narrow(0, start, length).to_kind(wide(qkv)), heads),
            k: keys(&k),
            v: keys(&v),
            own,
            prefix,
        }
    }

    fn len(&self) -> i64 {
        self.own.len() as i64
    }

    fn rows_of(&self, x: &Tensor) -> Tensor {
        x.narrow(0, self.own.start as i64, self.len())
    }

    /// `[G, H/G, queries, K]` → `[queries, H·K]`
    fn unsplit(&self, x: &Tensor) -> Tensor {
        x.flatten(0, 1).transpose(0, 1).reshape([self.len(), -1])
    }

    /// What probabilities are multiplied by: 0, or what makes up for it; `[G, H/G, queries, keys]`.
    fn kept(&self, mask: &Mask, how: &Attention) -> Tensor {
        let (heads, keys) = (how.heads.queries, self.prefix as usize + self.own.len());
        let places: Vec<u32> =
            (0..heads).flat_map(|head| (0..keys).map(move |key| Mask::place(head, key))).collect();
        let kept = mask.kept(self.own.clone(), &places, self.q.device()).to_kind(self.q.kind());
        let scaled = kept * mask.factors(self.own.clone(), mask.scale(), self.q.kind(), self.q.device());
        let groups = how.heads.keys as i64;
        scaled.view([self.len(), groups, heads as i64 / groups, keys as i64]).permute([1, 2, 0, 3])
    }

    /// `[G, H/G, queries, keys]`, −∞ where a query does not see a key; and the soft cap's derivative.
    fn scores(&self, how: &Attention) -> (Tensor, Option<Tensor>) {
        let mut scores = self.q.matmul(&self.k.mt()) * how.scale;
        let mut slope = None;
        if let Some(cap) = how.soft_cap {
            let tanh = (scores / cap).tanh();
            slope = Some(1.0 - tanh.square());
            scores = tanh * cap;
        }
        let size = [self.len(), self.prefix + self.len()];
        let mut seen = Tensor::ones(size, (Kind::Bool, scores.device())).tril(self.prefix);
        if let Some(window) = how.window {
            seen = seen.triu(self.prefix - window as i64 + 1);
        }
        (scores.masked_fill(&seen.logical_not(), f64::NEG_INFINITY), slope)
    }
}

/// `[queries, H·K]` → `[G, H/G, queries, K]`
fn split_queries(q: &Tensor, heads: &Heads) -> Tensor {
    let (groups, dim) = (heads.keys as i64, heads.dim as i64);
    q.unflatten(1, [groups, heads.queries as i64 / groups, dim]).permute([1, 2, 0, 3])
}

/// The columns of queries, keys and values.
pub(super) fn columns(qkv: &Tensor, heads: &Heads) -> [Tensor; 3] {
    let (queries, keys) = ((heads.queries * heads.dim) as i64, (heads.keys * heads.dim) as i64);
    [(0, queries), (queries, keys), (queries + keys, keys)].map(|(start, width)| qkv.narrow(1, start, width))
}

fn copy(into: &Tensor, from: &Tensor) {
    into.shallow_clone().copy_(from);
}
