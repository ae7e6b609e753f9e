//! A reference cut down to its k most probable tokens, the rest as one bucket.
//!
//! Leaving the tail out makes the weights sum to less than 1, and a divergence between such remains may be negative.
//! So the tail stays as one event: loss = −Σ_{x∈K} q(x) log p(x) − q(tail) log p(tail). Its gradient on a logit is
//! p − q inside K and p − q(tail)·p/p(tail) outside: the very form of two pulls with the reference that is q on K and
//! has the prediction's own shape on the tail. [`truncate`] writes down that reference.

/// Writes the reference whose pull is that of truncated distillation: q on its `k` most probable tokens (of equals
/// the first), and q's remaining mass spread in the shape of the prediction `p`. `scratch` is kept between calls.
///
/// # Panics
/// If the slices differ in length.
pub fn truncate(q: &[f64], p: &[f64], k: usize, scratch: &mut Vec<usize>, out: &mut [f64]) {
    assert_eq!(q.len(), p.len(), "reference and probabilities differ in length");
    assert_eq!(q.len(), out.len(), "reference and result differ in length");
    let tail = split(q, k, scratch);
    out.copy_from_slice(q);
    let mass = |values: &[f64]| tail.iter().map(|x| values[*x]).sum::<f64>();
    let (tail_q, tail_p) = (mass(q), mass(p));
    for x in tail {
        // A tail that the prediction rules out has no shape; any will do, and the flat one is a distribution.
        out[*x] = if tail_p > 0.0 { tail_q * (p[*x] / tail_p) } else { tail_q / tail.len() as f64 };
    }
}

/// The tokens outside the `k` most probable, in ascending order.
fn split<'a>(q: &[f64], k: usize, scratch: &'a mut Vec<usize>) -> &'a [usize] {
    scratch.clear();
    if k >= q.len() {
        return &[];
    }
    scratch.extend(0..q.len());
    if k > 0 {
        scratch.select_nth_unstable_by(k, |a, b| q[*b].total_cmp(&q[*a]).then(a.cmp(b)));
    }
    let tail = &mut scratch[k..];
    tail.sort_unstable();
    tail
}
