//! In the kernels' place where there are none, on another processor or without the feature `simd`: nothing applies.

#[path = "no_int8.rs"]
mod int8;

use tch::Tensor;

use crate::layout::Layout;
use crate::mask::Mask;
use crate::nf4::Nf4Weight;
use crate::product::Product;
use crate::shape::{Activation, Attention, Heads};
pub use int8::Int8Weight;

pub(crate) fn product(_: &Product, _: &Tensor) -> Option<()> {
    None
}

pub(crate) fn hold_nf4(_: &Tensor, _: &Nf4Weight) -> Option<()> {
    None
}

pub(crate) fn nf4(_: &Nf4Weight, _: &Tensor) -> Option<()> {
    None
}

pub(crate) fn rms_norm(_: &Tensor, _: &Tensor, _: f64, _: &Tensor) -> Option<Tensor> {
    None
}

pub(crate) fn rms_norm_backward(
    _: &Tensor,
    _: &Tensor,
    _: &Tensor,
    _: &Tensor,
    _: Option<&Tensor>,
    _: Option<&Tensor>,
) -> Option<Tensor> {
    None
}

pub(crate) fn rope(_: &Tensor, _: &Tensor, _: &Tensor, _: &Heads, _: bool) -> Option<()> {
    None
}

pub(crate) fn gated(_: &Tensor, _: Activation, _: &Tensor) -> Option<()> {
    None
}

pub(crate) fn gated_backward(_: &Tensor, _: &Tensor, _: Activation, _: Option<&Tensor>) -> Option<Tensor> {
    None
}

pub(crate) fn attention(
    _: &Tensor,
    _: &Layout,
    _: &Attention,
    _: Option<&Mask>,
    _: &Tensor,
) -> Option<Tensor> {
    None
}

pub(crate) fn attention_backward(
    _: &Tensor,
    _: &Tensor,
    _: &Tensor,
    _: &Tensor,
    _: &Layout,
    _: &Attention,
) -> Option<Tensor> {
    None
}

pub(crate) fn dropout(_: &Tensor, _: Option<&Tensor>, _: &Mask, _: f64) -> Option<Tensor> {
    None
}

pub(crate) mod logits {
    pub(crate) fn largest(_: &[f32]) -> Option<f32> {
        None
    }

    pub(crate) fn sum_exp(_: &[f32], _: f32) -> Option<f64> {
        None
    }

    pub(crate) fn exponentials(_: &mut [f32], _: f32, _: f32) -> Option<()> {
        None
    }
}

pub(crate) mod head_rows {
    use tch::Tensor;

    use crate::head_rows::task::{Chunk, Logits, Onto, Request, RowStats, Task, Top};

    pub(crate) fn statistics(_: &Chunk, _: &Tensor, _: &Request) -> Option<Vec<RowStats>> {
        None
    }

    pub(crate) fn top(_: &Tensor, _: Option<f64>, _: usize) -> Option<Top> {
        None
    }

    pub(crate) fn gradient(_: &Tensor, _: &Logits, _: &[Task], _: Option<f64>, _: &Onto) -> Option<Vec<f64>> {
        None
    }
}

pub(crate) mod spread {
    use tch::Tensor;

    use crate::spread::sums::{Mean, Run, Sums};

    pub(crate) fn add(_: &mut Sums, _: &[Run], _: &Tensor, _: Option<f64>) -> Option<()> {
        None
    }

    pub(crate) fn means(_: &Sums, _: usize, _: &[usize]) -> Option<Vec<Vec<Mean>>> {
        None
    }
}
