//! Projections with the same input, computed as one matrix product together with their adapters.
//!
//! With an adapter, y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ is one product of concatenations, [x, x·Aᵀ]·[W, s·B]ᵀ. The sum is rounded
//! once, so that bf16 does not lose the adapter's small part, and needs no second pass over y. For this the weight's
//! buffer has L further columns for s·B, and the input's buffer L further columns for u = x·Aᵀ.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::Parameters;
use crate::Precision;
use crate::Result;
use crate::adapter::Adapter;
use crate::modules::Module;
use crate::weights::Checkpoint;
use tokensieve_kernels::decode::{Matrix, Number};
use tokensieve_kernels::{Block, Int8Weight, Mask, Nf4Weight, Product};

#[derive(Debug)]
pub(crate) struct Linear {
    parts: Vec<Part>,
    inputs: i64,
    outputs: i64,
    /// Of what it computes with.
    kind: Kind,
    device: Device,
    weight: Weight,
    /// `[O]`.
    bias: Option<Tensor>,
    lora: Option<Lora>,
    /// W + s·B·A in int8, inside [`Model::with_int8_weights`](crate::Model::with_int8_weights).
    int8: Option<Int8Weight>,
}

/// Numbers that a GPU's kernels read at a time.
const LINE: i64 = 8;

/// Numbers of bf16 that a processor's products read at a time: an odd rank is filled up with a column of zeros, or they
/// would be left to libtorch.
const PAIR: usize = 2;

/// How the weight is held.
#[derive(Debug)]
enum Weight {
    /// [W, s·B], `[O, I + L]` or wider.
    Whole(Tensor),
    /// W in four bits, and s·B, `[O, L]` or wider. W is written out for each product, and forgotten.
    Nf4(Nf4Weight, Tensor),
}

/// One of the projections that are computed together.
#[derive(Debug)]
struct Part {
    name: String,
    /// Its outputs among the outputs of all.
    rows: Range<i64>,
}

/// The attached adapter: the stacked A of all projections, and where each B lies.
#[derive(Debug)]
struct Lora {
    /// `[L, I]`, with a row of zeros behind an odd rank.
    a: Tensor,
    slots: Vec<Slot>,
    /// The blocks of [W, s·B]ᵀ, and of s·B, that are not zero.
    forward: Vec<Block>,
    backward: Vec<Block>,
}

#[derive(Debug)]
struct Slot {
    a: String,
    b: String,
    /// The projection's outputs.
    rows: Range<i64>,
    /// Its columns among the L.
    columns: Range<i64>,
    scale: f64,
}

/// The result of [`Linear::input_gradient`].
pub(crate) struct InputGradient {
    /// With respect to x, `[T, I]`; rows need not be contiguous.
    pub(crate) dx: Option<Tensor>,
    /// With respect to u = x·Aᵀ, `[T, L]`.
    du: Option<Tensor>,
}

fn part(tensor: &Tensor, dim: i64, range: &Range<i64>) -> Tensor {
    tensor.narrow(dim, range.start, range.end - range.start)
}

impl Slot {
    /// Its columns and those that fill it up.
    fn filled(&self) -> Range<usize> {
        self.columns.start as usize..(self.columns.end as usize).next_multiple_of(PAIR)
    }
}

