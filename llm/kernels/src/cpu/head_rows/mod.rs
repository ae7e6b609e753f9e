//! The head's rows shared among libtorch's threads, each read by [`row`].

mod divergence;
mod ratio;
mod row;
#[cfg(test)]
mod tests;

pub(super) use row::{Sums, cap_of, capped, logits, sums};

use tch::Tensor;

use self::divergence::Distribution;
use self::ratio::Ratio;
use self::row::{Mix, Reference, any_as_large, dot, largest, mean, no_larger, tempered};
use super::lanes::{Number, Simd, run};
use super::rows::{Rows, by_kind, each_row, optional};
use crate::head_rows::task::{
    Chunk, INVERSE_TEMPERATURES, Logits, Onto, Request, RowStats, TOP_ENTROPY, Tail, Task, Top,
};

pub(crate) fn statistics(chunk: &Chunk, logits_nv: &Tensor, request: &Request) -> Option<Vec<RowStats>> {
    by_kind!(logits_nv, statistics_of(chunk, logits_nv, request))
}

fn statistics_of<S: Simd, N: Number>(
    simd: S,
    chunk: &Chunk,
    logits_nv: &Tensor,
    request: &Request,
) -> Option<Vec<RowStats>> {
    let cap = cap_of(chunk.soft_cap);
    let logits = Rows::<N>::of(logits_nv)?;
    let (hidden, weight) = (Rows::<N>::of(&chunk.hidden_nd)?, Rows::<N>::of(chunk.weight_vd)?);
    assert_eq!((weight.columns, weight.count), (hidden.columns, logits.columns));
    let distribution = optional(request.reference.as_ref(), Distribution::<N>::of)?;
    let (top_entropy, is_tempered, has_mass) = (request.top_entropy, request.tempered, request.mass);
    Some(each_row(chunk.labels.len(), |i| {
        let label = chunk.labels[i] as usize;
        assert!(label < logits.columns, "label {label} lies outside the vocabulary");
        // SAFETY: the tensors outlive the call, which only reads them; `simd` proves the instructions.
        unsafe {
            let row = logits.slice(i);
            let rounded = row[label].widen();
            let exact =
                if N::PER_WORD == 1 { rounded } else { dot(simd, hidden.slice(i), weight.slice(label)) };
            let (rounded, exact) = (capped(rounded, cap), capped(exact, cap));
            let sums = sums(simd, row, cap);
            let mut stats = with_exact_label(sums, rounded, exact);
            let is_largest = stats.greedy;
            stats.greedy = is_largest && !any_as_large(simd, &row[..label], row[label].widen());
            if is_tempered {
                let sums_of = tempered(simd, row, cap, sums.max);
                stats.tempered = Some(losses_at(sums_of, sums.max, rounded, exact));
            }
            if has_mass {
                let no_larger = no_larger(simd, row, cap, sums.max, row[label].widen());
                let terms = [rounded, exact].map(|z| f64::from(z) - f64::from(sums.max));
                let all = (stats.log_sum_exp - f64::from(sums.max)).exp();
                let mass = with_exact_term(no_larger, terms) / all;
                stats.mass = Some(if is_largest { 1.0 } else { mass.min(1.0) });
            }
            if top_entropy {
                let mut top = Vec::new();
                largest(simd, row, TOP_ENTROPY.min(logits.columns), &mut top);
                let value = |(z, id): (f32, u32)| if id as usize == label { exact } else { capped(z, cap) };
                stats.top_entropy = entropy(top.into_iter().map(|found| f64::from(value(found))));
            }
            if let Some(distribution) = &distribution {
                stats.divergence = Some(distribution.divergence(simd, i, row, cap));
            }
            stats
        }
    }))
}

/// The label's logit was rounded with the others; its f32 product takes its place in the sums.
fn with_exact_label(sums: Sums, rounded: f32, exact: f32) -> RowStats {
    let max = f64::from(sums.max);
    let [before, after] = [rounded, exact].map(|z| f64::from(z) - max);
    let (mut sum, mut weighted) = (sums.sum, sums.weighted);
    if rounded.to_bits() != exact.to_bits() {
        sum = (sum - before.exp()).max(0.0) + after.exp();
        weighted += after.exp() * after - before.exp() * before;
    }
    let greedy = rounded >= sums.max;
    RowStats {
        loss: sum.ln() - after,
        entropy: sum.ln() - weighted / sum,
        top_entropy: f64::NAN,
        log_sum_exp: max + sum.ln(),
        greedy,
        // The most probable token's logit is the maximum, whose distance from itself is 0.
        best: if greedy { after - sum.ln() } else { -sum.ln() },
        divergence: None,
        tempered: None,
        mass: None,
    }
}

