//! The operations against autograd of their formulas written out, in f64.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tch::{Device, Kind, Tensor, no_grad};

use super::*;

mod mask;

/// Numbers of roughly normal distribution (a sum of four uniform ones), the same in every run.
pub(super) fn random(size: &[i64], seed: u64) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = || f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5;
    let numbers: Vec<f64> =
        (0..size.iter().product()).map(|_| (0..4).map(|_| uniform()).sum::<f64>() * 1.7).collect();
    Tensor::from_slice(&numbers).reshape(size)
}

/// Rows of the head on the CPU.
pub(super) fn chunk<'a>(
    hidden_nd: &Tensor,
    labels: &'a [u32],
    weight_vd: &'a Tensor,
    soft_cap: Option<f64>,
) -> head_rows::Chunk<'a> {
    let labels_n = Tensor::from_slice(&labels.iter().map(|label| i64::from(*label)).collect::<Vec<_>>());
    head_rows::Chunk { hidden_nd: hidden_nd.shallow_clone(), labels, labels_n, weight_vd, soft_cap }
}

/// What `of` gives with so many threads.
pub(super) fn with_threads<T>(threads: i32, of: impl FnOnce() -> T) -> T {
    let before = tch::get_num_threads();
    tch::set_num_threads(threads);
    let result = of();
    tch::set_num_threads(before);
    result
}

/// ‖a − b‖ / ‖b‖.
pub(super) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    let norm = b.norm().double_value(&[]);
    (a - b).norm().double_value(&[]) / norm.max(1e-30)
}

#[track_caller]
pub(super) fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
    let distance = distance(a, b);
    assert!(distance <= tolerance, "relative distance {distance:e}, above {tolerance:e}");
}

/// Runs `formula` with autograd at f64 copies of `inputs`; gives the result and the gradients for `d_result`.
fn autograd(
    inputs: &[&Tensor],
    d_result: &Tensor,
    formula: impl Fn(&[Tensor]) -> Tensor,
) -> (Tensor, Vec<Tensor>) {
    let inputs: Vec<Tensor> =
        inputs.iter().map(|x| x.to_kind(Kind::Double).detach().copy().set_requires_grad(true)).collect();
    let result = formula(&inputs);
    (&result * d_result.to_kind(Kind::Double)).sum(None).backward();
    (result.detach(), inputs.iter().map(Tensor::grad).collect())
}

/// Attention over the whole pack at once, with a mask.
fn masked_attention(qkv: &Tensor, layout: &Layout, how: &Attention) -> Tensor {
    let (heads, tokens) = (how.heads, layout.tokens());
    let (h, g, k) = (heads.queries as i64, heads.keys as i64, heads.dim as i64);
    let part = |start, count| qkv.narrow(1, start * k, count * k).unflatten(1, [count, k]).transpose(0, 1);
    let repeat = |x: Tensor| x.repeat_interleave_self_int(h / g, 0, None);
    let (q, keys, v) = (part(0, h), repeat(part(h, g)), repeat(part(h + g, g)));
    let mut scores = q.matmul(&keys.mt()) * how.scale;
    if let Some(cap) = how.soft_cap {
        scores = (scores / cap).tanh() * cap;
    }
    // Document and position of each token; the prefix is document −1.
    let mut place: Vec<(i64, usize)> = (0..layout.prefix).map(|i| (-1, i)).collect();
    for (document, length) in (0..).zip(&layout.lengths) {
        place.extend((0..*length).map(|i| (document, layout.prefix + i)));
    }
    let seen: Vec<bool> = (0..tokens * tokens)
        .map(|i| {
            let ((query, at), (key, key_at)) = (place[i / tokens], place[i % tokens]);
            (key == -1 || key == query)
                && key_at <= at
                && how.window.is_none_or(|window| key_at + window > at)
        })
        .collect();
    let seen = Tensor::from_slice(&seen).reshape([tokens as i64, tokens as i64]);
    let p = scores.masked_fill(&seen.logical_not(), f64::NEG_INFINITY).softmax(-1, None);
    p.matmul(&v).transpose(0, 1).flatten(1, 2)
}

/// A view of `columns` columns inside wider rows, of the same numbers as `x`.
fn strided(x: &Tensor) -> Tensor {
    let [rows, columns] = x.size()[..] else { panic!("a matrix") };
    let view = Tensor::zeros([rows, columns + 16], (x.kind(), Device::Cpu)).narrow(1, 16, columns);
    view.shallow_clone().copy_(x);
    view
}

