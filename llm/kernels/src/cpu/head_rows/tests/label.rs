//! The label's logit is known better than its row has it in bf16: sums over a row take the better one, against sums in f64.

use tch::{Device, IndexOp as _, Kind, Tensor};

use super::super::gradient;
use super::{Case, ROWS, numbers, onto_reference};
use crate::head_rows::{Logits, Onto, Tail, Task, Top};
use crate::tests::random;

const VOCABULARY: i64 = 70;

/// Labels that lead by a few nats, their logits as far from the row's as rounding may take them.
fn case() -> (Case, Tensor) {
    let logits = (random(&[ROWS, VOCABULARY], 8) * 2.0 + 18.0).to_kind(Kind::BFloat16);
    let labels: Vec<u32> = (0..ROWS as u32).map(|i| i * 6).collect();
    for (row, label) in labels.iter().enumerate() {
        let _ = logits.i((row as i64, i64::from(*label))).fill_(24.0);
    }
    let exact = logits.to_kind(Kind::Double);
    for (row, label) in labels.iter().enumerate() {
        let off = if row % 2 == 0 { 0.06 } else { -0.06 };
        let _ = exact.i((row as i64, i64::from(*label))).g_add_scalar_(off);
    }
    let [hidden, weight] = [ROWS, VOCABULARY].map(|n| Tensor::zeros([n, 1], (Kind::BFloat16, Device::Cpu)));
    (Case { hidden, weight, logits, labels, cap: None }, exact)
}

/// Compares distance and gradient with those wanted.
fn check(case: &Case, exact: &Tensor, onto: &Onto, distance: &Tensor, wanted: &Tensor) {
    let tasks = onto_reference(case, exact);
    let out = case.logits.copy();
    let found = gradient(&out, &Logits::InPlace, &tasks, None, onto).expect("the kernels apply");
    for (found, expected) in found.iter().zip(numbers(distance)) {
        assert!((found - expected).abs() < 1e-3 * (1.0 + expected), "{onto:?} {found} {expected}");
    }
    crate::tests::close(&out, wanted, 8e-3);
}

#[test]
fn the_divergence_from_itself_takes_the_exact_label() {
    crate::needs_kernels!();
    let (case, exact) = case();
    for by in [1.0 / 0.7, 0.5] {
        let (log_p, log_q) = (exact.log_softmax(1, Kind::Double), (&exact * by).log_softmax(1, Kind::Double));
        let (p, ratio) = (log_p.exp(), log_p - log_q);
        let divergence = (&p * &ratio).sum_dim_intlist(1, true, Kind::Double);
        let onto = Onto { logits: None, tail: Tail::Itself(by), reverse: true };
        check(&case, &exact, &onto, &divergence, &(&p * (ratio - &divergence)));
    }
}

/// The label's rounding is worth up to thousands of nats, in either direction.
#[test]
fn a_low_temperature_takes_the_exact_label() {
    crate::needs_kernels!();
    let (case, exact) = case();
    for by in [1e3, 1e5, 1e300] {
        let (log_p, q) =
            (exact.log_softmax(1, Kind::Double), ((&exact - 24.0) * by).softmax(1, Kind::Double));
        let cross_entropy = -(&q * &log_p).sum_dim_intlist(1, true, Kind::Double);
        let onto = Onto { logits: None, tail: Tail::Itself(by), reverse: false };
        check(&case, &exact, &onto, &cross_entropy, &(log_p.exp() - q));
    }
}

#[test]
fn a_bucket_takes_the_exact_label() {
    crate::needs_kernels!();
    let (case, exact) = case();
    // No label is among them.
    let (ids, q, rest) = ([1_i64, 2, 3], [0.2_f32, 0.2, 0.1], 0.5);
    let rows = ROWS as usize;
    let top = Top {
        k: 3,
        ids: ids.map(|id| id as u32).repeat(rows),
        probabilities: q.repeat(rows),
        tails: vec![rest as f32; rows],
    };
    let (p, q) = (exact.softmax(1, Kind::Double), Tensor::from_slice(&q.map(f64::from)));
    let inside = p.index_select(1, &Tensor::from_slice(&ids));
    let outside: Tensor = 1.0 - inside.sum_dim_intlist(1, true, Kind::Double);
    let cross_entropy = -(&q * inside.log()).sum_dim_intlist(1, true, Kind::Double) - outside.log() * rest;
    let wanted: Tensor = &p * (1.0 - outside.reciprocal() * rest);
    let wanted = wanted.index_copy(1, &Tensor::from_slice(&ids), &(inside - q));
    let onto = Onto { logits: None, tail: Tail::Top(&top), reverse: false };
    check(&case, &exact, &onto, &cross_entropy, &wanted);
}

/// All other tokens are far below the known ones: each of them was pulled as hard as all together should be.
#[test]
fn a_bucket_that_is_ruled_out_pulls_nothing() {
    crate::needs_kernels!();
    for kind in [Kind::Float, Kind::BFloat16] {
        let logits = Tensor::zeros([ROWS, VOCABULARY], (kind, Device::Cpu));
        let _ = logits.narrow(1, 2, VOCABULARY - 2).fill_(-200.0);
        let rows = ROWS as usize;
        let top = Top {
            k: 2,
            ids: [0, 1].repeat(rows),
            probabilities: vec![0.495; 2 * rows],
            tails: vec![0.01; rows],
        };
        let task = |row| Task {
            row,
            label: 0,
            loss: 2_f64.ln(),
            log_sum_exp: 2_f64.ln(),
            label_weight: 0.0,
            reference_weight: 1.0,
        };
        let tasks: Vec<Task> = (0..rows).map(task).collect();
        let onto = Onto { logits: None, tail: Tail::Top(&top), reverse: false };
        gradient(&logits, &Logits::InPlace, &tasks, None, &onto).expect("the kernels apply");
        let outside = numbers(&logits.narrow(1, 2, VOCABULARY - 2).to_kind(Kind::Double));
        assert!(outside.iter().all(|x| x.abs() < 1e-20), "{kind:?} {outside:?}");
    }
}
