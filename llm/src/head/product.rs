//! The products that carry the gradient on: back to the hidden states, and onto the output matrix.

use std::sync::Mutex;

use tch::{Device, Kind, Tensor};

use crate::shim;

/// Elements of a piece of the output matrix' gradient, computed in the compute type before it is added in f32 (choice:
/// 16 MiB in bf16).
const PIECE: i64 = 8 << 20;

/// Rows that are worth a thread of their own (choice: a few tiles).
const ROWS_PER_THREAD: i64 = 32;

/// gradient·weight, `[n, D]`.
///
/// On the CPU in bf16 the rows are shared among threads here: on some processors oneDNN keeps a product with so long an
/// inner dimension on one core (docs/LOG.md).
pub(super) fn onto_hidden(gradient_nv: &Tensor, weight_vd: &Tensor) -> Tensor {
    let rows = gradient_nv.size()[0];
    let parts = i64::from(tch::get_num_threads()).min(rows / ROWS_PER_THREAD);
    if gradient_nv.device() != Device::Cpu || gradient_nv.kind() != Kind::BFloat16 || parts < 2 {
        return gradient_nv.mm(weight_vd);
    }
    let out = Tensor::empty([rows, weight_vd.size()[1]], (Kind::BFloat16, Device::Cpu));
    let bounds = |part: i64| (part * rows / parts, (part + 1) * rows / parts);
    let operands: Vec<_> = (0..parts)
        .map(|part| {
            let (start, end) = bounds(part);
            let narrow = |tensor: &Tensor| tensor.narrow(0, start, end - start);
            Mutex::new((narrow(gradient_nv), weight_vd.shallow_clone(), narrow(&out)))
        })
        .collect();
    shim::parallel(operands.len(), 1, |range| {
        for part in range {
            let (gradient, weight, out) = &*operands[part].lock().expect("nobody else locks it");
            let _ = gradient.mm_out(out, weight);
        }
    });
    out
}

/// Adds gradientᵀ·hidden to f32 `[V, D]`, piece by piece of the vocabulary.
pub(super) fn onto_weight(gradient_nv: &Tensor, hidden_nd: &Tensor, sum_vd: &Tensor) {
    let [vocabulary, width] = [sum_vd.size()[0], sum_vd.size()[1]];
    let step = (PIECE / width).max(1);
    for start in (0..vocabulary).step_by(step as usize) {
        let n = step.min(vocabulary - start);
        let piece = gradient_nv.narrow(1, start, n).tr().mm(hidden_nd);
        let _ = sum_vd.narrow(0, start, n).g_add_(&piece.to_kind(Kind::Float));
    }
}
