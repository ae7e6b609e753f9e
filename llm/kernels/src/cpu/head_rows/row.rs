//! One row of logits at a time: read once for its statistics and once for its gradient. Everything is computed in f32;
//! sums end in f64.

use crate::cpu::lanes::{LANES, Lanes, Make, Number, Simd, run};
use crate::head_rows::task::INVERSE_TEMPERATURES;

/// Numbers whose maximum is taken before their exponentials are summed: 16 KiB in f32, so that the second reading comes
/// from the first-level cache (choice).
const BLOCK: usize = 4096;

/// Σ exp(z − max) and Σ exp(z − max)·(z − max) of a row.
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct Sums {
    pub(in crate::cpu) max: f32,
    pub(in crate::cpu) sum: f64,
    pub(in crate::cpu) weighted: f64,
}

impl Sums {
    const NOTHING: Self = Self { max: f32::NEG_INFINITY, sum: 0.0, weighted: 0.0 };

    /// Makes the sums those about a larger maximum.
    fn rescale(&mut self, max: f32) {
        if max > self.max {
            if self.sum > 0.0 {
                let down = f64::from(self.max) - f64::from(max);
                self.weighted = down.exp() * (self.weighted + down * self.sum);
                self.sum *= down.exp();
            }
            self.max = max;
        }
    }

    pub(in crate::cpu) fn log_sum_exp(&self) -> f64 {
        f64::from(self.max) + self.sum.ln()
    }
}

/// A soft-cap as the kernels read it: infinite where there is none.
pub(in crate::cpu) fn cap_of(soft_cap: Option<f64>) -> f32 {
    soft_cap.map_or(f32::INFINITY, |cap| cap as f32)
}

/// c·tanh(z / c), where c is finite.
pub(in crate::cpu) fn capped(z: f32, cap: f32) -> f32 {
    if cap.is_finite() { cap * (z / cap).tanh() } else { z }
}

/// Sixteen logits, capped where `CAP`.
#[inline(always)]
pub(in crate::cpu) fn logits<S: Simd, N: Number, const CAP: bool>(
    simd: S,
    z: &[N; LANES],
    cap: f32,
) -> Lanes<S> {
    let z = simd.read(z);
    if CAP { (z / simd.splat(cap)).tanh() * simd.splat(cap) } else { z }
}

/// The same where it is not known beforehand whether they are capped.
#[inline(always)]
pub(super) fn maybe_capped<S: Simd, N: Number>(simd: S, z: &[N; LANES], cap: f32) -> Lanes<S> {
    if cap.is_finite() { logits::<_, N, true>(simd, z, cap) } else { logits::<_, N, false>(simd, z, cap) }
}

/// The sums of a row of logits, capped at `cap` where it is finite.
pub(in crate::cpu) fn sums<S: Simd, N: Number>(simd: S, row: &[N], cap: f32) -> Sums {
    run!(simd, {
        if cap.is_finite() {
            sums_of::<_, N, true>(simd, row, cap)
        } else {
            sums_of::<_, N, false>(simd, row, cap)
        }
    })
}

fn sums_of<S: Simd, N: Number, const CAP: bool>(simd: S, row: &[N], cap: f32) -> Sums {
    run!(simd, {
        let mut all = Sums::NOTHING;
        let (whole, rest) = row.as_chunks::<LANES>();
        for block in whole.chunks(BLOCK / LANES) {
            // The maximum of the uncapped: capping keeps the order.
            let mut max = simd.splat(f32::NEG_INFINITY);
            for z in block {
                max = simd.read(z).max(max);
            }
            all.rescale(capped(max.largest(), cap));
            let max = simd.splat(all.max);
            let (mut sum, mut weighted) = ([simd.splat(0.0); 4], [simd.splat(0.0); 4]);
            let (fours, rest) = block.as_chunks::<4>();
            for four in fours {
                for (lane, z) in four.iter().enumerate() {
                    let below = logits::<_, N, CAP>(simd, z, cap) - max;
                    add(&mut sum[lane], &mut weighted[lane], below);
                }
            }
            for z in rest {
                add(&mut sum[0], &mut weighted[0], logits::<_, N, CAP>(simd, z, cap) - max);
            }
            all.sum += total(sum);
            all.weighted += total(weighted);
        }
        for z in rest {
            let z = capped(z.widen(), cap);
            all.rescale(z);
            let below = f64::from(z - all.max);
            all.sum += below.exp();
            all.weighted += below.exp() * below;
        }
        all
    })
}

