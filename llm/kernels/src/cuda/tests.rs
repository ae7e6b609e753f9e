//! The kernels' formulas, computed on this processor, beside plain operators. `tokensieve-train`'s `tests/cuda.rs` compares
//! what a GPU makes of the same code.

use tch::{Device, Kind, Tensor};

use super::driver::{compile, on_cpu::TESTED};
use super::*;
use crate::backend::skipped;
use crate::head_rows::plain::{self as plain_rows, DeviceTasks};
use crate::head_rows::task::{Chunk, Onto, Reference, Request, Tail};
use crate::layout::Layout;
use crate::plain;
use crate::shape::Attention;
use crate::tests::{chunk, close, random};

/// What the kernels give for tensors of this processor.
fn tested<T>(run: impl FnOnce() -> Option<T>) -> T {
    TESTED.set(true);
    let result = run();
    TESTED.set(false);
    result.expect("the kernels apply")
}

/// Numbers in rows that lie apart, in this kind.
fn apart(size: &[i64], seed: u64, kind: Kind) -> Tensor {
    let [rows, columns] = size[..] else { panic!("a matrix") };
    let view = Tensor::zeros([rows, columns + 16], (kind, Device::Cpu)).narrow(1, 8, columns);
    view.shallow_clone().copy_(&random(size, seed));
    view
}

const KINDS: [(Kind, f64); 2] = [(Kind::Float, 2e-6), (Kind::BFloat16, 4e-3)];

/// The compiler needs no GPU; it is found where torch is one for GPUs.
#[test]
fn there_is_machine_code_for_every_architecture() {
    for architecture in ["sm_75", "sm_80", "sm_90"] {
        match compile(architecture) {
            Ok(code) => assert!(code.starts_with(b"\x7fELF"), "{architecture}"),
            Err(why) => {
                assert!(!why.starts_with("NVRTC for"), "{why}");
                return skipped("NVRTC");
            }
        }
    }
}

#[test]
fn norms_agree_with_plain_ones() {
    for (kind, tolerance) in KINDS {
        let (x, dy, residual) =
            (apart(&[9, 104], 1, kind), apart(&[9, 104], 2, kind), apart(&[9, 104], 3, kind));
        let weight = (random(&[104], 4) + 1.0).to_kind(Kind::Float);
        let outs = || apart(&[9, 104], 5, kind);
        let (out, twin) = (outs(), outs());
        let inv_rms = tested(|| rms_norm(&x, &weight, 1e-5, &out));
        close(&inv_rms, &plain::rms_norm(&x, &weight, 1e-5, &twin), 1e-6);
        close(&out, &twin, tolerance);
        for residual in [None, Some(&residual)] {
            close(
                &tested(|| rms_norm_backward(&dy, &x, &weight, &inv_rms, residual, None)),
                &plain::rms_norm_backward(&dy, &x, &weight, &inv_rms, residual, None),
                tolerance,
            );
        }
    }
}

#[test]
fn norms_of_heads_agree_with_plain_ones_in_place() {
    for (kind, tolerance) in KINDS {
        let heads = |seed| apart(&[5, 96], seed, kind).narrow(1, 16, 64).unflatten(1, [4, 16]);
        let weight = (random(&[16], 4) + 1.0).to_kind(Kind::Float);
        let (x, twin, dy) = (heads(1), heads(1), heads(2));
        let inv_rms = tested(|| rms_norm(&x, &weight, 1e-5, &x));
        close(&inv_rms, &plain::rms_norm(&twin, &weight, 1e-5, &twin), 1e-6);
        close(&x, &twin, tolerance);
        let before = heads(1);
        close(
            &tested(|| rms_norm_backward(&dy, &before, &weight, &inv_rms, None, None)),
            &plain::rms_norm_backward(&dy, &before, &weight, &inv_rms, None, None),
            tolerance,
        );
    }
}

#[test]
fn gates_agree_with_plain_ones() {
    for ((kind, tolerance), activation) in
        KINDS.into_iter().flat_map(|kind| [(kind, Activation::Silu), (kind, Activation::GeluTanh)])
    {
        let (gate_up, d_act) = (apart(&[7, 80], 1, kind) * 3.0, apart(&[7, 40], 2, kind));
        let outs = || apart(&[7, 40], 3, kind);
        let [out, twin, again, twin_again] = [outs(), outs(), outs(), outs()];
        tested(|| gated(&gate_up, activation, &out));
        plain::gated(&gate_up, activation, &twin);
        close(&out, &twin, tolerance);
        close(
            &tested(|| gated_backward(&d_act, &gate_up, activation, Some(&again))),
            &plain::gated_backward(&d_act, &gate_up, activation, Some(&twin_again)),
            tolerance,
        );
        assert_eq!(again, out);
        let _ = tested(|| gated_backward(&d_act, &gate_up, activation, None));
    }
}

