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

/// Functions that return `None`.
macro_rules! none {
    ($(fn $name:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(pub(crate) fn $name($(_: $argument),*) -> $result {
            None
        })*
    };
}

none! {
    fn product(&Product, &Tensor) -> Option<()>;
    fn hold_nf4(&Tensor, &Nf4Weight) -> Option<()>;
    fn nf4(&Nf4Weight, &Tensor) -> Option<()>;
    fn rms_norm(&Tensor, &Tensor, f64, &Tensor) -> Option<Tensor>;
    fn rms_norm_backward(
        &Tensor, &Tensor, &Tensor, &Tensor, Option<&Tensor>, Option<&Tensor>
    ) -> Option<Tensor>;
    fn rope(&Tensor, &Tensor, &Tensor, &Heads, bool) -> Option<()>;
    fn gated(&Tensor, Activation, &Tensor) -> Option<()>;
    fn gated_backward(&Tensor, &Tensor, Activation, Option<&Tensor>) -> Option<Tensor>;
    fn attention(&Tensor, &Layout, &Attention, Option<&Mask>, &Tensor) -> Option<Tensor>;
    fn attention_backward(&Tensor, &Tensor, &Tensor, &Tensor, &Layout, &Attention) -> Option<Tensor>;
    fn dropout(&Tensor, Option<&Tensor>, &Mask, f64) -> Option<Tensor>;
}

pub(crate) mod logits {
    none! {
        fn largest(&[f32]) -> Option<f32>;
        fn sum_exp(&[f32], f32) -> Option<f64>;
        fn exponentials(&mut [f32], f32, f32) -> Option<()>;
    }
}

pub(crate) mod head_rows {
    use tch::Tensor;

    use crate::head_rows::task::{Chunk, Logits, Onto, Request, RowStats, Task, Top};

    none! {
        fn statistics(&Chunk, &Tensor, &Request) -> Option<Vec<RowStats>>;
        fn top(&Tensor, Option<f64>, usize) -> Option<Top>;
        fn gradient(&Tensor, &Logits, &[Task], Option<f64>, &Onto) -> Option<Vec<f64>>;
    }
}

pub(crate) mod spread {
    use tch::Tensor;

    use crate::spread::sums::{Mean, Run, Sums};

    none! {
        fn add(&mut Sums, &[Run], &Tensor, Option<f64>) -> Option<()>;
        fn means(&Sums, usize, &[usize]) -> Option<Vec<Vec<Mean>>>;
    }
}
