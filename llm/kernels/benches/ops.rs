//! The operations at SmolLM2-135M's shapes: kernels against libtorch's own operators, in the same run, and against what
//! the machine can do at all (a copy's bytes, a matrix product's operations).
//!
//!     cargo bench -p tokensieve-kernels --bench ops
//!
//! Each number is the fastest of many runs, for other work on the machine only ever slows one down.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor, no_grad_guard};
use tokensieve_kernels::machine::Machine;
use tokensieve_kernels::{self as kernels, Activation, Attention, Block, Heads, Layout, Product, plain};

/// Time for each measurement (choice).
const PATIENCE: Duration = Duration::from_millis(700);

const HEADS: Heads = Heads { queries: 9, keys: 3, dim: 64 };
const HIDDEN: i64 = 576;
const INTERMEDIATE: i64 = 1536;

fn main() {
    let _guard = no_grad_guard();
    // As in training: huge pages.
    tokensieve_kernels::memory::keep();
    // Nine documents of GSM8K's lengths behind the chat template's shared start.
    let layout = Layout { prefix: 24, lengths: vec![121, 140, 168, 187, 205, 214, 243, 290, 371] };
    let machine = Machine::measure();
    let (source, target) = (random(&[64 << 20]), random(&[64 << 20]));
    let copied = fastest(|| target.shallow_clone().copy_(&source));
    let copy = 2.0 * 2.0 * f64::from(64 << 20) / copied / 1e9;
    println!(
        "{} threads; copies {copy:.1} GB/s, bf16 products {:.0} GFLOP/s\n",
        machine.threads, machine.bf16_gflops
    );
    println!("{:26}{:>10}{:>10}{:>8}", format!("{} tokens, bf16", layout.tokens()), "plain", "kernel", "×");
    norm(&layout);
    rope(&layout);
    gated(&layout);
    attention(&layout);
    products(&layout);
}

fn norm(layout: &Layout) {
    let tokens = layout.tokens() as i64;
    let x = random(&[tokens, HIDDEN]);
    let (dy, out) = (random(&[tokens, HIDDEN]), x.zeros_like());
    let weight = random(&[HIDDEN]).to_kind(Kind::Float);
    let inv_rms = kernels::rms_norm(&x, &weight, 1e-5, &out);
    let bytes = (2 * tokens * HIDDEN) as f64;
    compare(
        "norm",
        Work::Bytes(2.0 * bytes),
        || plain::rms_norm(&x, &weight, 1e-5, &out),
        || kernels::rms_norm(&x, &weight, 1e-5, &out),
    );
    compare(
        "norm backward",
        Work::Bytes(4.0 * bytes),
        || plain::rms_norm_backward(&dy, &x, &weight, &inv_rms, Some(&dy), None),
        || kernels::rms_norm_backward(&dy, &x, &weight, &inv_rms, Some(&dy), None),
    );
}

fn rope(layout: &Layout) {
    let tokens = layout.tokens() as i64;
    let qkv = random(&[tokens, HEADS.width() as i64]);
    let angles = random(&[tokens, 32]).to_kind(Kind::Float);
    let (cos, sin) = (angles.cos(), angles.sin());
    compare(
        "rope",
        Work::Bytes((2 * 2 * tokens * 12 * 64) as f64),
        || plain::rope(&qkv, &cos, &sin, &HEADS, false),
        || kernels::rope(&qkv, &cos, &sin, &HEADS, false),
    );
}

fn gated(layout: &Layout) {
    let tokens = layout.tokens() as i64;
    let gate_up = random(&[tokens, 2 * INTERMEDIATE]);
    let (d_act, out) = (random(&[tokens, INTERMEDIATE]), random(&[tokens, INTERMEDIATE]));
    let bytes = (2 * tokens * INTERMEDIATE) as f64;
    for activation in [Activation::Silu, Activation::GeluTanh] {
        compare(
            &format!("gate {activation:?}"),
            Work::Bytes(3.0 * bytes),
            || plain::gated(&gate_up, activation, &out),
            || kernels::gated(&gate_up, activation, &out),
        );
        compare(
            &format!("gate {activation:?} backward"),
            Work::Bytes(6.0 * bytes),
            || plain::gated_backward(&d_act, &gate_up, activation, Some(&out)),
            || kernels::gated_backward(&d_act, &gate_up, activation, Some(&out)),
        );
    }
}