/// A sum of exponentials in which the label's exact logit takes the place of its rounded one.
fn with_exact_term(sum: f64, [rounded, exact]: [f64; 2]) -> f64 {
    if rounded.to_bits() == exact.to_bits() { sum } else { (sum - rounded.exp()).max(0.0) + exact.exp() }
}

/// The label's loss at each inverse temperature, from Σ exp(β·(z − max)), in which its rounded logit stands.
fn losses_at(
    sums: [f64; INVERSE_TEMPERATURES.len()],
    max: f32,
    rounded: f32,
    exact: f32,
) -> [f64; INVERSE_TEMPERATURES.len()] {
    let mut losses = sums;
    for (loss, by) in losses.iter_mut().zip(INVERSE_TEMPERATURES) {
        let terms = [rounded, exact].map(|z| by * (f64::from(z) - f64::from(max)));
        *loss = with_exact_term(*loss, terms).ln() - terms[1];
    }
    losses
}

/// Entropy of the softmax of a few logits, the largest first.
fn entropy(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let sums = logits.map(|z| z - max).fold((0.0, 0.0), |(s, w), z: f64| (s + z.exp(), w + z.exp() * z));
    sums.0.ln() - sums.1 / sums.0
}

pub(crate) fn top(logits_nv: &Tensor, soft_cap: Option<f64>, k: usize) -> Option<Top> {
    let rows = by_kind!(logits_nv, top_of(logits_nv, soft_cap, k))?;
    let mut top = Top::of(k);
    for (row, tail) in rows {
        let (ids, probabilities): (Vec<u32>, Vec<f32>) = row.into_iter().unzip();
        top.ids.extend(ids);
        top.probabilities.extend(probabilities);
        top.tails.push(tail);
    }
    Some(top)
}

/// A row's most probable tokens with their probabilities, and the probability of all others.
type TopRow = (Vec<(u32, f32)>, f32);

fn top_of<S: Simd, N: Number>(
    simd: S,
    logits_nv: &Tensor,
    soft_cap: Option<f64>,
    k: usize,
) -> Option<Vec<TopRow>> {
    let (logits, cap) = (Rows::<N>::of(logits_nv)?, cap_of(soft_cap));
    Some(each_row(logits.count, |i| {
        let mut found = Vec::with_capacity(k + 1);
        // SAFETY: as in `statistics_of`.
        let row = unsafe { logits.slice(i) };
        largest(simd, row, k, &mut found);
        let log_sum_exp = sums(simd, row, cap).log_sum_exp();
        let ids: Vec<u32> = found.iter().map(|(_, id)| *id).collect();
        let tail = row::outside(simd, cap, &ids, &mut row.to_vec(), log_sum_exp);
        let probability = |z: f32| (f64::from(capped(z, cap)) - log_sum_exp).exp() as f32;
        (found.into_iter().map(|(z, id)| (id, probability(z))).collect(), tail as f32)
    }))
}

pub(crate) fn gradient(
    out: &Tensor,
    logits: &Logits,
    tasks: &[Task],
    soft_cap: Option<f64>,
    onto: &Onto,
) -> Option<Vec<f64>> {
    by_kind!(out, gradient_of(out, logits, tasks, soft_cap, onto))
}

fn gradient_of<S: Simd, N: Number>(
    simd: S,
    out: &Tensor,
    logits: &Logits,
    tasks: &[Task],
    soft_cap: Option<f64>,
    onto: &Onto,
) -> Option<Vec<f64>> {
    let to = Rows::<N>::of(out)?;
    let from: Option<Vec<(Rows<N>, usize)>> = match logits {
        Logits::InPlace => None,
        Logits::Elsewhere(places) => {
            Some(places.iter().map(|(tensor, row)| Some((Rows::of(tensor)?, *row))).collect::<Option<_>>()?)
        }
    };
    let other = optional(onto.logits, |(logits, cap)| Some((Rows::<N>::of(logits)?, cap_of(cap))))?;
    let (tail, reverse) = (onto.tail, onto.reverse);
    assert!(tasks.len() <= to.count && from.as_ref().is_none_or(|from| from.len() == tasks.len()));
    Some(each_row(tasks.len(), |i| {
        // SAFETY: the tensors outlive the call; row i of `out` is this task's alone and no other tensor's memory, and
        // nothing else is written. `simd` proves the instructions.
        unsafe {
            let (task, out, cap) = (&tasks[i], to.slice_mut(i), cap_of(soft_cap));
            let from = from.as_ref().map(|from| from[i].0.slice(from[i].1));
            let other = other.as_ref().filter(|(rows, _)| i < rows.count);
            let mut own;
            let other = match tail {
                // The logits that the gradient takes the place of are read once more.
                Tail::Itself(by) if task.reference_weight != 0.0 => {
                    own = from.unwrap_or(&*out).to_vec();
                    let label = (task.label as usize, task.log_sum_exp - task.loss);
                    Some(Reference::itself(simd, &mut own, cap, by, label))
                }
                _ => other.map(|(rows, cap)| Reference::new(simd, rows.slice(i), *cap)),
            };
            RowGradient { simd, from, other, cap }.write(task, &tail, reverse, out)
        }
    }))
}

