//! Gates on CUDA by libtorch's fused operators, which read and write a third of what the plain ones do. They round the
//! activation to bf16 before they multiply with it.

use tch::{Kind, Tensor};

use crate::shape::Activation;

fn applies(gate_up: &Tensor) -> bool {
    gate_up.device().is_cuda() && gate_up.kind() == Kind::BFloat16
}

pub(super) fn gated(gate_up: &Tensor, activation: Activation, out: &Tensor) -> Option<()> {
    applies(gate_up).then(|| forward(gate_up, activation, out))
}

pub(super) fn gated_backward(
    d_act: &Tensor,
    gate_up: &Tensor,
    activation: Activation,
    act_out: Option<&Tensor>,
) -> Option<Tensor> {
    applies(gate_up).then(|| backward(d_act, gate_up, activation, act_out))
}

fn forward(gate_up: &Tensor, activation: Activation, out: &Tensor) {
    let [gate, up] = halves(gate_up);
    activate(&gate, activation, out);
    let _ = out.shallow_clone().g_mul_(&up);
}

fn backward(d_act: &Tensor, gate_up: &Tensor, activation: Activation, act_out: Option<&Tensor>) -> Tensor {
    let ([gate, up], gradient) = (halves(gate_up), gate_up.empty_like());
    let ([d_gate, d_up], d_act) = (halves(&gradient), d_act.to_kind(gate_up.kind()));
    let value = gate.empty_like();
    activate(&gate, activation, &value);
    if let Some(out) = act_out {
        let _ = value.mul_out(out, &up);
    }
    let _ = d_act.mul_out(&d_up, &value);
    let d_value = d_act.mul_out(&value, &up);
    match activation {
        Activation::Silu => drop(gate.silu_backward_grad_input(&d_gate, &d_value)),
        Activation::GeluTanh => drop(gate.gelu_backward_grad_input(&d_gate, &d_value, "tanh")),
    }
    gradient
}

fn activate(gate: &Tensor, activation: Activation, out: &Tensor) {
    match activation {
        Activation::Silu => drop(gate.silu_out(out)),
        Activation::GeluTanh => drop(gate.gelu_out(out, "tanh")),
    }
}

fn halves(gate_up: &Tensor) -> [Tensor; 2] {
    let width = gate_up.size()[1] / 2;
    [0, width].map(|start| gate_up.narrow(1, start, width))
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::super::tests::{close, random};
    use super::*;

    #[test]
    fn fused_gates_agree_with_plain_ones() {
        for activation in [Activation::Silu, Activation::GeluTanh] {
            for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 8e-3)] {
                let gate_up = (random(&[11, 74], 1) * 3.0).to_kind(kind);
                let d_act = random(&[11, 37], 2).to_kind(kind);
                let outs = || [0, 1, 2, 3].map(|_| random(&[11, 50], 3).to_kind(kind).narrow(1, 7, 37));
                let [out, twin, again, twin_again] = outs();
                forward(&gate_up, activation, &out);
                plain::gated(&gate_up, activation, &twin);
                close(&out, &twin, tolerance);
                close(
                    &backward(&d_act, &gate_up, activation, Some(&again)),
                    &plain::gated_backward(&d_act, &gate_up, activation, Some(&twin_again)),
                    tolerance,
                );
                assert_eq!(again, out);
            }
        }
    }
}