#[inline(always)]
fn add<S: Simd>(sum: &mut Lanes<S>, weighted: &mut Lanes<S>, below: Lanes<S>) {
    let e = below.exp();
    *sum = *sum + e;
    *weighted = e.mul_add(below, *weighted);
}

/// Σ exp(β·(z − max)) of a row of logits for each inverse temperature β, where `max` is the largest of them, capped.
pub(super) fn tempered<S: Simd, N: Number>(
    simd: S,
    row: &[N],
    cap: f32,
    max: f32,
) -> [f64; INVERSE_TEMPERATURES.len()] {
    run!(simd, {
        let (whole, rest) = row.as_chunks::<LANES>();
        let mut all = [0.0; INVERSE_TEMPERATURES.len()];
        for block in whole.chunks(BLOCK / LANES) {
            let mut sums = [simd.splat(0.0); INVERSE_TEMPERATURES.len()];
            for z in block {
                let quarter = ((maybe_capped(simd, z, cap) - simd.splat(max)) * simd.splat(0.25)).exp();
                let half = quarter * quarter;
                let whole = half * half;
                let twice = whole * whole;
                let powers =
                    [quarter, half, half * quarter, whole * quarter, whole * half, twice, twice * whole];
                for (sum, power) in sums.iter_mut().zip(powers) {
                    *sum = *sum + power;
                }
            }
            for (total, sum) in all.iter_mut().zip(sums) {
                *total += f64::from(sum.sum());
            }
        }
        for z in rest {
            let below = f64::from(capped(z.widen(), cap)) - f64::from(max);
            for (total, by) in all.iter_mut().zip(INVERSE_TEMPERATURES) {
                *total += (by * below).exp();
            }
        }
        all
    })
}

/// Whether any of some logits is as large as `limit`, as they stand in the row.
pub(super) fn any_as_large<S: Simd, N: Number>(simd: S, logits: &[N], limit: f32) -> bool {
    run!(simd, {
        // Whole blocks without a way out, which many lanes compare at once.
        logits.chunks(BLOCK).any(|block| block.iter().fold(false, |any, z| any | (z.widen() >= limit)))
    })
}

/// Σ exp(z − max) of a row's logits that are no larger than `limit`, a logit as it stands in the row; `max` is the largest,
/// capped.
pub(super) fn no_larger<S: Simd, N: Number>(simd: S, row: &[N], cap: f32, max: f32, limit: f32) -> f64 {
    run!(simd, {
        let (whole, rest) = row.as_chunks::<LANES>();
        let nothing = simd.splat(0.0);
        let mut all = 0.0;
        for block in whole.chunks(BLOCK / LANES) {
            let mut sum = nothing;
            for z in block {
                let e = (maybe_capped(simd, z, cap) - simd.splat(max)).exp();
                sum = sum + nothing.or(simd.read(z).above(limit), e);
            }
            all += f64::from(sum.sum());
        }
        let rest = rest.iter().map(|z| z.widen()).filter(|z| *z <= limit);
        all + rest.map(|z| (f64::from(capped(z, cap)) - f64::from(max)).exp()).sum::<f64>()
    })
}

#[inline(always)]
fn total<S: Simd>([a, b, c, d]: [Lanes<S>; 4]) -> f64 {
    f64::from(((a + b) + (c + d)).sum())
}

/// What a row's gradient is made of: `scale`·p − `reference_weight`·q − `flat`.
pub(super) struct Mix {
    pub(super) log_sum_exp: f32,
    pub(super) scale: f32,
    pub(super) reference_weight: f32,
    pub(super) flat: f32,
    /// Infinite where the logits are not capped.
    pub(super) cap: f32,
}