fn tolerance(kind: Kind) -> f64 {
    match kind {
        Kind::Double => 1e-12,
        Kind::Float => 2e-6,
        // A rounding to 8 bits is off by 2⁻⁹ at most; a few follow one another.
        _ => 8e-3,
    }
}

const KINDS: [Kind; 3] = [Kind::Double, Kind::Float, Kind::BFloat16];

#[test]
fn norms_have_their_formulas_gradient() {
    for (kind, width) in KINDS.into_iter().flat_map(|kind| [(kind, 576), (kind, 40), (kind, 7)]) {
        let [x, dy, residual] = [1, 2, 3].map(|seed| strided(&random(&[21, width], seed).to_kind(kind)));
        let stat = if kind == Kind::Double { kind } else { Kind::Float };
        let weight = (random(&[width], 9) + 1.0).to_kind(stat);
        let (expected, gradients) = autograd(&[&x, &weight], &dy, |inputs| {
            let [x, weight] = inputs else { unreachable!() };
            x * (x.square().mean_dim(-1, true, None) + 1e-5).rsqrt() * weight
        });
        let (out, d_weight) = (strided(&x.zeros_like()), Tensor::ones([width], (stat, Device::Cpu)));
        let inv_rms = rms_norm(&x, &weight, 1e-5, &out);
        close(&out, &expected, tolerance(kind));
        let dx = rms_norm_backward(&dy, &x, &weight, &inv_rms, Some(&residual), Some(&d_weight));
        assert_eq!(dx.kind(), kind);
        close(&dx, &(&gradients[0] + residual.to_kind(Kind::Double)), tolerance(kind));
        close(&(d_weight - 1.0), &gradients[1], tolerance(stat));
        let dx = rms_norm_backward(&dy.to_kind(stat), &x, &weight, &inv_rms, None, None);
        close(&dx, &gradients[0], tolerance(kind));
    }
}

#[test]
fn a_norm_per_head_works_in_place() {
    for kind in KINDS {
        let qkv = random(&[5, 6 * 16], 1).to_kind(kind);
        let stat = if kind == Kind::Double { kind } else { Kind::Float };
        let weight = random(&[16], 2).to_kind(stat);
        let keys = |qkv: &Tensor| qkv.narrow(1, 32, 48).unflatten(1, [3, 16]);
        let expected = keys(&qkv).contiguous();
        let inv_rms = rms_norm(&keys(&qkv).contiguous(), &weight, 1e-6, &expected);
        let before = qkv.copy();
        let in_place = rms_norm(&keys(&qkv), &weight, 1e-6, &keys(&qkv));
        assert_eq!(in_place.size(), [5, 3]);
        assert_eq!(in_place, inv_rms);
        assert_eq!(keys(&qkv).contiguous(), expected);
        assert_eq!(qkv.narrow(1, 0, 32), before.narrow(1, 0, 32));
        let dy = random(&[5, 3, 16], 3).to_kind(kind);
        let dx = rms_norm_backward(&dy, &keys(&before), &weight, &inv_rms, None, None);
        let rows = |x: &Tensor| x.reshape([15, 16]);
        let twin =
            rms_norm_backward(&rows(&dy), &rows(&keys(&before)), &weight, &inv_rms.reshape([15]), None, None);
        close(&rows(&dx), &twin, tolerance(stat));
    }
}

#[test]
fn rotation_turns_pairs_and_back() {
    for (kind, rotated) in KINDS.into_iter().flat_map(|kind| [(kind, 64), (kind, 48), (kind, 12)]) {
        let heads = Heads { queries: 4, keys: 2, dim: 64 };
        let stat = if kind == Kind::Double { kind } else { Kind::Float };
        let angles = random(&[9, rotated / 2], 1).to_kind(stat);
        let before = strided(&random(&[9, heads.width() as i64], 2).to_kind(kind));
        let qkv = strided(&before);
        rope(&qkv, &angles.cos(), &angles.sin(), &heads, false);
        let turned = before.narrow(1, 0, 6 * 64).to_kind(Kind::Double).unflatten(1, [6, 64]);
        let (cos, sin) = (angles.cos().unsqueeze(1), angles.sin().unsqueeze(1));
        let (a, b) = (turned.narrow(2, 0, rotated / 2), turned.narrow(2, rotated / 2, rotated / 2));
        let rest = turned.narrow(2, rotated, 64 - rotated);
        let expected = Tensor::cat(&[&a * &cos - &b * &sin, &b * cos + a * sin, rest], 2).flatten(1, 2);
        close(&qkv.narrow(1, 0, 6 * 64), &expected, tolerance(kind));
        assert_eq!(qkv.narrow(1, 6 * 64, 2 * 64), before.narrow(1, 6 * 64, 2 * 64));
        rope(&qkv, &angles.cos(), &angles.sin(), &heads, true);
        close(&qkv, &before, tolerance(kind));
    }
}

