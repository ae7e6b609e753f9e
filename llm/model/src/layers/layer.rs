//! One transformer layer, forward and backward: attention, then the feed-forward layer, each with norms and a residual.

use tch::{Device, Tensor};

use super::dropout::DropoutSite;
use super::linear::Linear;
use super::norm::Norm;
use super::pass::{DOWN, GATE_UP, OUTPUT, Pass, QKV};
use crate::Parameters;
use crate::Precision;
use crate::Result;
use crate::config::{Activation, Config};
use crate::modules::Projections;
use crate::weights::Checkpoint;
use tokensieve_kernels::{self as kernels, Attention, Heads};

#[derive(Debug)]
pub(crate) struct Layer {
    index: u32,
    pub(crate) attention: Attention,
    pub(crate) activation: Activation,
    pub(crate) attention_norm: Norm,
    qkv: Linear,
    /// Norms of each head of the queries and of the keys.
    pub(crate) head_norms: Option<[Norm; 2]>,
    output: Linear,
    /// Norm of attention's output.
    pub(crate) output_norm: Option<Norm>,
    pub(crate) mlp_norm: Norm,
    gate_up: Linear,
    down: Linear,
    /// Norm of the feed-forward layer's output.
    pub(crate) down_norm: Option<Norm>,
}

/// The activations that the backward pass needs and cannot recompute cheaply.
#[derive(Debug)]
pub(crate) struct Saved {
    input: Tensor,
    input_inv_rms: Tensor,
    qkv_u: Tensor,
    /// Queries and keys before the norms of heads, and 1/rms of each head.
    heads: Option<SavedHeads>,
    qkv: Tensor,
    /// The buffer of the output projection, which holds attention's output.
    attended: Tensor,
    lse: Tensor,
    /// Input of the norm of attention's output, and 1/rms.
    output: Option<(Tensor, Tensor)>,
    mid: Tensor,
    mid_inv_rms: Tensor,
    gate_up_u: Tensor,
    gate_up: Tensor,
    down_u: Tensor,
    /// Input of the norm of the feed-forward layer's output, and 1/rms.
    down: Option<(Tensor, Tensor)>,
}

#[derive(Debug)]
struct SavedHeads {
    queries_keys: Tensor,
    inv_rms: [Tensor; 2],
}

impl Saved {
    /// The same activations, for another backward pass.
    pub(crate) fn shallow_clone(&self) -> Self {
        let same = Tensor::shallow_clone;
        self.map(same, same(&self.lse), same)
    }

    /// How many numbers are kept.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> usize {
        let count = std::cell::Cell::new(0);
        let counted = |x: &Tensor| {
            count.set(count.get() + x.numel());
            x.shallow_clone()
        };
        self.map(counted, counted(&self.lse), counted);
        count.get()
    }

    /// The activations of some rows: `rows` up to attention, `after` after it.
    pub(crate) fn select(&self, rows: &Tensor, after: &Tensor) -> Self {
        let lse = self.lse.index_select(1, rows);
        self.map(|x| x.index_select(0, rows), lse, |x| x.index_select(0, after))
    }

    /// `of` is applied to what is computed before attention, `then` to what is computed after it.
    fn map(&self, of: impl Fn(&Tensor) -> Tensor, lse: Tensor, then: impl Fn(&Tensor) -> Tensor) -> Self {
        let both =
            |pair: &Option<(Tensor, Tensor)>| pair.as_ref().map(|(x, inv_rms)| (then(x), then(inv_rms)));
        Self {
            input: of(&self.input),
            input_inv_rms: of(&self.input_inv_rms),
            qkv_u: of(&self.qkv_u),
            heads: self.heads.as_ref().map(|heads| SavedHeads {
                queries_keys: of(&heads.queries_keys),
                inv_rms: heads.inv_rms.each_ref().map(&of),
            }),
            qkv: of(&self.qkv),
            attended: then(&self.attended),
            lse,
            output: both(&self.output),
            mid: then(&self.mid),
            mid_inv_rms: then(&self.mid_inv_rms),
            gate_up_u: then(&self.gate_up_u),
            gate_up: then(&self.gate_up),
            down_u: then(&self.down_u),
            down: both(&self.down),
        }
    }
}