/// The largest of a row's logits, as it stands there.
fn largest_of<S: Simd, N: Number>(simd: S, row: &[N]) -> f32 {
    run!(simd, {
        let (whole, rest) = row.as_chunks::<LANES>();
        let largest = whole.iter().fold(simd.splat(f32::NEG_INFINITY), |max, z| simd.read(z).max(max));
        rest.iter().fold(largest.largest(), |max, z| max.max(z.widen()))
    })
}

/// Σ exp(by·(z − largest)) of a row of logits, capped as `largest` is.
fn scaled<S: Simd, N: Number>(simd: S, row: &[N], cap: f32, by: f32, largest: f32) -> f64 {
    run!(simd, {
        let (whole, rest) = row.as_chunks::<LANES>();
        let mut sum = simd.splat(0.0);
        for z in whole {
            sum = sum + ((maybe_capped(simd, z, cap) - simd.splat(largest)) * simd.splat(by)).exp();
        }
        let rest: f64 = rest.iter().map(|z| f64::from(by * (capped(z.widen(), cap) - largest)).exp()).sum();
        f64::from(sum.sum()) + rest
    })
}

/// A row of logits whose softmax is q: another model's, or the prediction's own at another temperature.
#[derive(Clone, Copy)]
pub(super) struct Reference<'a, N> {
    row: &'a [N],
    cap: f32,
    /// The inverse temperature.
    by: f32,
    /// What is subtracted before logits are multiplied by it, so that a large one does not multiply their rounding: the
    /// largest.
    shift: f32,
    /// log Σ exp(by·(z − shift)).
    rest: f64,
    /// The label's logit, where it is known more exactly than the row has it.
    label: Option<f32>,
}

impl<'a, N: Number> Reference<'a, N> {
    pub(super) fn new<S: Simd>(simd: S, row: &'a [N], cap: f32) -> Self {
        run!(simd, {
            let rest = sums(simd, row, cap).log_sum_exp();
            Self { row, cap, by: 1.0, shift: 0.0, rest, label: None }
        })
    }

    /// The prediction itself at an inverse temperature, from its row of logits, the label, and its exact logit (capped).
    /// In the row the label's becomes no larger than the others: at a high inverse temperature its rounding is worth many
    /// nats.
    pub(super) fn itself<S: Simd>(
        simd: S,
        row: &'a mut [N],
        cap: f32,
        by: f64,
        (label, exact): (usize, f64),
    ) -> Self {
        // Finite: the largest logit's distance from itself, 0, is multiplied by it.
        let (by, exact) = ((by as f32).min(f32::MAX), exact as f32);
        let rounded = std::mem::replace(&mut row[label], N::nearest(LEAST));
        let others = largest_of(simd, row);
        let largest = capped(others, cap);
        let least = f64::from((capped(LEAST, cap) - largest) * by).exp();
        let sum = scaled(simd, row, cap, by, largest) - least;
        row[label] = N::nearest(rounded.widen().min(others));
        let shift = largest.max(exact);
        let [others, own] = [largest, exact].map(|z| f64::from((z - shift) * by).exp());
        Self { row, cap, by, shift, rest: (sum * others + own).ln(), label: Some(exact) }
    }

    /// log q of the label.
    pub(super) fn log_probability(&self, label: usize) -> f64 {
        let z = self.label.unwrap_or_else(|| capped(self.row[label].widen(), self.cap));
        f64::from((z - self.shift) * self.by) - self.rest
    }

    /// log q of the i-th sixteen of V tokens.
    #[inline(always)]
    pub(super) fn lanes<S: Simd>(&self, simd: S, i: usize, v: usize) -> Lanes<S> {
        self.log_q(simd, maybe_capped(simd, &self.row[..v].as_chunks::<LANES>().0[i], self.cap))
    }

    /// log q of sixteen logits (capped).
    #[inline(always)]
    fn log_q<S: Simd>(&self, simd: S, z: Lanes<S>) -> Lanes<S> {
        (z - simd.splat(self.shift)) * simd.splat(self.by) - simd.splat(self.rest as f32)
    }