#[test]
fn gates_have_their_formulas_gradient() {
    for activation in [Activation::Silu, Activation::GeluTanh] {
        for (kind, width) in KINDS.into_iter().flat_map(|kind| [(kind, 96), (kind, 37)]) {
            let gate_up = strided(&(random(&[11, 2 * width], 1) * 3.0).to_kind(kind));
            let d_act = strided(&random(&[11, width], 2).to_kind(kind));
            let (expected, gradients) = autograd(&[&gate_up], &d_act, |inputs| {
                let parts = inputs[0].chunk(2, 1);
                let value = match activation {
                    Activation::Silu => parts[0].silu(),
                    Activation::GeluTanh => parts[0].gelu("tanh"),
                };
                value * &parts[1]
            });
            let out = strided(&d_act.zeros_like());
            gated(&gate_up, activation, &out);
            close(&out, &expected, tolerance(kind));
            let again = strided(&d_act.zeros_like());
            close(
                &gated_backward(&d_act, &gate_up, activation, Some(&again)),
                &gradients[0],
                tolerance(kind),
            );
            assert_eq!(again, out);
            close(&gated_backward(&d_act, &gate_up, activation, None), &gradients[0], tolerance(kind));
        }
    }
}

/// Attention and its gradient against autograd.
fn check_attention(layout: &Layout, how: &Attention, kind: Kind, seed: u64) {
    let (tokens, width) = (layout.tokens() as i64, (how.heads.queries * how.heads.dim) as i64);
    let qkv = strided(&random(&[tokens, how.heads.width() as i64], seed).to_kind(kind));
    let d_out = strided(&random(&[tokens, width], seed + 1).to_kind(kind));
    let (expected, gradients) = autograd(&[&qkv], &d_out, |inputs| masked_attention(&inputs[0], layout, how));
    let out = strided(&Tensor::zeros([tokens, width], (kind, Device::Cpu)));
    let lse = attention(&qkv, layout, how, None, &out);
    assert_eq!(lse.size(), [how.heads.queries as i64, tokens]);
    close(&out, &expected, tolerance(kind));
    let d_qkv = attention_backward(&d_out, &qkv, &out, &lse, layout, how);
    assert_eq!((d_qkv.kind(), d_qkv.is_contiguous()), (kind, true));
    close(&d_qkv, &gradients[0], 2.0 * tolerance(kind));
}