impl Linear {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        modules: &[Module],
        Precision { kind, nf4 }: Precision,
        device: Device,
    ) -> Result<Self> {
        let inputs = modules[0].inputs;
        let outputs = modules.iter().map(|module| module.outputs).sum();
        for Module { name, outputs, .. } in modules {
            checkpoint.require_shape(&format!("{name}.weight"), &[*outputs, inputs])?;
        }
        let weight = Tensor::empty([outputs, inputs], (kind, device));
        let bias = modules[0].bias.then(|| Tensor::empty([outputs], (kind, device)));
        let mut parts = Vec::new();
        let mut start = 0;
        for Module { name, outputs, .. } in modules {
            let rows = start..start + outputs;
            start = rows.end;
            let read = |what: &str, shape: &[i64]| {
                checkpoint.tensor_of(&format!("{name}.{what}"), shape, kind, device)
            };
            part(&weight, 0, &rows).copy_(&read("weight", &[*outputs, inputs])?);
            if let Some(bias) = &bias {
                part(bias, 0, &rows).copy_(&read("bias", &[*outputs])?);
            }
            parts.push(Part { name: name.clone(), rows });
        }
        let weight = if nf4 {
            Weight::Nf4(Nf4Weight::of(&weight), Tensor::empty([outputs, 0], (kind, device)))
        } else {
            Weight::Whole(weight)
        };
        Ok(Self { parts, inputs, outputs, kind, device, weight, bias, lora: None, int8: None })
    }

    /// Names of the weights and biases, and views of them; of weights in four bits there is none.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, Option<Tensor>)> + '_ {
        let base = match &self.weight {
            Weight::Whole(weight) => Some(weight.narrow(1, 0, self.inputs)),
            Weight::Nf4(..) => None,
        };
        self.parts.iter().flat_map(move |Part { name, rows }| {
            let weight = (format!("{name}.weight"), base.as_ref().map(|base| part(base, 0, rows)));
            let bias = self.bias.as_ref().map(|bias| (format!("{name}.bias"), Some(part(bias, 0, rows))));
            std::iter::once(weight).chain(bias)
        })
    }

    /// Copies the adapter's values; widens the buffer of s·B if it has too few columns. `None` detaches.
    pub(crate) fn attach(&mut self, adapter: Option<&Adapter>) {
        let mut slots = Vec::new();
        let mut end = 0;
        for Part { name, rows } in &self.parts {
            let Some((rank, scale)) = adapter.and_then(|adapter| adapter.rank_and_scale(name)) else {
                continue;
            };
            let [a, b] = Adapter::names(name);
            let slot = Slot { a, b, rows: rows.clone(), columns: end..end + rank, scale };
            end = slot.filled().end as i64;
            slots.push(slot);
        }
        let (Some(adapter), false) = (adapter, slots.is_empty()) else {
            self.lora = None;
            return;
        };
        self.make_room(end);
        let sb = self.sb(end);
        let a = match self.lora.take() {
            Some(Lora { a, .. }) if a.size()[0] == end => a,
            _ => Tensor::empty([end, self.inputs], (self.kind, self.device)),
        };
        // Blocks of one projection's outputs and another's columns are zero, and so is what fills up a slot.
        for matrix in [&sb, &a] {
            let _ = matrix.shallow_clone().zero_();
        }
        for Slot { a: a_name, b: b_name, rows, columns, scale } in &slots {
            part(&a, 0, columns).copy_(&adapter.value(a_name));
            part(&part(&sb, 0, rows), 1, columns).copy_(&(adapter.value(b_name) * *scale));
        }
        let (forward, backward) = self.blocks(&slots);
        self.lora = Some(Lora { a, slots, forward, backward });
    }

    /// Widens the buffer of s·B to `rank` columns if it has fewer.
    fn make_room(&mut self, rank: i64) {
        let (outputs, inputs, options) = (self.outputs, self.inputs, (self.kind, self.device));
        match &mut self.weight {
            Weight::Whole(weight) if weight.size()[1] < inputs + rank => {
                let wider = Tensor::empty([outputs, inputs + rank], options);
                wider.narrow(1, 0, inputs).copy_(&weight.narrow(1, 0, inputs));
                *weight = wider;
            }
            Weight::Nf4(_, sb) if sb.size()[1] < rank => *sb = Tensor::empty([outputs, rank], options),
            _ => {}
        }
    }

    /// s·B, `[O, rank]`.
    fn sb(&self, rank: i64) -> Tensor {
        match &self.weight {
            Weight::Whole(weight) => weight.narrow(1, self.inputs, rank),
            Weight::Nf4(_, sb) => sb.narrow(1, 0, rank),
        }
    }

    /// W, `[O, I]`.
    fn base(&self) -> Tensor {
        match &self.weight {
            Weight::Whole(weight) => weight.narrow(1, 0, self.inputs),
            Weight::Nf4(base, _) => {
                let written = Tensor::empty([self.outputs, self.inputs], (self.kind, self.device));
                base.write(&written);
                written
            }
        }
    }

    /// The blocks that are not zero: a projection reads x and the columns of its own adapter only.
    fn blocks(&self, slots: &[Slot]) -> (Vec<Block>, Vec<Block>) {
        let of = |range: &Range<i64>| range.start as usize..range.end as usize;
        let inputs = self.inputs as usize;
        let forward = self.parts.iter().map(|part| {
            let columns = slots.iter().find(|slot| slot.rows == part.rows).map_or(0..0, Slot::filled);
            let adapter = inputs + columns.start..inputs + columns.end;
            Block { outputs: of(&part.rows), inputs: [0..inputs, adapter] }
        });
        let own = |slot: &Slot| Block { outputs: slot.filled(), inputs: [of(&slot.rows), 0..0] };
        (forward.collect(), slots.iter().map(own).collect())
    }

    /// Numbers of a token that the product reads, writes, and passes through the adapter.
    pub(crate) fn widths(&self) -> [i64; 3] {
        [self.inputs, self.outputs, self.rank()]
    }

    /// L, the sum of the attached ranks, each filled up.
    fn rank(&self) -> i64 {
        self.lora.as_ref().map_or(0, |lora| lora.a.size()[0])
    }

    /// [W, s·B], `[O, I + L]`.
    fn weight(&self) -> Tensor {
        let (rank, columns) = (self.rank(), self.inputs + self.rank());
        match &self.weight {
            Weight::Whole(weight) => weight.narrow(1, 0, columns),
            Weight::Nf4(base, _) => {
                // Rows that begin at whole lines of memory, whatever the rank.
                let wide = (columns + LINE - 1) / LINE * LINE;
                let written = Tensor::empty([self.outputs, wide], (self.kind, self.device));
                base.write(&written.narrow(1, 0, self.inputs));
                written.narrow(1, self.inputs, rank).copy_(&self.sb(rank));
                written.narrow(1, 0, columns)
            }
        }
    }

    /// [W, s·B] with the bias, and A; with `merge`, W + s·B·A with the bias, unless W is in four bits.
    pub(crate) fn for_decoding<N: Number>(&self, merge: bool) -> (Matrix, Option<Matrix>) {
        let bias = self.bias.as_ref();
        let a = || self.lora.as_ref().map(|lora| Matrix::new::<N>(&lora.a, None));
        match &self.weight {
            Weight::Nf4(base, _) => (Matrix::nf4::<N>(base, &self.sb(self.rank()), bias), a()),
            Weight::Whole(_) if merge => (Matrix::new::<N>(&self.merged().to_kind(self.kind), bias), None),
            Weight::Whole(_) => (Matrix::new::<N>(&self.weight(), bias), a()),
        }
    }

    /// W + s·B·A, in f32 where there is an adapter.
    fn merged(&self) -> Tensor {
        let base = self.base();
        let Some(Lora { a, .. }) = &self.lora else { return base };
        let (merged, base) =
            (Tensor::empty(base.size(), (Kind::Float, base.device())), base.to_kind(Kind::Float));
        Product::of(&self.sb(self.rank()), a).plus(Some(&base)).write(&merged);
        merged
    }

    /// Makes the forward pass use int8 weights until [`Linear::dequantise`]; `None` if the processor has no int8
    /// products.
    pub(crate) fn quantise(&mut self) -> Option<()> {
        self.int8 = Some(Int8Weight::of(&self.merged())?);
        Some(())
    }

    /// Makes the forward pass use the exact weights again.
    pub(crate) fn dequantise(&mut self) {
        self.int8 = None;
    }

    /// An uninitialised buffer `[T, I + L]` for [x, u].
    pub(crate) fn buffer(&self, tokens: i64) -> Tensor {
        Tensor::empty([tokens, self.inputs + self.rank()], (self.kind, self.device))
    }

    /// The part of a buffer that holds the input x.
    pub(crate) fn x(&self, buffer: &Tensor) -> Tensor {
        buffer.narrow(1, 0, self.inputs)
    }

    /// The part of a buffer that holds u = x·Aᵀ.
    pub(crate) fn u(&self, buffer: &Tensor) -> Tensor {
        buffer.narrow(1, self.inputs, self.rank())
    }

    /// y `[T, O]` (plus `residual`) from a buffer that holds x; writes u into the buffer.
    pub(crate) fn forward(&self, buffer: &Tensor, mask: Option<&Mask>, residual: Option<&Tensor>) -> Tensor {
        let both = self.bias.as_ref().zip(residual).map(|(bias, residual)| residual + bias);
        let added = both.as_ref().or(residual).or(self.bias.as_ref());
        if let Some(int8) = &self.int8 {
            let size = [buffer.size()[0], self.outputs];
            let y = Tensor::empty(size, (buffer.kind(), buffer.device()));
            int8.product(&self.x(buffer), added, &y);
            return y;
        }
        let mut blocks = [].as_slice();
        if let Some(Lora { a, forward, .. }) = &self.lora {
            let (x, u) = (self.x(buffer), self.u(buffer));
            match mask {
                None => Product::of(&x, &a.tr()).write(&u),
                Some(mask) => {
                    Product::of(&mask.apply(&x), &a.tr()).write(&u);
                    mask.rescale(&u);
                }
            }
            blocks = forward;
        }
        Product::of(buffer, &self.weight().tr()).within(blocks).plus(added).result()
    }

    /// The gradients with respect to x, if `goes_on`, and to u.
    pub(crate) fn input_gradient(&self, dy: &Tensor, mask: Option<&Mask>, goes_on: bool) -> InputGradient {
        let Some(Lora { a, backward, .. }) = &self.lora else {
            return InputGradient { dx: goes_on.then(|| Product::of(dy, &self.base()).result()), du: None };
        };
        let du = Product::of(dy, &self.sb(self.rank())).within(backward).result();
        let du = match mask {
            Some(mask) => du * mask.scale(),
            None => du,
        };
        let dx = goes_on.then(|| match mask {
            None => Product::of(dy, &self.base()).and(&du, a).result(),
            Some(mask) => Product::of(dy, &self.base()).result() + mask.apply(&Product::of(&du, a).result()),
        });
        InputGradient { dx, du: Some(du) }
    }

    /// Whether [`Linear::weight_gradients`] reads x.
    pub(crate) fn needs_input(&self, into: &Parameters) -> bool {
        self.lora.is_some() || self.trained(into)
    }

    fn trained(&self, into: &Parameters) -> bool {
        self.parts.iter().any(|part| into.range(&format!("{}.weight", part.name)).is_some())
    }

    /// Adds the gradients of the parameters in `into`: the adapter's matrices, the weights, the biases. `x` and `u` are
    /// those of the forward pass.
    pub(crate) fn weight_gradients(
        &self,
        dy: &Tensor,
        x: &Tensor,
        u: &Tensor,
        gradient: &InputGradient,
        mask: Option<&Mask>,
        into: &Parameters,
    ) {
        let float = |rows: i64, columns: i64| Tensor::empty([rows, columns], (Kind::Float, dy.device()));
        if let (Some(lora), Some(du)) = (&self.lora, &gradient.du) {
            let dropped = mask.map(|mask| mask.apply(x));
            let d_a = float(self.rank(), self.inputs);
            Product::of(&du.tr(), dropped.as_ref().unwrap_or(x)).write(&d_a);
            for Slot { a, b, rows, columns, scale } in &lora.slots {
                if let Some(mut gradient) = into.gradient(a) {
                    gradient += part(&d_a, 0, columns);
                }
                if let Some(gradient) = into.gradient(b) {
                    // Computed transposed, so that the product has few rows instead of few columns.
                    let d_sb = float(columns.end - columns.start, rows.end - rows.start);
                    Product::of(&part(u, 1, columns).tr(), &part(dy, 1, rows)).write(&d_sb);
                    let _ = gradient.shallow_clone().g_add_(&(d_sb.tr() * *scale));
                }
            }
        }
        if self.trained(into) {
            for Part { name, rows } in &self.parts {
                let dy = part(dy, 1, rows);
                if let Some(gradient) = into.gradient(&format!("{name}.weight")) {
                    Product::of(&dy.tr(), x).plus(Some(&gradient)).write(&gradient);
                }
                if let Some(mut gradient) = into.gradient(&format!("{name}.bias")) {
                    gradient += dy.sum_dim_intlist(0, false, Kind::Float);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Layer;
    use crate::{LoraConfig, Model, Pattern};

    /// Adapters one after the other, of which some have an odd rank: what was attached before leaves nothing behind.
    #[test]
    fn products_with_an_odd_rank_are_those_of_kernels() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf/llama.gguf");
        let mut model = Model::load(&Checkpoint::open(folder).unwrap(), Kind::BFloat16, Device::Cpu).unwrap();
        let ranks = |r, k_proj| LoraConfig {
            r,
            alpha: 4.0,
            rank_pattern: Pattern([("k_proj".to_owned(), k_proj)].into()),
            ..LoraConfig::default()
        };
        for lora in [ranks(6, 6), ranks(5, 7), ranks(5, 5), ranks(1, 2)] {
            let adapter = Adapter::new(model.config(), &lora, 1, Device::Cpu).unwrap();
            // Neither factor is zero.
            let mut values = adapter.parameters.values().shallow_clone();
            values.copy_(&(Tensor::arange(values.numel() as i64, (Kind::Float, Device::Cpu)).sin() / 8.0));
            model.attach(Some(&adapter)).unwrap();
            for linear in model.layers.iter_mut().flat_map(Layer::linears_mut) {
                check(linear, &adapter);
            }
        }
    }

    /// Compares the forward and the backward pass with what f64 makes of the adapter's matrices.
    fn check(linear: &Linear, adapter: &Adapter) {
        let numbers = |rows: i64, columns: i64| {
            let i = Tensor::arange(rows * columns, (Kind::Double, Device::Cpu));
            (i.square() * 0.37).sin().view([rows, columns]).to_kind(Kind::BFloat16)
        };
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let close = |what: &str, found: &Tensor, wanted: &Tensor| {
            let away = (double(found) - wanted).norm() / wanted.norm();
            assert!(away.double_value(&[]) < 1e-2, "{what}: {away:?}");
        };
        let lora = linear.lora.as_ref().unwrap();
        let even = |block: &Block| {
            block
                .inputs
                .iter()
                .all(|range| range.start.is_multiple_of(PAIR) && range.len().is_multiple_of(PAIR))
        };
        assert!(lora.forward.iter().chain(&lora.backward).all(even));

        let (buffer, dy) = (linear.buffer(30), numbers(30, linear.outputs));
        let _ = buffer.shallow_clone().fill_(f64::NAN);
        linear.x(&buffer).copy_(&numbers(30, linear.inputs));
        let y = linear.forward(&buffer, None, None);
        let gradient = linear.input_gradient(&dy, None, true);
        let (x, base) = (double(&linear.x(&buffer)), double(&linear.base()));
        let (wanted, d_wanted) = (x.mm(&base.tr()), double(&dy).mm(&base));
        let _ = adapter.parameters.gradients().shallow_clone().zero_();
        let (x_rows, u) = (linear.x(&buffer), linear.u(&buffer));
        linear.weight_gradients(&dy, &x_rows, &u, &gradient, None, &adapter.parameters);
        for Slot { a, b, rows, scale, .. } in &lora.slots {
            let [a_ri, b_or] = [a, b].map(|name| double(&adapter.value(name).to_kind(Kind::BFloat16)));
            let (u, dy) = (x.mm(&a_ri.tr()), double(&part(&dy, 1, rows)));
            let du = dy.mm(&b_or) * *scale;
            let mut own = part(&wanted, 1, rows);
            own += u.mm(&b_or.tr()) * *scale;
            let mut d_wanted = d_wanted.shallow_clone();
            d_wanted += du.mm(&a_ri);
            for (name, wanted) in [(a, du.tr().mm(&x)), (b, dy.tr().mm(&u) * *scale)] {
                close(name, &adapter.parameters.gradient(name).unwrap(), &wanted);
            }
        }
        close("y", &y, &wanted);
        close("dx", &gradient.dx.unwrap(), &d_wanted);
    }
}