    /// log q of a token.
    pub(super) fn one(&self, i: usize) -> f32 {
        (capped(self.row[i].widen(), self.cap) - self.shift) * self.by - self.rest as f32
    }
}

/// Writes the gradient on a row's logits, which stand in `from` or, without it, in `out`. Returns −Σ q log p, 0 without a
/// reference.
pub(super) fn gradient<S: Simd, N: Number>(
    simd: S,
    from: Option<&[N]>,
    reference: Option<Reference<N>>,
    out: &mut [N],
    mix: &Mix,
) -> f64 {
    run!(simd, {
        let reference_cap = reference.is_some_and(|reference| reference.cap.is_finite());
        match (mix.cap.is_finite(), reference_cap) {
            (false, false) => mixed::<_, N, false, false>(simd, from, reference, out, mix),
            (false, true) => mixed::<_, N, false, true>(simd, from, reference, out, mix),
            (true, false) => mixed::<_, N, true, false>(simd, from, reference, out, mix),
            (true, true) => mixed::<_, N, true, true>(simd, from, reference, out, mix),
        }
    })
}

fn mixed<S: Simd, N: Number, const CAP: bool, const REFERENCE_CAP: bool>(
    simd: S,
    from: Option<&[N]>,
    reference: Option<Reference<N>>,
    out: &mut [N],
    mix: &Mix,
) -> f64 {
    run!(simd, {
        let n = out.len();
        let from = from.map(|from| from[..n].as_chunks::<LANES>());
        let other = reference.map(|reference| (reference.row[..n].as_chunks::<LANES>().0, reference));
        let (out, out_rest) = out.as_chunks_mut::<LANES>();
        let first = out.len() * LANES;
        let (log_sum_exp, scale, flat) =
            (simd.splat(mix.log_sum_exp), simd.splat(mix.scale), simd.splat(mix.flat));
        let weight = simd.splat(mix.reference_weight);
        let mut cross_entropy = simd.splat(0.0);
        for (i, out) in out.iter_mut().enumerate() {
            let z = logits::<_, N, CAP>(simd, from.map_or(&*out, |(from, _)| &from[i]), mix.cap);
            let log_p = z - log_sum_exp;
            let mut x = scale.mul_sub(log_p.exp(), flat);
            if let Some((row, reference)) = &other {
                let other = logits::<_, N, REFERENCE_CAP>(simd, &row[i], reference.cap);
                let q = reference.log_q(simd, other).exp();
                x = weight.subtracted(q, x);
                cross_entropy = q.subtracted(log_p, cross_entropy);
            }
            if CAP {
                let share = z / simd.splat(mix.cap);
                x = x * share.subtracted(share, simd.splat(1.0));
            }
            x.write(out);
        }
        let mut sum = f64::from(cross_entropy.sum());
        for (i, out) in out_rest.iter_mut().enumerate() {
            let z = capped(from.map_or(*out, |(_, rest)| rest[i]).widen(), mix.cap);
            let log_p = z - mix.log_sum_exp;
            let mut x = mix.scale * log_p.exp() - mix.flat;
            if let Some((_, reference)) = &other {
                let q = reference.one(first + i).exp();
                x -= mix.reference_weight * q;
                sum -= f64::from(q * log_p);
            }
            *out = N::nearest(x * (1.0 - (z / mix.cap).powi(2)));
        }
        sum
    })
}

/// KL(q ‖ p), p the softmax of a row of logits.
pub(super) fn divergence<S: Simd, N: Number>(
    simd: S,
    row: &[N],
    log_sum_exp: f64,
    cap: f32,
    reference: Reference<N>,
) -> f64 {
    run!(simd, {
        match (cap.is_finite(), reference.cap.is_finite()) {
            (false, false) => divergence_of::<_, N, false, false>(simd, row, log_sum_exp, cap, reference),
            (false, true) => divergence_of::<_, N, false, true>(simd, row, log_sum_exp, cap, reference),
            (true, false) => divergence_of::<_, N, true, false>(simd, row, log_sum_exp, cap, reference),
            (true, true) => divergence_of::<_, N, true, true>(simd, row, log_sum_exp, cap, reference),
        }
    })
}