/// What one task's gradient is computed from.
struct RowGradient<'a, S, N> {
    simd: S,
    /// The logits; `None` where they stand in the row that is written.
    from: Option<&'a [N]>,
    other: Option<Reference<'a, N>>,
    cap: f32,
}

/// Below it a probability may be the lanes' smallest and stand for less.
const NOTHING: f64 = 1e-30;

impl<S: Simd, N: Number> RowGradient<'_, S, N> {
    /// Writes the gradient and returns −Σ q log p, or KL(p ‖ q) where that is lowered, 0 without a q.
    fn write(&self, task: &Task, tail: &Tail, reverse: bool, out: &mut [N]) -> f64 {
        let pulled = task.reference_weight != 0.0;
        run!(self.simd, {
            match tail {
                Tail::Top(top) if pulled && reverse => self.reverse_towards_top(task, top, out),
                Tail::Top(top) if pulled => self.towards_top(task, top, out),
                _ if pulled && reverse => self.reverse(task, out),
                tail => self.towards_all(task, matches!(tail, Tail::Uniform), out),
            }
        })
    }

    /// The derivative of the soft-cap where the capped logit is `z`.
    fn slope(&self, z: f64) -> f64 {
        1.0 - (z / f64::from(self.cap)).powi(2)
    }

    fn mix(&self, task: &Task, scale: f64) -> Mix {
        Mix {
            log_sum_exp: task.log_sum_exp as f32,
            scale: scale as f32,
            reference_weight: task.reference_weight as f32,
            flat: 0.0,
            cap: self.cap,
        }
    }

    /// q is the reference's whole prediction, or uniform, or there is none.
    fn towards_all(&self, task: &Task, uniform: bool, out: &mut [N]) -> f64 {
        run!(self.simd, {
            let (a, b, label) = (task.label_weight, task.reference_weight, task.label as usize);
            let mut mix = self.mix(task, a + b);
            let rounded = f64::from(capped(self.from.unwrap_or(&*out)[label].widen(), self.cap));
            // The row's sum takes the label as it stands in the rows.
            let terms = |other: Reference<N>| {
                let q = other.log_probability(label).exp();
                let in_row = f64::from(other.one(label)).exp() * (rounded - task.log_sum_exp);
                (q, q * task.loss + in_row)
            };
            let (mut q_label, mut flat) = self.other.map_or((0.0, 0.0), terms);
            if uniform && b != 0.0 {
                q_label = 1.0 / out.len() as f64;
                mix.flat = (b * q_label) as f32;
                flat = task.log_sum_exp - mean(self.from.unwrap_or(out), self.cap);
            }
            let at_label = self.slope(task.log_sum_exp - task.loss);
            let exact = ((a + b) * (-task.loss).exp() - a - b * q_label) * at_label;
            let cross_entropy = row::gradient(self.simd, self.from, self.other, out, &mix);
            out[label] = N::nearest(exact as f32);
            cross_entropy + flat
        })
    }

    /// The probability of all tokens but `ids`, whose logits are no longer in the row after it; the label's is the exact one.
    fn outside(&self, task: &Task, ids: &[u32], out: &mut [N]) -> f64 {
        let rounded = f64::from(capped(out[task.label as usize].widen(), self.cap)) - task.log_sum_exp;
        let outside = row::outside(self.simd, self.cap, ids, out, task.log_sum_exp);
        if ids.contains(&task.label) { outside } else { outside + ((-task.loss).exp() - rounded.exp()) }
    }

    /// q is known for k tokens and has the prediction's shape on the others.
    fn towards_top(&self, task: &Task, top: &Top, out: &mut [N]) -> f64 {
        run!(self.simd, {
            let (a, b, label) = (task.label_weight, task.reference_weight, task.label as usize);
            let (ids, q) = (top.ids(task.row), top.probabilities(task.row));
            if let Some(from) = self.from {
                out.copy_from_slice(from);
            }
            let logits: Vec<f64> =
                ids.iter().map(|id| f64::from(capped(out[*id as usize].widen(), self.cap))).collect();
            let p_label = (-task.loss).exp();
            let outside = self.outside(task, ids, out);
            let q_outside = f64::from(top.tail(task.row));
            // The lanes' exponentials end at their smallest number: below it they are no longer in proportion.
            let shares = if outside < NOTHING { 0.0 } else { q_outside / outside };
            let scale = a + b - b * shares;
            row::gradient(self.simd, None, None, out, &self.mix(task, scale));
            let at_label = self.slope(task.log_sum_exp - task.loss);
            out[label] = N::nearest(((scale * p_label - a) * at_label) as f32);
            let log = |p: f64| p.max(f64::MIN_POSITIVE).ln();
            let mut cross_entropy = if q_outside > 0.0 { -q_outside * log(outside) } else { 0.0 };
            for ((id, z), q) in ids.iter().zip(logits).zip(q) {
                cross_entropy += f64::from(*q) * (task.log_sum_exp - z);
                let (p, own) =
                    if *id == task.label { (p_label, a) } else { ((z - task.log_sum_exp).exp(), 0.0) };
                let x = ((a + b) * p - own - b * f64::from(*q)) * self.slope(z);
                out[*id as usize] = N::nearest(x as f32);
            }
            cross_entropy
        })
    }

    /// a·(p − eᵧ) + b·p·(log p − log q − KL(p ‖ q)), q the reference's whole prediction, or uniform.
    fn reverse(&self, task: &Task, out: &mut [N]) -> f64 {
        run!(self.simd, {
            let (a, b, label) = (task.label_weight, task.reference_weight, task.label as usize);
            let from = self.from.unwrap_or(&*out);
            let log_q = self.other.map_or(-(out.len() as f64).ln(), |other| other.log_probability(label));
            let term = |log_p: f64, log_q: f64| log_p.exp() * (log_p - log_q);
            let rounded = f64::from(capped(from[label].widen(), self.cap)) - task.log_sum_exp;
            // The row's sum takes q, too, as it stands in the row.
            let in_row = self.other.map_or(log_q, |other| f64::from(other.one(label)));
            let ratio = Ratio { log_sum_exp: task.log_sum_exp as f32, cap: self.cap, other: self.other };
            let divergence =
                ratio.divergence(self.simd, from) - term(rounded, in_row) + term(-task.loss, log_q);
            ratio.gradient(self.simd, self.from, out, (a - b * divergence) as f32, b as f32);
            let exact = (-task.loss).exp() * (a + b * (-task.loss - log_q - divergence)) - a;
            out[label] = N::nearest((exact * self.slope(task.log_sum_exp - task.loss)) as f32);
            divergence
        })
    }

    /// The same, q known for k tokens and with the prediction's shape on the others.
    fn reverse_towards_top(&self, task: &Task, top: &Top, out: &mut [N]) -> f64 {
        run!(self.simd, {
            let (a, b, label) = (task.label_weight, task.reference_weight, task.label as usize);
            let (ids, q) = (top.ids(task.row), top.probabilities(task.row));
            if let Some(from) = self.from {
                out.copy_from_slice(from);
            }
            let log = |p: f64| p.max(f64::from(f32::MIN_POSITIVE)).ln();
            let exact = |(id, q): (&u32, &f32)| {
                let z = f64::from(capped(out[*id as usize].widen(), self.cap));
                let log_p = if *id == task.label { -task.loss } else { z - task.log_sum_exp };
                (z, log_p, log_p - log(f64::from(*q)))
            };
            let inside: Vec<(f64, f64, f64)> = ids.iter().zip(q).map(exact).collect();
            let outside = self.outside(task, ids, out);
            let ratio_outside = log(outside) - log(f64::from(top.tail(task.row)));
            let terms = inside.iter().map(|(_, log_p, ratio)| log_p.exp() * ratio);
            let divergence = terms.sum::<f64>() + outside * ratio_outside;
            let scale = |ratio: f64| a + b * (ratio - divergence);
            row::gradient(self.simd, None, None, out, &self.mix(task, scale(ratio_outside)));
            let at_label = self.slope(task.log_sum_exp - task.loss);
            out[label] = N::nearest((((-task.loss).exp() * scale(ratio_outside) - a) * at_label) as f32);
            for ((z, log_p, ratio), id) in inside.into_iter().zip(ids) {
                let own = if *id == task.label { a } else { 0.0 };
                let x = (log_p.exp() * scale(ratio) - own) * self.slope(z);
                out[*id as usize] = N::nearest(x as f32);
            }
            divergence
        })
    }
}
