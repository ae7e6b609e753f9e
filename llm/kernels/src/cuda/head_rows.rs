//! The head's passes over rows of logits.

use std::ptr::null_mut;

use tch::{Kind, Tensor};

use super::argument::{Argument, Argument::Number};
use super::driver::Target;
use super::rows::{Rows, floats, integer, pointer};
use crate::head_rows::plain::DeviceTasks;
use crate::head_rows::task::{Chunk, INVERSE_TEMPERATURES, Onto, Reference, Request, Tail};

// `ONTO_…` of `kernels.cu`.
const NOTHING: usize = 0;
const UNIFORM: usize = 1;
const LOGITS: usize = 2;
const ITSELF: usize = 3;

/// Statistics without those of the most probable tokens.
const FIRST: usize = 7;

fn cap(soft_cap: Option<f64>) -> Argument {
    Number(soft_cap.unwrap_or(0.0) as f32)
}

/// As [`statistics`](crate::head_rows::plain::statistics) of plain operators.
pub(crate) fn statistics(chunk: &Chunk, logits_nv: &Tensor, request: &Request) -> Option<Tensor> {
    let target = Target::of(logits_nv)?;
    let rows = Rows::of(logits_nv)?;
    if request.top_entropy || request.mass {
        return None;
    }
    let (onto, other, other_cap) = match request.reference {
        None => (NOTHING, None, None),
        Some(Reference::Uniform) => (UNIFORM, None, None),
        Some(Reference::Logits((logits, cap))) => (LOGITS, Some(logits), cap),
        Some(Reference::Top(..)) => return None,
    };
    let other = Rows::of_optional(other, rows.count, rows.columns)?;
    assert_eq!(chunk.labels.len(), rows.count, "a label per row");
    assert!(chunk.labels.iter().all(|label| (*label as usize) < rows.columns), "labels of the vocabulary");
    // Logits in f32 were not rounded.
    let exact = (logits_nv.kind() != Kind::Float).then(|| chunk.label_logits());
    let labels = chunk.labels_n.contiguous();
    let width = FIRST + if request.tempered { INVERSE_TEMPERATURES.len() } else { 0 };
    let out = Tensor::empty([rows.count as i64, width as i64], (Kind::Double, logits_nv.device()));
    let arguments = [
        rows.argument(),
        integer(rows.columns),
        pointer(&labels),
        exact.as_ref().map_or(Argument::Pointer(null_mut()), pointer),
        cap(chunk.soft_cap),
        integer(onto),
        other,
        cap(other_cap),
        integer(width),
        pointer(&out),
    ];
    target.run("head_statistics", rows.count, rows.columns, &arguments);
    Some(out)
}

/// As [`gradient`](crate::head_rows::plain::gradient) of plain operators.
pub(crate) fn gradient(
    logits_nv: &Tensor,
    tasks: &DeviceTasks,
    soft_cap: Option<f64>,
    onto: &Onto,
) -> Option<Tensor> {
    let target = Target::of(logits_nv)?;
    let rows = Rows::of(logits_nv)?;
    let (kind, other, by) = match (onto.logits, onto.tail) {
        _ if onto.reverse => return None,
        (Some((logits, _)), Tail::None) => (LOGITS, Some(logits), 0.0),
        (None, Tail::None) => (NOTHING, None, 0.0),
        (None, Tail::Uniform) => (UNIFORM, None, 0.0),
        (None, Tail::Itself(by)) => (ITSELF, None, by),
        _ => return None,
    };
    let others = other.map_or(0, |logits| logits.size()[0] as usize);
    let labels = tasks.labels_n.contiguous();
    let distance = Tensor::empty([rows.count as i64], (Kind::Double, logits_nv.device()));
    let arguments = [
        rows.argument(),
        integer(rows.columns),
        pointer(&labels),
        floats(&tasks.log_sum_exp)?,
        floats(&tasks.loss)?,
        floats(&tasks.label_weight)?,
        floats(&tasks.reference_weight)?,
        integer(kind),
        Rows::of_optional(other, others, rows.columns)?,
        integer(others),
        Number(by as f32),
        cap(soft_cap),
        cap(onto.logits.and_then(|(_, cap)| cap)),
        pointer(&distance),
    ];
    target.run("head_gradient", rows.count, rows.columns, &arguments);
    Some(distance)
}