fn divergence_of<S: Simd, N: Number, const CAP: bool, const REFERENCE_CAP: bool>(
    simd: S,
    row: &[N],
    log_sum_exp: f64,
    cap: f32,
    reference: Reference<N>,
) -> f64 {
    run!(simd, {
        let ((whole, rest), (other, _)) = (row.as_chunks::<LANES>(), reference.row.as_chunks::<LANES>());
        let log_sum_p = log_sum_exp as f32;
        let mut sum = simd.splat(0.0);
        for (z, other) in whole.iter().zip(other) {
            let log_p = logits::<_, N, CAP>(simd, z, cap) - simd.splat(log_sum_p);
            let log_q = reference.log_q(simd, logits::<_, N, REFERENCE_CAP>(simd, other, reference.cap));
            sum = log_q.exp().mul_add(log_q - log_p, sum);
        }
        let mut sum = f64::from(sum.sum());
        for (i, z) in rest.iter().enumerate() {
            let log_p = capped(z.widen(), cap) - log_sum_p;
            let log_q = reference.one(whole.len() * LANES + i);
            sum += f64::from(log_q.exp() * (log_q - log_p));
        }
        sum
    })
}

/// The mean of a row's logits, capped.
pub(super) fn mean<N: Number>(row: &[N], cap: f32) -> f64 {
    row.iter().map(|z| f64::from(capped(z.widen(), cap))).sum::<f64>() / row.len() as f64
}

/// Σ x·y of two rows.
pub(super) fn dot<S: Simd, N: Number>(simd: S, x: &[N], y: &[N]) -> f32 {
    run!(simd, {
        let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
        let mut sum = simd.splat(0.0);
        for (x, y) in x.iter().zip(y) {
            sum = simd.read(x).mul_add(simd.read(y), sum);
        }
        let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x.widen() * y.widen()).sum();
        sum.sum() + rest
    })
}

/// The k largest of a row, largest first, of equals the first: values as they stand, and places.
pub(super) fn largest<S: Simd, N: Number>(simd: S, row: &[N], k: usize, found: &mut Vec<(f32, u32)>) {
    run!(simd, {
        found.clear();
        let offer = |i: usize, found: &mut Vec<(f32, u32)>| {
            let x = row[i].widen();
            if found.len() == k {
                if x <= found[k - 1].0 {
                    return;
                }
                found.pop();
            }
            let place = found.partition_point(|(known, _)| *known >= x);
            found.insert(place, (x, i as u32));
        };
        let (whole, rest) = row.as_chunks::<LANES>();
        let first = whole.len().min(k.div_ceil(LANES));
        (0..first * LANES).for_each(|i| offer(i, found));
        for (at, x) in whole.iter().enumerate().skip(first) {
            // Before k are found the threshold is below everything.
            let threshold = if found.len() == k { found[k - 1].0 } else { f32::NEG_INFINITY };
            let mut above = simd.read(x).above(threshold);
            while above != 0 {
                offer(at * LANES + above.trailing_zeros() as usize, found);
                above &= above - 1;
            }
        }
        (row.len() - rest.len()..row.len()).for_each(|i| offer(i, found));
    });
}

/// The least logit that both kinds of number have. An infinite one would make NaN of a block that has no other.
const LEAST: f32 = f32::from_bits(0xFF7F_0000);

/// The probability of all tokens but these, summed without them, for 1 − Σ would lose its digits; 0 where none is left.
/// These tokens' logits become [`LEAST`].
pub(super) fn outside<S: Simd, N: Number>(
    simd: S,
    cap: f32,
    ids: &[u32],
    logits: &mut [N],
    log_sum_exp: f64,
) -> f64 {
    run!(simd, {
        if ids.len() == logits.len() {
            return 0.0;
        }
        for id in ids {
            logits[*id as usize] = N::nearest(LEAST);
        }
        let sums = sums(simd, logits, cap);
        // Where logits are capped, the least possible one is −cap.
        let left_out = ids.len() as f64 * f64::from(-cap - sums.max).exp();
        (sums.sum - left_out) * (f64::from(sums.max) - log_sum_exp).exp()
    })
}