fn plain_attention(heads: Heads) -> Attention {
    Attention { heads, scale: 1.0 / (heads.dim as f64).sqrt(), soft_cap: None, window: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn attention_has_its_formulas_gradient(
        prefix in prop_oneof![Just(0_usize), 1..40_usize],
        lengths in prop::collection::vec(1..71_usize, 1..5),
        (groups, shared) in (1..4_usize, 1..4_usize),
        dim in prop::sample::select(vec![16, 24, 32, 64, 96, 128, 256]),
        soft_cap in prop::option::of(2.0..30.0),
        window in prop::option::of(1..50_usize),
        kind in prop::sample::select(KINDS.to_vec()),
        seed in 0..1000_u64,
    ) {
        let how = Attention { soft_cap, window, ..plain_attention(Heads { queries: groups * shared, keys: groups, dim }) };
        check_attention(&Layout { prefix, lengths }, &how, kind, seed);
    }
}

#[test]
fn long_documents_span_blocks() {
    let how = plain_attention(Heads { queries: 3, keys: 1, dim: 64 });
    for kind in KINDS {
        check_attention(&Layout { prefix: 24, lengths: vec![333, 64, 65, 1] }, &how, kind, 7);
        check_attention(
            &Layout { prefix: 130, lengths: vec![129] },
            &Attention { window: Some(70), ..how },
            kind,
            8,
        );
    }
}

#[test]
fn a_window_wider_than_any_document_hides_nothing() {
    for window in [i32::MAX as usize, 1 << 40] {
        let how = plain_attention(Heads { queries: 2, keys: 1, dim: 32 });
        let layout = Layout { prefix: 9, lengths: vec![40, 3] };
        check_attention(&layout, &Attention { window: Some(window), ..how }, Kind::Float, 9);
    }
}

/// What a kernel did, which the test is about.
fn applied<T>(outcome: Option<T>) -> T {
    outcome.expect("the kernel applies")
}

/// The kernels themselves, not what would take their place.
#[test]
fn kernels_agree_with_plain_operators() {
    needs_kernels!();
    for kind in [Kind::Float, Kind::BFloat16] {
        let agree = |a: &Tensor, b: &Tensor| {
            assert_eq!(a.kind(), b.kind());
            close(a, b, if kind == Kind::Float { 1e-5 } else { tolerance(kind) });
        };
        let input = |columns, seed| strided(&random(&[53, columns], seed).to_kind(kind));
        let (x, dy, weight) = (input(96, 1), input(96, 2), random(&[96], 3).to_kind(Kind::Float));
        let (a, b) = (x.zeros_like(), x.zeros_like());
        let inv_rms = applied(cpu::rms_norm(&x, &weight, 1e-5, &a));
        agree(&inv_rms, &plain::rms_norm(&x, &weight, 1e-5, &b));
        agree(&a, &b);
        let [d_weight, twin] = [0, 1].map(|_| weight.zeros_like());
        agree(
            &applied(cpu::rms_norm_backward(&dy, &x, &weight, &inv_rms, Some(&x), Some(&d_weight))),
            &plain::rms_norm_backward(&dy, &x, &weight, &inv_rms, Some(&x), Some(&twin)),
        );
        // It is f32 whatever the rest is.
        close(&d_weight, &twin, 1e-5);
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let (gate_up, d_act) = (input(2 * 96, 4), input(96, 5));
            agree(
                &applied(cpu::gated_backward(&d_act, &gate_up, activation, Some(&a))),
                &plain::gated_backward(&d_act, &gate_up, activation, Some(&b)),
            );
            agree(&a, &b);
            applied(cpu::gated(&gate_up, activation, &a));
            plain::gated(&gate_up, activation, &b);
            agree(&a, &b);
        }
        let how = Attention {
            soft_cap: Some(5.0),
            window: Some(20),
            ..plain_attention(Heads { queries: 4, keys: 2, dim: 32 })
        };
        let (layout, angles) = (Layout { prefix: 8, lengths: vec![30, 1, 14] }, random(&[53, 16], 6));
        let (cos, sin) = (angles.cos().to_kind(Kind::Float), angles.sin().to_kind(Kind::Float));
        let (qkv, twin) = (input(256, 7), input(256, 7));
        applied(cpu::rope(&qkv, &cos, &sin, &how.heads, false));
        plain::rope(&twin, &cos, &sin, &how.heads, false);
        agree(&qkv, &twin);
        let (d_out, a, b) = (input(128, 8), input(128, 9), input(128, 9));
        let lse = applied(cpu::attention(&qkv, &layout, &how, None, &a));
        agree(&lse, &plain::attention(&qkv, &layout, &how, None, &b));
        agree(&a, &b);
        agree(
            &applied(cpu::attention_backward(&d_out, &qkv, &a, &lse, &layout, &how)),
            &plain::attention_backward(&d_out, &qkv, &a, &lse, &layout, &how),
        );
        let (x, weight, added) = (x.narrow(1, 0, 40), input(70, 10).narrow(0, 0, 40), input(70, 11));
        let product = Product::of(&x, &weight).plus(Some(&added));
        let (a, b) = (input(70, 12), input(70, 12));
        applied(cpu::product(&product, &a));
        plain::product(&product, &b);
        agree(&a, &b);
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    // Of libtorch's products nobody says so.
    crate::needs_kernels!();
    let (layout, how) = (
        Layout { prefix: 24, lengths: vec![70, 130, 9, 44, 1, 90] },
        plain_attention(Heads { queries: 9, keys: 3, dim: 64 }),
    );
    let tokens = layout.tokens() as i64;
    let all = || {
        no_grad(|| {
            let x = random(&[tokens, 960], 1).to_kind(Kind::BFloat16);
            let weight = random(&[960], 2).to_kind(Kind::Float);
            let (out, d_weight) = (x.zeros_like(), weight.zeros_like());
            let inv_rms = rms_norm(&x, &weight, 1e-5, &out);
            let dx = rms_norm_backward(&x, &x, &weight, &inv_rms, None, Some(&d_weight));
            let act = x.narrow(1, 0, 480).zeros_like();
            gated(&x, Activation::Silu, &act);
            let d_gate_up = gated_backward(&act, &x, Activation::Silu, None);
            let result = x.narrow(1, 0, 576).zeros_like();
            let lse = attention(&x, &layout, &how, None, &result);
            let d_qkv = attention_backward(&result, &x, &result, &lse, &layout, &how);
            let product = Product::of(&x, &x.tr()).result();
            [out, d_weight, inv_rms, dx, act, d_gate_up, result, lse, d_qkv, product]
        })
    };
    let (several, one) = (with_threads(3, all), with_threads(1, all));
    for (i, (a, b)) in several.iter().zip(&one).enumerate() {
        assert_eq!(a, b, "result {i}");
    }
}

#[test]
fn the_heads_results_do_not_depend_on_threads() {
    // Of libtorch's products nobody says so.
    crate::needs_kernels!();
    let [hidden, weight] = [50, 300].map(|n| random(&[n, 40], n as u64).to_kind(Kind::BFloat16));
    let labels: Vec<u32> = (0..50).map(|i| i * 5).collect();
    let all = || {
        let chunk = chunk(&hidden, &labels, &weight, None);
        let logits = Product::of(&hidden, &weight.tr()).result();
        let request = head_rows::Request { top_entropy: true, ..head_rows::Request::default() };
        let stats = head_rows::fetch(vec![head_rows::statistics(&chunk, &logits, &request)]);
        let task = |(row, label): (usize, &u32)| head_rows::Task {
            row,
            label: *label,
            loss: stats[row].loss,
            log_sum_exp: stats[row].log_sum_exp,
            label_weight: 1.0,
            reference_weight: 0.5,
        };
        let tasks: Vec<head_rows::Task> = labels.iter().enumerate().map(task).collect();
        let onto = head_rows::Onto { logits: None, tail: head_rows::Tail::Itself(1.5), reverse: false };
        let distances = head_rows::gradient(&logits, &head_rows::Logits::InPlace, &tasks, None, &onto);
        (stats, distances, logits)
    };
    assert_eq!(with_threads(3, all), with_threads(1, all));
}

#[test]
fn attention_drops_what_the_operators_drop() {
    let layout = Layout { prefix: 5, lengths: vec![40, 1, 19] };
    for (window, first, kind, tolerance) in [
        (None, 0, Kind::Float, 1e-5),
        (Some(9), 0, Kind::Float, 1e-5),
        // Rows that lose nothing beside rows that do.
        (None, 12, Kind::Float, 1e-5),
        (None, 5, Kind::BFloat16, 2e-2),
    ] {
        let heads = Heads { queries: 6, keys: 2, dim: 32 };
        let how = Attention { heads, scale: 0.2, soft_cap: None, window };
        let qkv = random(&[65, heads.width() as i64], 4).to_kind(kind);
        let keys = (0..65_u32).map(|row| [row.wrapping_mul(0x1234_5677), row ^ 0x0bad_cafe]).collect();
        let mask = Mask::new(0.3, first, keys);
        let out = || Tensor::empty([65, 192], (kind, Device::Cpu));
        let (own, twin, whole) = (out(), out(), out());
        let _ = attention(&qkv, &layout, &how, Some(&mask), &own);
        let _ = plain::attention(&qkv, &layout, &how, Some(&mask), &twin);
        let _ = plain::attention(&qkv, &layout, &how, None, &whole);
        close(&own, &twin, tolerance);
        assert!(distance(&twin, &whole) > 0.1);
        if first > 0 {
            close(&own.narrow(0, 0, first as i64), &whole.narrow(0, 0, first as i64), tolerance);
        }
    }
}

/// x·weight in f64.
fn exact_product(x: &Tensor, weight: &Tensor) -> Tensor {
    x.to_kind(Kind::Double).mm(&weight.to_kind(Kind::Double))
}

#[test]
fn products_are_those_of_all_shapes_and_layouts() {
    // Whole tiles and blocks, remainders everywhere, an inner dimension longer than a group, fewer rows than are worth it.
    for (rows, inputs, outputs) in
        [(96, 64, 64), (37, 45, 33), (25, 1, 5), (130, 4500, 40), (300, 31, 200), (3, 8, 8)]
    {
        for kind in KINDS {
            let [x, weight, added] = [(1, [rows, inputs]), (2, [inputs, outputs]), (3, [rows, outputs])]
                .map(|(seed, size)| random(&size, seed).to_kind(kind));
            let (also_x, also) =
                (random(&[rows, 7], 4).to_kind(kind), random(&[7, outputs], 5).to_kind(kind));
            let bias = random(&[outputs], 6).to_kind(kind);
            let expected = exact_product(&x, &weight);
            let transposed = |x: &Tensor| x.tr().contiguous().tr();
            for (x, weight) in [
                (x.shallow_clone(), weight.shallow_clone()),
                (strided(&x), strided(&weight)),
                (transposed(&x), transposed(&weight)),
            ] {
                let out = strided(&added);
                Product::of(&x, &weight).write(&out);
                close(&out, &expected, tolerance(kind));
                let both = Product::of(&x, &weight).and(&also_x, &also).plus(Some(&bias)).result();
                close(&both, &(&expected + exact_product(&also_x, &also) + &bias), tolerance(kind));
                if kind != Kind::Double {
                    // Onto what stands there, in f32.
                    let sum = added.to_kind(Kind::Float).copy();
                    Product::of(&x, &weight).plus(Some(&sum)).write(&sum);
                    close(&sum, &(&expected + &added), 2e-6);
                }
            }
        }
    }
}

#[test]
fn a_product_without_inputs_is_what_is_added() {
    for (kind, rows) in KINDS.into_iter().flat_map(|kind| [(kind, 3), (kind, 30)]) {
        let numbers = |size: [i64; 2]| Tensor::zeros(size, (kind, Device::Cpu));
        let (x, weight, bias) = (numbers([rows, 0]), numbers([0, 40]), random(&[40], 1).to_kind(kind));
        let product = Product::of(&x, &weight);
        assert_eq!(product.plus(Some(&bias)).result(), bias.expand([rows, 40], false));
        assert_eq!(product.result(), numbers([rows, 40]));
    }
}

#[test]
fn products_leave_out_what_is_zero() {
    // Two parts of a projection: each reads the input and the columns of its own adapter.
    let block = |outputs, own| Block { outputs, inputs: [0..20, own] };
    let blocks = [block(0..40, 20..24), block(40..75, 24..30)];
    let weight = random(&[75, 30], 1);
    for Block { outputs, inputs: [_, own] } in &blocks {
        let part = weight.narrow(0, outputs.start as i64, outputs.len() as i64).narrow(1, 20, 10);
        let zeros = part.zeros_like();
        let (start, count) = (own.start as i64 - 20, own.len() as i64);
        zeros.narrow(1, start, count).copy_(&part.narrow(1, start, count));
        part.shallow_clone().copy_(&zeros);
    }
    for kind in KINDS {
        let (x, weight) = (random(&[50, 30], 2).to_kind(kind), weight.to_kind(kind));
        let found = Product::of(&x, &weight.tr()).within(&blocks).result();
        close(&found, &exact_product(&x, &weight.tr()), tolerance(kind));
    }
}

#[test]
fn a_row_of_a_product_does_not_depend_on_the_others() {
    needs_kernels!();
    for kind in [Kind::Float, Kind::BFloat16] {
        let (x, weight) = (random(&[700, 90], 1).to_kind(kind), random(&[90, 100], 2).to_kind(kind));
        let own = |x: &Tensor| {
            let out = Tensor::empty([x.size()[0], 100], (kind, Device::Cpu));
            applied(cpu::product(&Product::of(x, &weight), &out));
            out
        };
        assert!(own(&x.narrow(0, 301, 64)).equal(&own(&x).narrow(0, 301, 64)));
    }
}

/// Every test of this crate once more on the other back ends that this machine has.
#[test]
fn the_same_tests_pass_on_the_other_back_ends() {
    if std::env::var_os(backend::VARIABLE).is_some() {
        return;
    }
    let tests = std::env::current_exe().expect("the path of this program");
    let own = Backend::of_cpu().expect("nothing is pinned");
    for other in Backend::CPU.into_iter().filter(|other| *other != own && other.is_supported()) {
        let output = std::process::Command::new(&tests)
            .env(backend::VARIABLE, other.name())
            .env_remove(backend::REQUIRED)
            .output()
            .expect("this program runs again");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{other}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}