#[test]
fn weights_in_four_bits_are_written_as_plainly() {
    for (kind, columns) in [(Kind::Float, 576), (Kind::BFloat16, 576), (Kind::BFloat16, 72)] {
        let held = Nf4Weight::of(&random(&[6, columns], 1));
        let [out, twin] = [2, 2].map(|seed| apart(&[6, columns], seed, kind));
        tested(|| nf4(&held, &out));
        held.write_plainly(&twin);
        assert_eq!(out, twin);
    }
}

#[test]
fn rotations_agree_with_plain_ones() {
    let heads = Heads { queries: 4, keys: 2, dim: 24 };
    for (kind, tolerance) in KINDS {
        for backward in [false, true] {
            let angles = random(&[6, 8], 1).to_kind(Kind::Float);
            let (cos, sin) = (angles.cos(), angles.sin());
            let [turned, twin] = [2, 2].map(|seed| apart(&[6, heads.width() as i64], seed, kind));
            tested(|| rope(&turned, &cos, &sin, &heads, backward));
            plain::rope(&twin, &cos, &sin, &heads, backward);
            close(&turned, &twin, tolerance);
        }
    }
}

#[test]
fn the_same_numbers_are_dropped() {
    for (kind, tolerance) in KINDS {
        let (x, base) = (apart(&[8, 48], 1, kind), apart(&[8, 48], 2, kind));
        let mask = Mask::new(0.3, 3, (0..8).map(|row| [row * 77 + 5, row * 91 + 2]).collect());
        for (base, scale) in [(None, 1.0), (Some(&base), mask.scale())] {
            let twin = plain::dropout(&x, base, &mask, scale);
            close(&tested(|| dropout(&x, base, &mask, scale)), &twin, tolerance);
        }
    }
}

#[test]
fn new_tokens_attend_as_all_do_together() {
    let heads = Heads { queries: 4, keys: 2, dim: 16 };
    let (layers, lengths, new) = (2, [700, 9, 40], [3, 1, 40]);
    let scale = 0.3;
    for ((kind, _), (soft_cap, window)) in
        KINDS.into_iter().flat_map(|kind| [(kind, (None, None)), (kind, (Some(2.0), Some(30)))])
    {
        let how = Attention { heads, scale, soft_cap, window };
        let tolerance = if kind == Kind::Float { 1e-5 } else { 8e-3 };
        for layer in 0..layers {
            let all: Vec<Tensor> =
                (0..3).map(|i| (random(&[lengths[i], 128], i as u64 + 9) * 2.0).to_kind(kind)).collect();
            let room = |tokens: i64| Tensor::full([tokens + 3, 64], f64::NAN, (kind, Device::Cpu));
            let caches: Vec<Vec<Tensor>> =
                lengths.iter().map(|length| (0..layers).map(|_| room(*length)).collect()).collect();
            let (mut own, mut expected) = (Vec::new(), Vec::new());
            for i in 0..3 {
                let before = lengths[i] - new[i];
                caches[i][layer as usize]
                    .narrow(0, 0, before)
                    .copy_(&all[i].narrow(1, 64, 64).narrow(0, 0, before));
                own.push(all[i].narrow(0, before, new[i]));
                let out = Tensor::zeros([lengths[i], 64], (kind, Device::Cpu));
                let layout = Layout { prefix: 0, lengths: vec![lengths[i] as usize] };
                let _ = plain::attention(&all[i], &layout, &how, None, &out);
                expected.push(out.narrow(0, before, new[i]));
            }
            let sequences: Vec<Sequence> = (0..3)
                .map(|i| Sequence {
                    layers: &caches[i],
                    before: (lengths[i] - new[i]) as usize,
                    new: new[i] as usize,
                })
                .collect();
            let out = apart(&[44, 64], 3, kind);
            let qkv = Tensor::cat(&own, 0);
            tested(|| Held::new(&sequences, Device::Cpu)?.attend(&qkv, layer as usize, &how, &out));
            close(&out, &Tensor::cat(&expected, 0), tolerance);
        }
    }
}

/// Logits in rows that lie apart, and labels: of the first row the most probable one, of the second and the fourth one that
/// is as probable as another, behind and before it.
struct Rowed {
    hidden: Tensor,
    weight: Tensor,
    logits: Tensor,
    labels: Vec<u32>,
}

impl Rowed {
    fn new(kind: Kind) -> Self {
        let (hidden, weight) =
            (random(&[6, 16], 1).to_kind(kind), (random(&[40, 16], 2) * 1.5).to_kind(kind));
        let logits = apart(&[6, 40], 3, kind);
        logits.shallow_clone().copy_(&hidden.matmul(&weight.tr()));
        let first = logits.get(0).argmax(-1, false).int64_value(&[]) as u32;
        for (row, label) in [(1, 39), (3, 0)] {
            let row = logits.get(row);
            row.get(label).copy_(&row.max());
        }
        Self { hidden, weight, logits, labels: vec![first, 39, 3, 0, 17, 8] }
    }

