//! The prediction itself at low temperatures, against softmaxes in f64: a rounding of a logit is worth many nats there.

use tch::{Device, Kind, Tensor};

use super::super::gradient;
use super::{Case, ROWS, numbers, onto_reference};
use crate::head_rows::{Logits, Onto, Tail};
use crate::tests::random;

const VOCABULARY: i64 = 70;

/// Two tokens lead, the second by so much less; neither is a label.
fn case(kind: Kind, apart: f64) -> Case {
    let logits = (random(&[ROWS, VOCABULARY], 8) * 2.0 + 18.0).to_kind(kind);
    let _ = logits.narrow(1, 1, 1).fill_(24.0);
    let _ = logits.narrow(1, 33, 1).fill_(24.0 - apart);
    let [hidden, weight] = [ROWS, VOCABULARY].map(|n| Tensor::zeros([n, 1], (kind, Device::Cpu)));
    Case { hidden, weight, logits, labels: (0..ROWS as u32).map(|i| i * 6).collect(), cap: None }
}

#[test]
fn two_tokens_that_lead_share_the_prediction_as_they_should() {
    crate::needs_kernels!();
    for (kind, by, apart) in [
        (Kind::Float, 1e3, 1e-3),
        (Kind::Float, 1e5, 6e-6),
        (Kind::Float, 1e300, 1.0),
        (Kind::Float, 1e-300, 1.0),
        (Kind::BFloat16, 1e3, 0.0),
        (Kind::BFloat16, 1e5, 0.0),
    ] {
        let case = case(kind, apart);
        let z = case.logits.to_kind(Kind::Double);
        // From the largest: in f64, too, 1e300 times a logit leaves nothing of its differences.
        let (log_p, q) = (z.log_softmax(1, Kind::Double), ((&z - 24.0) * by).softmax(1, Kind::Double));
        assert!(apart > 0.5 || q.get(0).double_value(&[33]) > 0.2);
        let distances = -(&q * &log_p).sum_dim_intlist(1, false, Kind::Double);
        let onto = Onto { logits: None, tail: Tail::Itself(by), reverse: false };
        let out = case.logits.copy();
        let tasks = onto_reference(&case, &z);
        let found = gradient(&out, &Logits::InPlace, &tasks, None, &onto).expect("the kernels apply");
        for (found, wanted) in found.iter().zip(numbers(&distances)) {
            assert!((found - wanted).abs() < 1e-5 * (1.0 + wanted), "{kind:?} {by} {found} {wanted}");
        }
        let rounding = if kind == Kind::Float { 1e-5 } else { 8e-3 };
        crate::tests::close(&out, &(log_p.exp() - q), rounding);
    }
}
