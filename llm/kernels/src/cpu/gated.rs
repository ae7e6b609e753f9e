//! The gated feed-forward layer's non-linearity.

use std::f32::consts::PI;

use tch::{Device, Tensor};

use super::lanes::{LANES, Lanes, Make, Number, Simd, run};
use super::rows::{Rows, by_kind, for_rows, optional};
use crate::shape::Activation;

pub(crate) fn gated(gate_up: &Tensor, activation: Activation, out: &Tensor) -> Option<()> {
    by_kind!(gate_up, forward(gate_up, activation, out))
}

fn forward<S: Simd, N: Number>(
    simd: S,
    gate_up: &Tensor,
    activation: Activation,
    out: &Tensor,
) -> Option<()> {
    let (rows, into) = (Rows::<N>::of(gate_up)?, Rows::<N>::of(out)?);
    let n = into.columns;
    assert_eq!((rows.count, rows.columns), (into.count, 2 * n));
    for_rows(rows.count, n, |i| {
        // SAFETY: each row is one thread's; the instructions exist.
        unsafe { forward_row(simd, rows.row(i), activation, into.row(i), n) };
    });
    Some(())
}

/// # Safety
/// `gate_up` has 2·n numbers, `out` has n, and no other thread writes it.
pub(super) unsafe fn forward_row<S: Simd, N: Number>(
    simd: S,
    gate_up: *const N,
    activation: Activation,
    out: *mut N,
    n: usize,
) {
    run!(simd, {
        for at in (0..n).step_by(LANES) {
            let left = n - at;
            // SAFETY: `gate_up` has 2·n numbers, `out` has n.
            unsafe {
                let (gate, up) = (simd.load(gate_up.add(at), left), simd.load(gate_up.add(n + at), left));
                (gate * sigmoid(simd, gate, activation).0 * up).store(out.add(at), left);
            }
        }
    });
}

pub(crate) fn gated_backward(
    d_act: &Tensor,
    gate_up: &Tensor,
    activation: Activation,
    act_out: Option<&Tensor>,
) -> Option<Tensor> {
    by_kind!(gate_up, backward(&d_act.to_kind(gate_up.kind()), gate_up, activation, act_out))
}

fn backward<S: Simd, N: Number>(
    simd: S,
    d_act: &Tensor,
    gate_up: &Tensor,
    activation: Activation,
    act_out: Option<&Tensor>,
) -> Option<Tensor> {
    let d_gate_up = Tensor::empty(gate_up.size(), (gate_up.kind(), Device::Cpu));
    let (rows, d_rows, into) = (Rows::<N>::of(gate_up)?, Rows::<N>::of(d_act)?, Rows::<N>::of(&d_gate_up)?);
    let act = optional(act_out, Rows::<N>::of)?;
    let n = d_rows.columns;
    assert_eq!((rows.count, rows.columns), (d_rows.count, 2 * n));
    assert!(act.is_none_or(|act| (act.count, act.columns) == (rows.count, n)));
    for_rows(rows.count, n, |i| {
        // SAFETY: as in `forward`.
        unsafe {
            let act = act.map(|act| act.row(i));
            backward_row(simd, d_rows.row(i), rows.row(i), activation, act, into.row(i), n);
        }
    });
    Some(d_gate_up)
}

/// # Safety
/// `gate_up` and `d_gate_up` have 2·n numbers, the others n, and no other thread writes the results.
unsafe fn backward_row<S: Simd, N: Number>(
    simd: S,
    d_act: *const N,
    gate_up: *const N,
    activation: Activation,
    act: Option<*mut N>,
    d_gate_up: *mut N,
    n: usize,
) {
    run!(simd, {
        for at in (0..n).step_by(LANES) {
            let left = n - at;
            // SAFETY: as in `forward_row`.
            unsafe {
                let (gate, up) = (simd.load(gate_up.add(at), left), simd.load(gate_up.add(n + at), left));
                let d_act = simd.load(d_act.add(at), left);
                let (sigmoid, d_inner) = sigmoid(simd, gate, activation);
                let value = gate * sigmoid;
                // (x·σ(u))' = σ + x·σ·(1 − σ)·u'
                let slope = (value * (simd.splat(1.0) - sigmoid)).mul_add(d_inner, sigmoid);
                (d_act * up * slope).store(d_gate_up.add(at), left);
                (d_act * value).store(d_gate_up.add(n + at), left);
                if let Some(act) = act {
                    (value * up).store(act.add(at), left);
                }
            }
        }
    });
}

/// What x is multiplied by, σ(u(x)), and u'.
#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: Lanes<S>, activation: Activation) -> (Lanes<S>, Lanes<S>) {
    match activation {
        Activation::Silu => (x.sigmoid(), simd.splat(1.0)),
        Activation::GeluTanh => {
            // (1 + tanh v) / 2 is σ(2v), and 2v = √(8/π)·(x + 0.044715·x³).
            let root = (8.0 / PI).sqrt();
            let square = x * x;
            let u = x * square.mul_add(simd.splat(0.044_715 * root), simd.splat(root));
            (u.sigmoid(), square.mul_add(simd.splat(3.0 * 0.044_715 * root), simd.splat(root)))
        }
    }
}
