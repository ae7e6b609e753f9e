//! The GPU beside the CPU: operators, attention and whole steps of every architecture. On a machine without CUDA, and with a
//! libtorch that has no CUDA half, it says so and checks nothing. A program of its own, since CUDA is opened before the
//! first tensor is made or not at all. Needs libtorch; run where torch 2.11 with CUDA is installed for Python:
//! `LD_LIBRARY_PATH=$(python3 -c 'import torch; print(torch.__path__[0])')/lib cargo test -p tokensieve-train --test cuda`.

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use std::time::Duration;

use fixture::{Fixture, NAMES};
use tch::{Device, Kind, Tensor, no_grad};
use tokensieve_base::testing::skipped;
use tokensieve_kernels::head_rows::plain::DeviceTasks;
use tokensieve_kernels::head_rows::{self, Chunk, ChunkStats, Onto, Request, Tail};
use tokensieve_kernels::nccl::{self, Communicator};
use tokensieve_kernels::{
    self as kernels, Activation, Attention, Heads, Layout, Mask, Nf4Weight, Product, machine, plain,
};
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::{Adapter, Cache, Document, LoraConfig, Model};
use tokensieve_objective::{Objective, Plan};
use tokensieve_train::Trained;
use tokensieve_train::step::{Ranking, StepOptions, step};

/// The GPU, opened before anything else happens.
fn gpu() -> Option<Device> {
    let device = machine::device();
    if !device.is_cuda() {
        skipped(&format!("no CUDA device: {:?}", machine::open_cuda()));
    }
    Some(device).filter(|device| device.is_cuda())
}

fn random(size: &[i64], name: &str) -> Tensor {
    fixture::numbers(name, size)
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    let [a, b] = [a, b].map(|x| x.to_device(Device::Cpu).to_kind(Kind::Double));
    (&a - &b).norm().double_value(&[]) / b.norm().double_value(&[]).max(1e-30)
}

#[track_caller]
fn close(what: &str, a: &Tensor, b: &Tensor, tolerance: f64) {
    let away = distance(a, b);
    assert!(away <= tolerance, "{what}: relative distance {away:e}, above {tolerance:e}");
}

#[test]
fn operators_agree_with_plain_ones_in_f64() {
    let Some(gpu) = gpu() else { return };
    for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 1e-2)] {
        let there = |x: &Tensor| x.to_device(gpu).to_kind(kind);
        // What the GPU is given, exactly.
        let exact = |x: &Tensor| x.to_kind(kind).to_kind(Kind::Double);
        let numbers = |columns: i64, name: &str| random(&[67, columns], name);

        let (x, weight) = (numbers(96, "x"), random(&[96, 64], "weight"));
        let expected = exact(&x).mm(&exact(&weight));
        close("product", &Product::of(&there(&x), &there(&weight)).result(), &expected, tolerance);
        let wide = Tensor::zeros([67, 64], (Kind::Float, gpu));
        Product::of(&there(&x), &there(&weight)).write(&wide);
        close("product into f32", &wide, &expected, 1e-5);
        let added = random(&[67, 64], "added");
        let sum = added.to_device(gpu);
        Product::of(&there(&x), &there(&weight)).plus(Some(&sum)).write(&sum);
        close("product added to f32", &sum, &(&expected + added.to_kind(Kind::Double)), 1e-5);

        // One warp's work, and more than a block of threads reads at once.
        for width in [96, 5000] {
            let (x, dy) = (numbers(width, "x"), numbers(width, "dy"));
            let norm = random(&[width], "norm") + 1.0;
            let (norm64, norm32) = (norm.to_kind(Kind::Double), norm.to_device(gpu));
            let (out, twin) = (there(&x), exact(&x));
            let inv_rms = kernels::rms_norm(&there(&x), &norm32, 1e-5, &out);
            let twin_rms = plain::rms_norm(&exact(&x), &norm64, 1e-5, &twin);
            close("norm", &out, &twin, tolerance);
            for residual in [None, Some(&x)] {
                let [there_residual, residual] = [residual.map(there), residual.map(exact)];
                let (there_residual, residual) = (there_residual.as_ref(), residual.as_ref());
                close(
                    "norm, backward",
                    &kernels::rms_norm_backward(
                        &there(&dy),
                        &there(&x),
                        &norm32,
                        &inv_rms,
                        there_residual,
                        None,
                    ),
                    &plain::rms_norm_backward(&exact(&dy), &exact(&x), &norm64, &twin_rms, residual, None),
                    tolerance,
                );
            }
        }

        let mask = Mask::new(0.3, 3, (0..67).map(|row| [row * 77 + 5, row * 91 + 2]).collect());
        close(
            "dropout",
            &mask.add(&there(&x), None),
            &plain::dropout(&exact(&x), None, &mask, mask.scale()),
            tolerance,
        );

        for activation in [Activation::Silu, Activation::GeluTanh] {
            let (gate_up, d_act) = (numbers(192, "gate") * 3.0, numbers(96, "act"));
            let (out, twin) = (there(&d_act), exact(&d_act));
            kernels::gated(&there(&gate_up), activation, &out);
            plain::gated(&exact(&gate_up), activation, &twin);
            close("gate", &out, &twin, tolerance);
            close(
                "gate, backward",
                &kernels::gated_backward(&there(&d_act), &there(&gate_up), activation, None),
                &plain::gated_backward(&exact(&d_act), &exact(&gate_up), activation, None),
                tolerance,
            );
        }

        let (out, twin) = (there(&x), x.to_kind(kind));
        Nf4Weight::of(&out.copy()).write(&out);
        Nf4Weight::of(&twin.copy()).write(&twin);
        close("four bits", &out, &twin, 1e-7);

        let heads = Heads { queries: 4, keys: 2, dim: 16 };
        let (angles, before) = (random(&[67, 8], "angles"), numbers(heads.width() as i64, "qkv"));
        let (turned, twin) = (there(&before), exact(&before));
        kernels::rope(&turned, &angles.cos().to_device(gpu), &angles.sin().to_device(gpu), &heads, false);
        let angles = angles.to_kind(Kind::Double);
        plain::rope(&twin, &angles.cos(), &angles.sin(), &heads, false);
        close("rope", &turned, &twin, tolerance);
    }
}