impl Layer {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        config: &Config,
        index: usize,
        precision: Precision,
        device: Device,
    ) -> Result<Self> {
        let modules = Projections::of(config, index);
        let linear = |modules| Linear::load(checkpoint, modules, precision, device);
        let norm = |name: &str, width| {
            Norm::load(checkpoint, &format!("model.layers.{index}.{name}.weight"), width, device)
        };
        let width = config.hidden_size;
        // Only with norms after both halves is "post_attention_layernorm" a norm of attention's output; otherwise it
        // is the norm before the feed-forward layer.
        let (mlp_norm, output_norm, down_norm) = if config.post_norms {
            let after = norm("post_attention_layernorm", width)?;
            let down = norm("post_feedforward_layernorm", width)?;
            (norm("pre_feedforward_layernorm", width)?, Some(after), Some(down))
        } else {
            (norm("post_attention_layernorm", width)?, None, None)
        };
        let head_norms = if config.qk_norm {
            let of = |name| norm(name, config.head_dim);
            Some([of("self_attn.q_norm")?, of("self_attn.k_norm")?])
        } else {
            None
        };
        Ok(Self {
            index: index as u32,
            attention: Attention {
                heads: Heads {
                    queries: config.heads as usize,
                    keys: config.kv_heads as usize,
                    dim: config.head_dim as usize,
                },
                scale: config.attention_scale,
                soft_cap: config.attention_soft_cap,
                window: config.windows[index].map(|window| window as usize),
            },
            activation: config.activation,
            attention_norm: norm("input_layernorm", width)?,
            qkv: linear(&modules.qkv)?,
            head_norms,
            output: linear(&modules.output)?,
            output_norm,
            mlp_norm,
            gate_up: linear(&modules.gate_up)?,
            down: linear(&modules.down)?,
            down_norm,
        })
    }

    pub(crate) fn linears(&self) -> [&Linear; 4] {
        [&self.qkv, &self.output, &self.gate_up, &self.down]
    }

    pub(crate) fn linears_mut(&mut self) -> [&mut Linear; 4] {
        [&mut self.qkv, &mut self.output, &mut self.gate_up, &mut self.down]
    }

    pub(crate) fn norms(&self) -> impl Iterator<Item = &Norm> {
        let heads = self.head_norms.iter().flatten();
        [&self.attention_norm, &self.mlp_norm]
            .into_iter()
            .chain(&self.output_norm)
            .chain(&self.down_norm)
            .chain(heads)
    }

    /// The layer's output and, if `keep`, what its backward pass needs.
    pub(crate) fn forward(&self, input: &Tensor, pass: &Pass, keep: bool) -> (Tensor, Option<Saved>) {
        let attend = |qkv: &Tensor, out: &Tensor| {
            let dropout = pass.mask(DropoutSite::Attention, self.index, 0);
            kernels::attention(qkv, &pass.layout, &self.attention, dropout.as_ref(), out)
        };
        self.forward_attending(input, pass, keep, attend)
    }

    /// [`Layer::forward`] with attention computed by the caller: `attend` reads qkv, writes attention's output into the
    /// given buffer, and returns the log-sum-exp.
    pub(crate) fn forward_attending(
        &self,
        input: &Tensor,
        pass: &Pass,
        keep: bool,
        attend: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    ) -> (Tensor, Option<Saved>) {
        let tokens = input.size()[0];
        let u = |linear: &Linear, buffer: &Tensor| keep.then(|| linear.u(buffer).contiguous());

        let x = self.qkv.buffer(tokens);
        let input_inv_rms = self.attention_norm.forward_into(input, &self.qkv.x(&x));
        let qkv = self.qkv.forward(&x, pass.adapter_mask(self.index, QKV).as_ref(), None);
        let qkv_u = u(&self.qkv, &x);
        drop(x);
        let heads = self.normalise_heads(&qkv, keep);
        kernels::rope(&qkv, &pass.cos, &pass.sin, &self.attention.heads, false);

        let attended = self.output.buffer(tokens);
        let lse = attend(&qkv, &self.output.x(&attended));
        let qkv = keep.then_some(qkv);
        let (attended, residual) = match pass.rows_after_attention(self.index) {
            Some(outputs) => (outputs.select(&attended), outputs.select(input)),
            None => (attended, input.shallow_clone()),
        };
        let tokens = residual.size()[0];
        let (mid, output) =
            self.add(&self.output, &attended, pass, OUTPUT, self.output_norm.as_ref(), &residual);
        drop(residual);
        let attended = keep.then_some(attended);

        let x = self.gate_up.buffer(tokens);
        let mid_inv_rms = self.mlp_norm.forward_into(&mid, &self.gate_up.x(&x));
        let gate_up = self.gate_up.forward(&x, pass.adapter_mask(self.index, GATE_UP).as_ref(), None);
        let gate_up_u = u(&self.gate_up, &x);
        drop(x);

        let x = self.down.buffer(tokens);
        kernels::gated(&gate_up, self.activation, &self.down.x(&x));
        let gate_up = keep.then_some(gate_up);
        let (next, down) = self.add(&self.down, &x, pass, DOWN, self.down_norm.as_ref(), &mid);
        let down_u = u(&self.down, &x);

        let saved = || {
            Some(Saved {
                input: input.shallow_clone(),
                input_inv_rms,
                qkv_u: qkv_u?,
                heads,
                qkv: qkv?,
                attended: attended?,
                lse,
                output,
                mid,
                mid_inv_rms,
                gate_up_u: gate_up_u?,
                gate_up: gate_up?,
                down_u: down_u?,
                down,
            })
        };
        (next, saved())
    }

    /// Numbers of a token that [`Saved`] holds, but for a few statistics.
    pub(crate) fn saved_numbers(&self) -> i64 {
        let [hidden, qkv, qkv_rank] = self.qkv.widths();
        let [attended, _, output_rank] = self.output.widths();
        let [_, gate_up, gate_up_rank] = self.gate_up.widths();
        let [.., down_rank] = self.down.widths();
        let Heads { queries, keys, dim } = self.attention.heads;
        let heads = if self.head_norms.is_some() { ((queries + keys) * dim) as i64 } else { 0 };
        let normed = [&self.output_norm, &self.down_norm].into_iter().flatten().count() as i64;
        let ranks = qkv_rank + output_rank + gate_up_rank + down_rank;
        (2 + normed) * hidden + heads + qkv + attended + gate_up + ranks
    }

    /// Recomputes what the backward pass needs from the layer's input.
    pub(crate) fn saved(&self, input: &Tensor, pass: &Pass) -> Saved {
        self.forward(input, pass, true).1.expect("kept")
    }

    /// Adds the gradients of the layer's parameters in `into`; if `goes_on`, returns the gradient with respect to the
    /// layer's input.
    pub(crate) fn backward(
        &self,
        d_out: Tensor,
        saved: Saved,
        pass: &Pass,
        into: &Parameters,
        goes_on: bool,
    ) -> Option<Tensor> {
        let tokens = d_out.size()[0];

        // Feed-forward: out = mid + norm(down(gated(gate_up(norm(mid))))).
        let mask = pass.adapter_mask(self.index, DOWN);
        let d_down = through_norm(self.down_norm.as_ref(), &d_out, saved.down.as_ref(), into);
        let d_down = d_down.as_ref().unwrap_or(&d_out);
        let gradient = self.down.input_gradient(d_down, mask.as_ref(), true);
        let activated = self.down.needs_input(into).then(|| {
            Tensor::empty(
                [tokens, saved.gate_up.size()[1] / 2],
                (saved.gate_up.kind(), saved.gate_up.device()),
            )
        });
        let d_act = gradient.dx.as_ref().expect("requested");
        let d_gate_up = kernels::gated_backward(d_act, &saved.gate_up, self.activation, activated.as_ref());
        drop(saved.gate_up);
        if let Some(x) = activated {
            self.down.weight_gradients(d_down, &x, &saved.down_u, &gradient, mask.as_ref(), into);
        }
        drop((gradient, saved.down, saved.down_u));

        let mask = pass.adapter_mask(self.index, GATE_UP);
        let gradient = self.gate_up.input_gradient(&d_gate_up, mask.as_ref(), true);
        if self.gate_up.needs_input(into) {
            let (x, _) = self.mlp_norm.forward(&saved.mid);
            self.gate_up.weight_gradients(&d_gate_up, &x, &saved.gate_up_u, &gradient, mask.as_ref(), into);
        }
        drop((d_gate_up, saved.gate_up_u));
        let dx = gradient.dx.expect("requested");
        let d_mid = self.mlp_norm.backward(&dx, &saved.mid, &saved.mid_inv_rms, Some(&d_out), into);
        drop((dx, d_out, saved.mid, saved.mid_inv_rms));

        // Attention: mid = input + norm(output(attend(rope(norm(qkv(norm(input))))))).
        let mask = pass.adapter_mask(self.index, OUTPUT);
        let d_output = through_norm(self.output_norm.as_ref(), &d_mid, saved.output.as_ref(), into);
        let d_output = d_output.as_ref().unwrap_or(&d_mid);
        let gradient = self.output.input_gradient(d_output, mask.as_ref(), true);
        let (x, u) = (self.output.x(&saved.attended), self.output.u(&saved.attended));
        self.output.weight_gradients(d_output, &x, &u, &gradient, mask.as_ref(), into);
        let mut here = [gradient.dx.expect("requested"), x, d_mid];
        if let Some(outputs) = pass.rows_after_attention(self.index) {
            here = here.map(|of_outputs| outputs.scatter(&of_outputs, saved.qkv.size()[0]));
        }
        let [d_x, x, d_mid] = here;
        let d_qkv =
            kernels::attention_backward(&d_x, &saved.qkv, &x, &saved.lse, &pass.layout, &self.attention);
        drop((d_x, x, u, saved.attended, saved.qkv, saved.lse, saved.output));
        kernels::rope(&d_qkv, &pass.cos, &pass.sin, &self.attention.heads, true);
        self.normalise_heads_backward(&d_qkv, saved.heads.as_ref(), into);

        let mask = pass.adapter_mask(self.index, QKV);
        let norm_trained = into.range(&self.attention_norm.name).is_some();
        let gradient = self.qkv.input_gradient(&d_qkv, mask.as_ref(), goes_on || norm_trained);
        if self.qkv.needs_input(into) {
            let (x, _) = self.attention_norm.forward(&saved.input);
            self.qkv.weight_gradients(&d_qkv, &x, &saved.qkv_u, &gradient, mask.as_ref(), into);
        }
        let dx = gradient.dx?;
        Some(self.attention_norm.backward(&dx, &saved.input, &saved.input_inv_rms, Some(&d_mid), into))
    }

    /// Normalises the heads of queries and keys in place; if `keep`, returns what the backward pass needs.
    fn normalise_heads(&self, qkv: &Tensor, keep: bool) -> Option<SavedHeads> {
        let norms = self.head_norms.as_ref()?;
        let [queries, keys] = self.queries_and_keys(qkv);
        let columns =
            ((self.attention.heads.queries + self.attention.heads.keys) * self.attention.heads.dim) as i64;
        let saved = keep.then(|| qkv.narrow(1, 0, columns).copy());
        let inv_rms = [norms[0].forward_into(&queries, &queries), norms[1].forward_into(&keys, &keys)];
        Some(SavedHeads { queries_keys: saved?, inv_rms })
    }

    fn normalise_heads_backward(&self, d_qkv: &Tensor, saved: Option<&SavedHeads>, into: &Parameters) {
        let (Some(norms), Some(saved)) = (&self.head_norms, saved) else { return };
        let before = self.queries_and_keys(&saved.queries_keys);
        for (((norm, mut d), x), inv_rms) in
            norms.iter().zip(self.queries_and_keys(d_qkv)).zip(&before).zip(&saved.inv_rms)
        {
            d.copy_(&norm.backward(&d, x, inv_rms, None, into));
        }
    }

    /// The queries `[T, H, K]` and the keys `[T, G, K]` of qkv.
    fn queries_and_keys(&self, qkv: &Tensor) -> [Tensor; 2] {
        let Heads { queries, keys, dim } = self.attention.heads;
        let of = |first: usize, heads: usize| {
            let columns = qkv.narrow(1, (first * dim) as i64, (heads * dim) as i64);
            columns.unflatten(1, [heads as i64, dim as i64])
        };
        [of(0, queries), of(queries, keys)]
    }

    /// residual + norm(linear(x)), and with a norm its input and 1/rms. `linear` and `norm` are the layer's at `slot`.
    fn add(
        &self,
        linear: &Linear,
        buffer: &Tensor,
        pass: &Pass,
        slot: u32,
        norm: Option<&Norm>,
        residual: &Tensor,
    ) -> (Tensor, Option<(Tensor, Tensor)>) {
        let adapter_mask = pass.adapter_mask(self.index, slot);
        let mask = pass.mask(DropoutSite::Residual, self.index, slot);
        if norm.is_none() && mask.is_none() {
            return (linear.forward(buffer, adapter_mask.as_ref(), Some(residual)), None);
        }
        let y = linear.forward(buffer, adapter_mask.as_ref(), None);
        let normalised = norm.map(|norm| norm.forward(&y));
        let result = normalised.as_ref().map_or(&y, |(normalised, _)| normalised);
        let sum = match mask {
            Some(mask) => mask.add(result, Some(residual)),
            None => residual + result,
        };
        (sum, normalised.map(|(_, inv_rms)| (y, inv_rms)))
    }
}

/// The gradient with respect to a norm's input; `None` without a norm.
fn through_norm(
    norm: Option<&Norm>,
    dy: &Tensor,
    saved: Option<&(Tensor, Tensor)>,
    into: &Parameters,
) -> Option<Tensor> {
    let ((x, inv_rms), norm) = (saved?, norm?);
    Some(norm.backward(dy, x, inv_rms, None, into))
}