fn attention(layout: &Layout) {
    let tokens = layout.tokens() as i64;
    let how = Attention { heads: HEADS, scale: 0.125, soft_cap: None, window: None };
    let qkv = random(&[tokens, HEADS.width() as i64]);
    let (d_out, out) = (random(&[tokens, HIDDEN]), random(&[tokens, HIDDEN]));
    let lse = kernels::attention(&qkv, layout, &how, None, &out);
    // What has to be multiplied: pairs of a query and a key it sees.
    let square = |n: usize| n * (n + 1) / 2;
    let pairs = square(layout.prefix)
        + layout.lengths.iter().map(|own| layout.prefix * own + square(*own)).sum::<usize>();
    let product = (2 * pairs * HEADS.queries * HEADS.dim) as f64;
    compare(
        "attention",
        Work::Operations(2.0 * product),
        || plain::attention(&qkv, layout, &how, None, &out),
        || kernels::attention(&qkv, layout, &how, None, &out),
    );
    compare(
        "attention backward",
        Work::Operations(5.0 * product),
        || plain::attention_backward(&d_out, &qkv, &out, &lse, layout, &how),
        || kernels::attention_backward(&d_out, &qkv, &out, &lse, layout, &how),
    );
}

fn products(layout: &Layout) {
    let tokens = layout.tokens() as i64;
    let rank = 32;
    let (inputs, outputs) = (HIDDEN + 2 * rank, 2 * INTERMEDIATE);
    let range = |start: i64, count: i64| start as usize..(start + count) as usize;
    let blocks = [0, 1].map(|part| Block {
        outputs: range(part * INTERMEDIATE, INTERMEDIATE),
        inputs: [range(0, HIDDEN), range(HIDDEN + part * rank, rank)],
    });
    for (name, kind) in [("bf16", Kind::BFloat16), ("f32", Kind::Float)] {
        let random = |size: &[i64]| random(size).to_kind(kind);
        let (x, weight) = (random(&[tokens, inputs]), random(&[outputs, inputs]));
        let (dy, out) = (random(&[tokens, outputs]), random(&[tokens, outputs]));
        let across = weight.tr();
        let forward = Product::of(&x, &across).within(&blocks);
        let work = Work::Operations((2 * tokens * (HIDDEN + rank) * outputs) as f64);
        let say = |what: &str| format!("gate and up {what} {name}");
        compare(&say("forward"), work, || plain::product(&forward, &out), || forward.write(&out));
        let (base, dx) = (weight.narrow(1, 0, HIDDEN), random(&[tokens, HIDDEN]));
        let backward = Product::of(&dy, &base);
        let work = Work::Operations((2 * tokens * HIDDEN * outputs) as f64);
        compare(&say("backward"), work, || plain::product(&backward, &dx), || backward.write(&dx));
    }
}

/// What an operation has to do, at the least.
#[derive(Clone, Copy)]
enum Work {
    /// Bytes read and written.
    Bytes(f64),
    /// Floating-point operations.
    Operations(f64),
}

fn compare<A, B>(name: &str, work: Work, plain: impl FnMut() -> A, kernel: impl FnMut() -> B) {
    let (plain, kernel) = (fastest(plain), fastest(kernel));
    let speed = match work {
        Work::Bytes(bytes) => format!("{:.1} GB/s", bytes / kernel / 1e9),
        Work::Operations(operations) => format!("{:.0} GFLOP/s", operations / kernel / 1e9),
    };
    println!("{name:26}{:7.2} ms{:7.2} ms{:8.1}   {speed}", plain * 1e3, kernel * 1e3, plain / kernel);
}

/// Seconds of the fastest run.
fn fastest<T>(mut run: impl FnMut() -> T) -> f64 {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed() < PATIENCE {
        let start = Instant::now();
        black_box(run());
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16)
}