#[test]
fn the_head_s_rows_agree_with_plain_ones() {
    let Some(gpu) = gpu() else { return };
    for (kind, vocabulary) in [(Kind::Float, 1000), (Kind::BFloat16, 1000), (Kind::BFloat16, 40_000)] {
        let numbers = |size: [i64; 2], name| random(&size, name).to_kind(kind).to_device(gpu);
        let (hidden, weight) = (numbers([9, 64], "hidden"), numbers([vocabulary, 64], "unembedding"));
        let (logits, other) = (hidden.matmul(&weight.tr()), numbers([9, vocabulary], "other") * 3.0);
        let labels: Vec<u32> = (0..9).map(|row| row * 111).collect();
        let labels_n = Tensor::from_slice(&labels.iter().map(|label| i64::from(*label)).collect::<Vec<_>>());
        let chunk = Chunk {
            hidden_nd: hidden.shallow_clone(),
            labels: &labels,
            labels_n: labels_n.to_device(gpu),
            weight_vd: &weight,
            soft_cap: None,
        };
        for (reference, tempered) in
            [(None, false), (None, true), (Some(head_rows::Reference::Logits((&other, None))), false)]
        {
            let request = Request { tempered, reference, ..Request::default() };
            let found = head_rows::statistics(&chunk, &logits, &request);
            let expected = head_rows::plain::statistics(&chunk, &logits, &request);
            let ChunkStats::Device(found) = found else { panic!("they are on the GPU") };
            // What is not asked for is NaN on both sides.
            let unasked = found.isnan().logical_and(&expected.isnan());
            let away = (found - expected).abs().masked_fill(&unasked, 0.0).max().double_value(&[]);
            assert!(away < 1e-4, "{kind:?}, {request:?}: {away}");
        }
        let stats = head_rows::plain::statistics(&chunk, &logits, &Request::default());
        let column = |i| stats.narrow(1, i, 1).to_kind(Kind::Float).contiguous();
        let (a, b) = (column(1) / 9.0, column(1).tanh());
        for (onto_logits, tail) in
            [(Some((&other, None)), Tail::None), (None, Tail::Uniform), (None, Tail::Itself(2.0))]
        {
            let tasks = DeviceTasks {
                labels_n: chunk.labels_n.shallow_clone(),
                log_sum_exp: column(3),
                loss: column(0),
                label_weight: a.shallow_clone(),
                reference_weight: b.shallow_clone(),
                weight: &a + &b,
                flat: &b / vocabulary as f64,
                has_reference: b.ones_like(),
                top: None,
            };
            let onto = Onto { logits: onto_logits, tail, reverse: false };
            let (mut found, mut twin) = (logits.copy(), logits.copy());
            let distance = head_rows::gradient_on_device(&mut found, &tasks, None, &onto);
            let expected = head_rows::plain::gradient(&mut twin, &tasks, None, &onto);
            close("gradient on logits", &found, &twin, if kind == Kind::Float { 1e-5 } else { 1e-2 });
            close("distance", &distance, &expected, 1e-5);
        }
    }
}

#[test]
fn flash_attention_agrees_with_plain_attention() {
    let Some(gpu) = gpu() else { return };
    let heads = Heads { queries: 6, keys: 2, dim: 64 };
    let layout = Layout { prefix: 0, lengths: vec![70, 1, 130] };
    for window in [None, Some(50)] {
        let how = Attention { heads, scale: 0.125, soft_cap: None, window };
        let input = |columns, name| random(&[201, columns], name).to_device(gpu).to_kind(Kind::BFloat16);
        let (qkv, d_out) = (input(10 * 64, "qkv") * 2.0, input(6 * 64, "d_out"));
        let (out, twin) = (d_out.zeros_like(), d_out.zeros_like());
        let lse = kernels::attention(&qkv, &layout, &how, None, &out);
        let twin_lse = plain::attention(&qkv, &layout, &how, None, &twin);
        close("log-sum-exp", &lse, &twin_lse, 1e-4);
        close("attention", &out, &twin, 1e-2);
        close(
            "attention, backward",
            &kernels::attention_backward(&d_out, &qkv, &out, &lse, &layout, &how),
            &plain::attention_backward(&d_out, &qkv, &twin, &twin_lse, &layout, &how),
            2e-2,
        );
    }
}