    fn chunk(&self, soft_cap: Option<f64>) -> Chunk<'_> {
        chunk(&self.hidden, &self.labels, &self.weight, soft_cap)
    }
}

#[test]
fn the_head_s_statistics_agree_with_plain_ones() {
    for (kind, _) in KINDS {
        let rows = Rowed::new(kind);
        let other = apart(&[6, 40], 7, kind) * 2.0;
        for soft_cap in [None, Some(5.0)] {
            let references = [None, Some(Reference::Uniform), Some(Reference::Logits((&other, Some(9.0))))];
            for (reference, tempered) in references.into_iter().flat_map(|r| [(r, false), (r, true)]) {
                let request = Request { tempered, reference, ..Request::default() };
                let chunk = rows.chunk(soft_cap);
                let found = tested(|| head_rows::statistics(&chunk, &rows.logits, &request));
                let expected = plain_rows::statistics(&chunk, &rows.logits, &request);
                assert_eq!(found.size(), expected.size());
                assert_eq!([0, 1, 3].map(|row| found.double_value(&[row, 4])), [1.0, 0.0, 1.0]);
                // What is not asked for is NaN on both sides.
                let unasked = found.isnan().logical_and(&expected.isnan());
                let away = (found - expected).abs().masked_fill(&unasked, 0.0).max().double_value(&[]);
                assert!(away < 1e-5, "{kind:?}, {soft_cap:?}, {request:?}: {away}");
            }
        }
    }
}

#[test]
fn the_head_s_gradient_agrees_with_plain_one() {
    for (kind, tolerance) in KINDS {
        let rows = Rowed::new(kind);
        let other = apart(&[4, 40], 7, kind) * 2.0;
        for soft_cap in [None, Some(5.0)] {
            let chunk = rows.chunk(soft_cap);
            let stats = plain_rows::statistics(&chunk, &rows.logits, &Request::default());
            let column = |i| stats.narrow(1, i, 1).to_kind(Kind::Float).contiguous();
            let column_of = |numbers: [f32; 6]| Tensor::from_slice(&numbers).unsqueeze(1);
            let ways = [
                (None, Tail::None),
                (None, Tail::Uniform),
                (None, Tail::Itself(1.5)),
                (Some((&other, Some(9.0))), Tail::None),
            ];
            for (logits, tail) in ways {
                let none = logits.is_none() && matches!(tail, Tail::None);
                let a = column_of([0.2, 0.0, 0.1, 0.3, 0.1, 0.05]);
                let b = if none { a.zeros_like() } else { column_of([0.1, 0.2, 0.3, 0.1, 0.0, 0.0]) };
                let tasks = DeviceTasks {
                    labels_n: chunk.labels_n.shallow_clone(),
                    log_sum_exp: column(3),
                    loss: column(0),
                    weight: &a + &b,
                    flat: &b / 40.0,
                    has_reference: b.ne(0.0).to_kind(Kind::Float),
                    label_weight: a,
                    reference_weight: b,
                    top: None,
                };
                let onto = Onto { logits, tail, reverse: false };
                let [found, mut twin] = [(), ()].map(|()| rows.logits.copy());
                let distance = tested(|| head_rows::gradient(&found, &tasks, soft_cap, &onto));
                let expected = plain_rows::gradient(&mut twin, &tasks, soft_cap, &onto);
                close(&found, &twin, tolerance);
                let away = (distance - expected).abs().max().double_value(&[]);
                assert!(away < 2e-5, "{kind:?}, {soft_cap:?}, {onto:?}: {away}");
            }
        }
    }
}

#[test]
fn what_the_kernels_cannot_read_is_left_to_others() {
    TESTED.set(true);
    let whole = Tensor::zeros([4, 48], (Kind::Float, Device::Cpu));
    let weight = Tensor::ones([47], (Kind::Float, Device::Cpu));
    for view in [whole.narrow(1, 0, 47), whole.narrow(1, 1, 47)] {
        assert!(rms_norm(&view, &weight, 1e-5, &view).is_none());
    }
    let unaligned = whole.narrow(1, 1, 40);
    assert!(gated(&unaligned, Activation::Silu, &whole.narrow(1, 0, 20)).is_none());
    assert!(gated(&whole.to_kind(Kind::Double), Activation::Silu, &whole.narrow(1, 0, 24)).is_none());
    TESTED.set(false);
    assert!(gated(&whole, Activation::Silu, &whole.narrow(1, 0, 24)).is_none());
}
