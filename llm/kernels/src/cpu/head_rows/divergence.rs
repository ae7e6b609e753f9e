//! KL(q ‖ p) of rows of logits, whose softmax is p, from a reference q.

use super::row::{self, Reference, cap_of, capped, mean, outside, sums};
use crate::cpu::lanes::{Number, Simd, run};
use crate::cpu::rows::Rows;
use crate::head_rows::task::{self, Top};

/// The distributions q of a chunk's rows.
pub(super) enum Distribution<'a, N> {
    Uniform,
    /// Logits and their soft-cap.
    Logits(Rows<N>, f32),
    /// The chunk's first row is this one.
    Top(&'a Top, usize),
}

impl<'a, N: Number> Distribution<'a, N> {
    /// `None` where the kernels cannot read the reference's logits.
    pub(super) fn of(reference: &task::Reference<'a>) -> Option<Self> {
        Some(match reference {
            task::Reference::Uniform => Self::Uniform,
            task::Reference::Logits((logits_nv, cap)) => Self::Logits(Rows::of(logits_nv)?, cap_of(*cap)),
            task::Reference::Top(top, first) => Self::Top(top, *first),
        })
    }

    /// The divergence of row `i` of the chunk; never negative, which rounding can make it where q is p.
    ///
    /// # Safety
    /// The reference's logits live, and nobody writes to them.
    pub(super) unsafe fn divergence<S: Simd>(&self, simd: S, i: usize, row: &[N], cap: f32) -> f64 {
        run!(simd, {
            let log_sum_exp = sums(simd, row, cap).log_sum_exp();
            let found = match self {
                Self::Uniform => log_sum_exp - mean(row, cap) - (row.len() as f64).ln(),
                Self::Logits(rows, other_cap) => {
                    // SAFETY: the caller's promise.
                    let other = unsafe { rows.slice(i) };
                    let other = Reference::new(simd, other, *other_cap);
                    row::divergence(simd, row, log_sum_exp, cap, other)
                }
                Self::Top(top, first) => from_top(simd, row, log_sum_exp, cap, top, first + i),
            };
            // NaN stays.
            if found < 0.0 { 0.0 } else { found }
        })
    }
}

/// q, a row of `top`, is known for k tokens; the others are one.
fn from_top<S: Simd, N: Number>(
    simd: S,
    row: &[N],
    log_sum_exp: f64,
    cap: f32,
    top: &Top,
    reference_row: usize,
) -> f64 {
    run!(simd, {
        let term = |q: f64, log_p: f64| if q > 0.0 { q * (q.ln() - log_p) } else { 0.0 };
        let ids = top.ids(reference_row);
        let mut sum = 0.0;
        for (id, q) in ids.iter().zip(top.probabilities(reference_row)) {
            let log_p = f64::from(capped(row[*id as usize].widen(), cap)) - log_sum_exp;
            sum += term(f64::from(*q), log_p);
        }
        let q_outside = f64::from(top.tail(reference_row));
        if q_outside > 0.0 {
            let p_outside = outside(simd, cap, ids, &mut row.to_vec(), log_sum_exp);
            sum += term(q_outside, p_outside.max(f64::from(f32::MIN_POSITIVE)).ln());
        }
        sum
    })
}