#[test]
fn sequences_grow_as_on_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for name in NAMES {
        let fixture = Fixture::new(name);
        let last = |device| {
            let model = Model::load(&fixture.checkpoint(), Kind::Float, device).unwrap();
            let mut caches = [Cache::new(&model, 2), Cache::new(&model, 2)];
            let mut hidden = Tensor::new();
            for pieces in [[&[5_u32, 9, 2, 7][..], &[3]], [&[1], &[8, 6, 4]], [&[2], &[1]]] {
                let mut pieces: Vec<_> = caches.iter_mut().zip(pieces).collect();
                hidden = no_grad(|| model.forward_cached(&mut pieces));
            }
            hidden
        };
        close(&format!("{name}, growing"), &last(gpu), &last(Device::Cpu), 1e-4);
    }
}

/// Loss and gradient of a step on a device.
fn stepped(fixture: &Fixture, toml: &str, kind: Kind, device: Device) -> (f64, Tensor) {
    let mut model = Model::load(&fixture.checkpoint(), kind, device).unwrap();
    let adapter = Adapter::load(model.config(), fixture.adapter_folder().path(), device).unwrap();
    model.attach(Some(&adapter)).unwrap();
    let lora = LoraConfig { r: 2, ..LoraConfig::default() };
    let other = Adapter::new(model.config(), &lora, 5, Device::Cpu).unwrap();
    let values = other.parameters.values();
    let moved = values + random(&values.size(), "reference") / 4.0;
    let reference = Adapter::new(model.config(), &lora, 5, device).unwrap();
    no_grad(|| reference.parameters.values().shallow_clone().copy_(&moved));
    let (trained, reference) = (Trained::Adapter(adapter), Reference::Adapter(Box::new(reference)));
    let documents: Vec<&Document> = fixture.documents.iter().collect();
    let options = StepOptions {
        micro_tokens: 40,
        checkpointing: false,
        dropout: 0,
        ranking: Ranking::Exact,
        processes: None,
    };
    let mut objective = Objective::from_toml(toml).unwrap().begin(Plan { steps: 10, seed: 4 });
    let mut head = Head::on(device);
    let report =
        step(&mut head, &mut model, &trained, &reference, &mut objective, &documents, &options).unwrap();
    (report.loss, trained.parameters().gradients().to_device(Device::Cpu).copy())
}

/// NCCL between GPUs needs several. This one alone: its functions are there, and the sum of one vector is that vector.
#[test]
fn nccl_adds_up_what_one_gpu_has() {
    let Some(gpu) = gpu() else { return };
    let Device::Cuda(index) = gpu else { unreachable!("a GPU") };
    assert!(nccl::place(index).unwrap().contains(':'));
    let patience = Duration::from_secs(60);
    let alone = Communicator::join(index, &nccl::new_id().unwrap(), [0, 1], 1000, patience).unwrap();
    let values = random(&[1000], "gradient").to_device(gpu);
    let sum = values.copy();
    assert_eq!(alone.all_reduce_sum(&sum, || None::<()>), Ok(None));
    assert_eq!(sum, values);
}

#[test]
fn a_step_has_the_cpu_s_gradient() {
    let Some(gpu) = gpu() else { return };
    for name in NAMES {
        let fixture = Fixture::new(name);
        for toml in [
            "preset = 'mle'",
            "preset = 'masked-mle+distill'",
            "preset = 'truncated-kd'\ntop_k = 5",
            "against = 'reference'\nweight = 'divergence'",
            "against = 'reference'\ntop_k = 5\nreference = 'divergence'",
        ] {
            let (loss, gradient) = stepped(&fixture, toml, Kind::Float, Device::Cpu);
            let (found, there) = stepped(&fixture, toml, Kind::Float, gpu);
            assert!((found - loss).abs() < 1e-4 * loss.abs(), "{name}, {toml}: {found}, on the CPU {loss}");
            close(&format!("{name}, {toml}"), &there, &gradient, 1e-3);
        }
        // In bf16 which tokens are chosen may differ; where all are, the gradient is nearly the same.
        let (loss, gradient) = stepped(&fixture, "preset = 'mle'", Kind::Float, Device::Cpu);
        let (found, there) = stepped(&fixture, "preset = 'mle'", Kind::BFloat16, gpu);
        assert!((found - loss).abs() < 0.05 * loss.abs(), "{name} in bf16: {found}, on the CPU {loss}");
        close(&format!("{name} in bf16"), &there, &gradient, 0.2);
    }
}
