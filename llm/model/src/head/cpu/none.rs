//! No kernels for this kind of processor: libtorch's own operators do everything.

use tch::Tensor;

use super::gradient::{Tail, Top};
use super::rows::{Part, RowStats};
use super::tasks::Task;

/// Where each task's logits stand.
pub(super) enum Logits<'a> {
    InPlace,
    Elsewhere(Vec<(&'a Tensor, usize)>),
}

pub(super) fn can(_: &Tensor) -> bool {
    false
}

pub(super) fn statistics(_: &Part, _: &Tensor, _: bool) -> Vec<RowStats> {
    unreachable!("nothing asks where `can` says no")
}

pub(super) fn top(_: &Tensor, _: Option<f64>, _: usize) -> Top {
    unreachable!("nothing asks where `can` says no")
}

pub(super) fn gradient(
    _: &Tensor,
    _: &Logits,
    _: &[Task],
    _: Option<f64>,
    _: Option<(&Tensor, Option<f64>)>,
    _: &Tail,
) -> Vec<f64> {
    unreachable!("nothing asks where `can` says no")
}
