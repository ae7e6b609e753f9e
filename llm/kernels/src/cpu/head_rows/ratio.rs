//! The reverse divergence of a row of logits: KL(p ‖ q), and its gradient.

use super::row::{Reference, capped, maybe_capped};
use crate::cpu::lanes::{LANES, Lanes, Make, Number, Simd, run};

/// log p − log q of a row of logits, whose softmax is p.
#[derive(Clone, Copy)]
pub(super) struct Ratio<'a, N> {
    /// Of the row's logits.
    pub(super) log_sum_exp: f32,
    /// Infinite where the logits are not capped.
    pub(super) cap: f32,
    /// q; uniform without it.
    pub(super) other: Option<Reference<'a, N>>,
}

impl<N: Number> Ratio<'_, N> {
    /// Σ p·(log p − log q), the label's logit as it stands in the row.
    pub(super) fn divergence<S: Simd>(self, simd: S, row: &[N]) -> f64 {
        run!(simd, {
            let mut sum = simd.splat(0.0);
            let (whole, rest) = row.as_chunks::<LANES>();
            for (i, z) in whole.iter().enumerate() {
                let (_, p, ratio) = self.lanes(simd, z, i, row.len());
                sum = p.mul_add(ratio, sum);
            }
            let rest = rest.iter().enumerate().map(|(i, z)| {
                let (_, p, ratio) = self.one(*z, whole.len() * LANES + i, row.len());
                f64::from(p * ratio)
            });
            f64::from(sum.sum()) + rest.sum::<f64>()
        })
    }

    /// Writes p·(`scale` + `weight`·(log p − log q)) of a row that stands in `from` or, without it, in `out`.
    pub(super) fn gradient<S: Simd>(
        self,
        simd: S,
        from: Option<&[N]>,
        out: &mut [N],
        scale: f32,
        weight: f32,
    ) {
        run!(simd, {
            let n = out.len();
            let from = from.map(|from| from[..n].as_chunks::<LANES>());
            let (whole, rest) = out.as_chunks_mut::<LANES>();
            let first = whole.len() * LANES;
            for (i, out) in whole.iter_mut().enumerate() {
                let (z, p, ratio) = self.lanes(simd, from.map_or(&*out, |(from, _)| &from[i]), i, n);
                let mut x = p * simd.splat(weight).mul_add(ratio, simd.splat(scale));
                if self.cap.is_finite() {
                    let share = z / simd.splat(self.cap);
                    x = x * share.subtracted(share, simd.splat(1.0));
                }
                x.write(out);
            }
            for (i, out) in rest.iter_mut().enumerate() {
                let (z, p, ratio) = self.one(from.map_or(*out, |(_, rest)| rest[i]), first + i, n);
                *out = N::nearest(p * (scale + weight * ratio) * (1.0 - (z / self.cap).powi(2)));
            }
        });
    }

    /// z (capped), p and log p − log q of the i-th sixteen of V logits.
    #[inline(always)]
    fn lanes<S: Simd>(&self, simd: S, z: &[N; LANES], i: usize, v: usize) -> (Lanes<S>, Lanes<S>, Lanes<S>) {
        let z = maybe_capped(simd, z, self.cap);
        let log_p = z - simd.splat(self.log_sum_exp);
        let log_q = match &self.other {
            Some(other) => other.lanes(simd, i, v),
            None => simd.splat(-(v as f32).ln()),
        };
        (z, log_p.exp(), log_p - log_q)
    }

    /// The same of the i-th logit.
    fn one(&self, z: N, i: usize, v: usize) -> (f32, f32, f32) {
        let z = capped(z.widen(), self.cap);
        let log_p = z - self.log_sum_exp;
        let log_q = match &self.other {
            Some(other) => other.one(i),
            None => -(v as f32).ln(),
        };
        (z, log_p.exp(), log_p - log_q)
    }
}
