//! References of which k tokens are known, against sums in f64: the probability of all others may be far smaller than a
//! rounding of 1, or nothing at all.

use tch::{Device, Kind, Tensor};

use super::super::{gradient, top};
use super::{Case, ROWS, numbers, on_device, onto_reference};
use crate::head_rows::{Logits, Onto, Tail, Top, plain};
use crate::tests::random;

const VOCABULARY: i64 = 70;

/// Predictions that give every token some probability.
fn case(kind: Kind, cap: Option<f64>) -> Case {
    let logits = (random(&[ROWS, VOCABULARY], 8) * 2.0).to_kind(kind);
    let [hidden, weight] = [ROWS, VOCABULARY].map(|n| Tensor::zeros([n, 1], (kind, Device::Cpu)));
    Case { hidden, weight, logits, labels: (0..ROWS as u32).map(|i| i * 6).collect(), cap }
}

/// Compares KL(p ‖ q), −Σ q log p and their gradients, by kernels and by operators, with what f64 makes of them. q, the
/// same for every row, is known for the first tokens; `rest` is the probability of all others.
fn check(case: &Case, top: &Top, q: &[f64], rest: f64) {
    let z = case.logits.to_kind(Kind::Double);
    let z = case.cap.map_or_else(|| z.shallow_clone(), |cap| (&z / cap).tanh() * cap);
    let log_sum_exp = z.logsumexp([1], true);
    let log_p = &z - &log_sum_exp;
    let log = |p: f64| p.max(f64::from(f32::MIN_POSITIVE)).ln();
    let log_q: Vec<f64> = q.iter().map(|q| log(*q)).collect();
    let (ratio, k) = (log_p.copy(), q.len() as i64);
    let _ = ratio.narrow(1, 0, k).g_sub_(&Tensor::from_slice(&log_q));
    if k < VOCABULARY {
        let mut outside = ratio.narrow(1, k, VOCABULARY - k);
        let of_all = outside.logsumexp([1], true) - log(rest);
        outside.copy_(&of_all.expand_as(&outside));
    }
    let p = log_p.exp();
    let divergence = (&p * &ratio).sum_dim_intlist(1, true, Kind::Double);
    let reverse_nv = &p * (ratio - &divergence);
    let q = Tensor::from_slice(q);
    let outside = p.narrow(1, k, VOCABULARY - k).sum_dim_intlist(1, true, Kind::Double);
    let mut cross_entropy = -(&q * log_p.narrow(1, 0, k)).sum_dim_intlist(1, true, Kind::Double);
    // What is not known of q has the prediction's shape.
    let mut scale = p.ones_like();
    if k < VOCABULARY {
        cross_entropy -= outside.log() * rest;
        scale -= (outside.reciprocal() * rest).expand_as(&p);
    }
    let forward_nv = &p * scale;
    forward_nv.narrow(1, 0, k).copy_(&(p.narrow(1, 0, k) - &q));

    let tasks = onto_reference(case, &z);
    let tail = Tail::Top(top);
    let of_cap = case.cap.map_or_else(|| z.ones_like(), |cap| 1.0 - (&z / cap).square());
    let rounding = if case.logits.kind() == Kind::Float { 2e-5 } else { 8e-3 };
    for (reverse, distance, gradient_nv) in
        [(true, divergence, reverse_nv), (false, cross_entropy, forward_nv)]
    {
        let onto = Onto { logits: None, tail, reverse };
        let (own_nv, mut plain_nv) = (case.logits.copy(), case.logits.copy());
        let own = gradient(&own_nv, &Logits::InPlace, &tasks, case.cap, &onto).expect("the kernels apply");
        let plain = plain::gradient(&mut plain_nv, &on_device(case, &tasks, &tail), case.cap, &onto);
        for (found_nv, found) in [(own_nv, own), (plain_nv, numbers(&plain))] {
            for (found, expected) in found.iter().zip(numbers(&distance)) {
                assert!((found - expected).abs() < 1e-4 * (1.0 + expected), "{onto:?} {found} {expected}");
            }
            crate::tests::close(&found_nv, &(&gradient_nv * &of_cap), rounding);
        }
    }
}

#[test]
fn what_a_reference_leaves_over_may_be_less_than_a_rounding_of_one() {
    crate::needs_kernels!();
    for (kind, cap) in
        [(Kind::Float, None), (Kind::BFloat16, None), (Kind::Float, Some(30.0)), (Kind::BFloat16, Some(30.0))]
    {
        let peaked = |v: i64| if v < 5 { -v as f32 } else { -30.0 - v as f32 / 100.0 };
        let peaked: Vec<f32> = (0..VOCABULARY).map(peaked).collect();
        let reference = Tensor::from_slice(&peaked).to_kind(kind).repeat([ROWS, 1]);
        let q = numbers(&reference.get(0).softmax(0, Kind::Double));
        for k in [5, VOCABULARY as usize] {
            let rest: f64 = q[k..].iter().sum();
            let own = top(&reference, None, k).expect("the kernels apply");
            for found in [own, plain::top(&reference, None, k)] {
                assert_eq!(found.tails.len(), ROWS as usize);
                let near = |tail: &f32| (f64::from(*tail) - rest).abs() <= 1e-4 * rest;
                assert!(found.tails.iter().all(near), "{kind:?} {:?} {rest}", found.tails);
                check(&case(kind, cap), &found, &q[..k], rest);
            }
        }
    }
}

/// The two probabilities in f32 are 3·10⁻⁸ less than 1.
#[test]
fn a_reference_may_rule_out_all_other_tokens() {
    crate::needs_kernels!();
    let (q, rows) = ([0.35_f32, 0.65], ROWS as usize);
    let top = Top { k: 2, ids: [0, 1].repeat(rows), probabilities: q.repeat(rows), tails: vec![0.0; rows] };
    for kind in [Kind::Float, Kind::BFloat16] {
        check(&case(kind, None), &top, &q.map(f64::from), 0.0);
    }
}
