//! Operations on a GPU by kernels of our own (`kernels.cu`), each with a row of a matrix per block: libtorch's operators
//! would write and read what lies between them. Each entry gives `None` where it does not apply: on another device, for
//! other kinds of numbers, for rows that do not start at multiples of 16 bytes, or where the kernels could not be compiled
//! (`tokensieve doctor` says why).

mod argument;
mod driver;
pub(crate) mod head_rows;
mod held;
pub mod nccl;
mod rows;

use tch::{Kind, Tensor};

use crate::mask::Mask;
use crate::nf4::{Nf4Weight, WORDS};
use crate::shape::{Activation, Heads};
use crate::upload::upload;

use argument::{Argument, Argument::Number};
use driver::Target;
pub(crate) use driver::{compiled, free_bytes};
pub use held::{Held, Sequence};
use rows::{LANES, Parts, Rows, floats, integer};

/// A block's threads for a row of so many numbers: whole warps.
fn threads(columns: usize) -> u32 {
    (columns / LANES).next_multiple_of(32).clamp(32, 512) as u32
}

impl Target {
    /// Runs a kernel on every row.
    fn run(self, kernel: &'static str, rows: usize, columns: usize, arguments: &[Argument]) {
        if rows > 0 {
            self.launch(
                kernel,
                u32::try_from(rows).expect("fewer than 2³² rows"),
                threads(columns),
                arguments,
            );
        }
    }
}

/// Rows of f32, as the weights of a norm.
fn weights(weight: &Tensor, columns: usize) -> Option<Argument> {
    let numbers = Rows::of(&weight.unsqueeze(0))?;
    assert_eq!(numbers.columns, columns, "a weight per number");
    floats(weight)
}

pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64, out: &Tensor) -> Option<Tensor> {
    let target = Target::of(x)?;
    let (from, into) = (Parts::of(x)?, Parts::of(out)?);
    assert_eq!((into.count(), into.rows.columns), (from.count(), from.rows.columns));
    let columns = from.rows.columns;
    let weight = weights(weight, columns)?;
    let size = x.size();
    let inv_rms = Tensor::empty(&size[..size.len() - 1], (Kind::Float, x.device()));
    let arguments = [
        from.rows.argument(),
        into.rows.argument(),
        integer(from.per_row),
        from.stride(),
        into.stride(),
        integer(columns),
        weight,
        Number(eps as f32),
        floats(&inv_rms)?,
    ];
    target.run("rms_norm", from.count(), columns, &arguments);
    Some(inv_rms)
}

pub(crate) fn rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    inv_rms: &Tensor,
    residual: Option<&Tensor>,
    d_weight: Option<&Tensor>,
) -> Option<Tensor> {
    let target = Target::of(x)?;
    let (gradient, from) = (Parts::of(dy)?, Parts::of(x)?);
    // A weight's gradient is a sum over rows; a residual belongs to whole ones.
    if d_weight.is_some() || (residual.is_some() && from.per_row > 1) {
        return None;
    }
    let dx = Tensor::empty(x.size(), (x.kind(), x.device()));
    let (into, columns) = (Parts::of(&dx)?, from.rows.columns);
    assert_eq!((gradient.count(), gradient.rows.columns), (from.count(), columns));
    let arguments = [
        gradient.rows.argument(),
        from.rows.argument(),
        Rows::of_optional(residual, from.count(), columns)?,
        into.rows.argument(),
        integer(from.per_row),
        gradient.stride(),
        from.stride(),
        into.stride(),
        integer(columns),
        weights(weight, columns)?,
        floats(inv_rms)?,
    ];
    target.run("rms_norm_backward", from.count(), columns, &arguments);
    Some(dx)
}

pub(crate) fn rope(qkv: &Tensor, cos: &Tensor, sin: &Tensor, heads: &Heads, backward: bool) -> Option<()> {
    let target = Target::of(qkv)?;
    let (rows, cos, sin) = (Rows::of(qkv)?, Rows::of(cos)?, Rows::of(sin)?);
    let (turned, half) = (heads.queries + heads.keys, cos.columns);
    if !heads.dim.is_multiple_of(LANES) {
        return None;
    }
    assert_eq!((cos.count, sin.count), (rows.count, rows.count), "angles of each token");
    let arguments = [
        rows.argument(),
        cos.argument(),
        sin.argument(),
        integer(turned),
        integer(heads.dim),
        integer(half),
        Number(if backward { -1.0 } else { 1.0 }),
    ];
    target.run("rope", rows.count, turned * half, &arguments);
    Some(())
}

fn is_gelu(activation: Activation) -> Argument {
    integer(usize::from(activation == Activation::GeluTanh))
}

pub(crate) fn gated(gate_up: &Tensor, activation: Activation, out: &Tensor) -> Option<()> {
    let target = Target::of(gate_up)?;
    let (from, into) = (Rows::of(gate_up)?, Rows::of(out)?);
    assert_eq!((from.count, from.columns), (into.count, 2 * into.columns));
    let columns = into.columns;
    let arguments = [from.argument(), into.argument(), integer(columns), is_gelu(activation)];
    target.run("gated", into.count, columns, &arguments);
    Some(())
}

pub(crate) fn gated_backward(
    d_act: &Tensor,
    gate_up: &Tensor,
    activation: Activation,
    act_out: Option<&Tensor>,
) -> Option<Tensor> {
    let target = Target::of(gate_up)?;
    let gradient = Tensor::empty(gate_up.size(), (gate_up.kind(), gate_up.device()));
    let (d_act, from, into) = (Rows::of(d_act)?, Rows::of(gate_up)?, Rows::of(&gradient)?);
    assert_eq!((from.count, from.columns), (d_act.count, 2 * d_act.columns));
    let columns = d_act.columns;
    let out = Rows::of_optional(act_out, d_act.count, columns)?;
    let arguments =
        [d_act.argument(), from.argument(), into.argument(), out, integer(columns), is_gelu(activation)];
    target.run("gated_backward", d_act.count, columns, &arguments);
    Some(gradient)
}

pub(crate) fn dropout(x: &Tensor, base: Option<&Tensor>, mask: &Mask, scale: f64) -> Option<Tensor> {
    let target = Target::of(x)?;
    let out = Tensor::empty(x.size(), (x.kind(), x.device()));
    let (from, into) = (Rows::of(x)?, Rows::of(&out)?);
    let base = Rows::of_optional(base, from.count, from.columns)?;
    let keys: Vec<i32> =
        (0..from.count).flat_map(|row| mask.key(row).unwrap_or_default()).map(u32::cast_signed).collect();
    let keys = upload(&keys, x.device());
    let first = (0..from.count).find(|row| mask.key(*row).is_some()).unwrap_or(from.count);
    let arguments = [
        from.argument(),
        base,
        into.argument(),
        integer(from.columns),
        rows::pointer(&keys),
        integer(usize::from(mask.threshold())),
        integer(first),
        Number(scale as f32),
    ];
    target.run("dropout", from.count, from.columns, &arguments);
    Some(out)
}

pub(crate) fn nf4(weight: &Nf4Weight, out: &Tensor) -> Option<()> {
    let target = Target::of(out)?;
    let into = Rows::of(out)?;
    let lines = weight.words.size()[1] / WORDS;
    let arguments = [
        rows::pointer(&weight.words),
        floats(&weight.scales)?,
        into.argument(),
        integer(into.columns),
        Argument::Integer(lines),
    ];
    target.run("nf4", into.count, into.columns, &arguments);
    Some(())
}

#[cfg(test)]
mod tests;
