//! The two pulls, and the gradient on the logits that follows from them.

/// A token's two pulls: `label` (a) onto the label y, `reference` (b) onto a reference distribution q.
///
/// With w = a·eᵧ + b·q the token's loss is −Σₓ w(x) log p(x), the weights held constant, and its gradient on the
/// logits is (a + b)·p − a·eᵧ − b·q.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Pull {
    /// a, the pull onto the label.
    pub label: f64,
    /// b, the pull onto the reference distribution.
    pub reference: f64,
}

impl Pull {
    /// Whether both pulls are zero, so that the token moves nothing.
    pub fn is_zero(self) -> bool {
        self.label == 0.0 && self.reference == 0.0
    }
}

/// Writes (a + b)·p − a·eᵧ − b·q into `out`. Without `q` there is no reference, and its pull must be zero.
///
/// # Panics
/// If the slices differ in length, the label lies outside them, or a pull onto a reference comes without one:
/// mistakes of the calling code, not of data.
pub fn gradient(p: &[f64], label: usize, q: Option<&[f64]>, pull: Pull, out: &mut [f64]) {
    assert_eq!(p.len(), out.len(), "probabilities and gradient differ in length");
    let Pull { label: a, reference: b } = pull;
    if let Some(q) = q {
        assert_eq!(p.len(), q.len(), "probabilities and reference differ in length");
        for ((out, p), q) in out.iter_mut().zip(p).zip(q) {
            *out = (a + b) * p - b * q;
        }
    } else {
        assert!(b == 0.0, "a pull onto a reference needs the reference");
        for (out, p) in out.iter_mut().zip(p) {
            *out = p * a;
        }
    }
    out[label] -= a;
}

/// Writes a·(p − eᵧ) + b·p·(log p − log q − KL(p ‖ q)) into `out`: the gradient where the pull onto q lowers the reverse
/// divergence. q must be positive wherever p is.
///
/// # Panics
/// As [`gradient`].
pub fn reverse_gradient(p: &[f64], label: usize, q: &[f64], pull: Pull, out: &mut [f64]) {
    assert!(
        p.len() == out.len() && p.len() == q.len(),
        "probabilities, reference and gradient differ in length"
    );
    let Pull { label: a, reference: b } = pull;
    let divergence = divergence(p, q);
    for ((out, p), q) in out.iter_mut().zip(p).zip(q) {
        let onto_reference = if *p > 0.0 { libm::log(*p / *q) - divergence } else { 0.0 };
        *out = p * (a + b * onto_reference);
    }
    out[label] -= a;
}

/// KL(p ‖ q), with 0·log 0 = 0.
pub fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * libm::log(p / q)).sum()
}

/// −Σₓ q(x) log p(x), with 0·log 0 = 0: the loss whose gradient a reference pull of 1 is.
pub fn cross_entropy(q: &[f64], p: &[f64]) -> f64 {
    q.iter().zip(p).filter(|(q, _)| **q > 0.0).map(|(q, p)| -q * libm::log(*p)).sum()
}
