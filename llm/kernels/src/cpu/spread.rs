//! Sums over predictions, rows shared among libtorch's threads.
//!
//! A row's logits of a group of passes are read once for their sums, and once more, while the cache may still hold them,
//! for the probabilities; these are added in registers, so that sums over passes are touched once for a group.

use std::ops::Range;

use tch::Tensor;

use super::head_rows::{cap_of, capped, logits, sums};
use super::lanes::{LANES, Lanes, Make, Number, Simd, run};
use super::rows::{Rows, by_kind, each_row, with_simd};
use crate::spread::sums::{MOST_GROUPS, Mean, Run, Sums};

/// Numbers whose terms are added in f32 before the sum goes on in f64 (choice).
const BLOCK: usize = 2048;

pub(crate) fn add(all: &mut Sums, runs: &[Run], logits_nmv: &Tensor, soft_cap: Option<f64>) -> Option<()> {
    by_kind!(logits_nmv, add_of(all, runs, logits_nmv, soft_cap))
}

fn add_of<S: Simd, N: Number>(
    simd: S,
    all: &mut Sums,
    runs: &[Run],
    logits_nmv: &Tensor,
    soft_cap: Option<f64>,
) -> Option<()> {
    let [rows, passes, _] = logits_nmv.size()[..] else { return None };
    let (passes, groups, cap) = (passes as usize, all.groups() as usize, cap_of(soft_cap));
    let z = Rows::<N>::of(logits_nmv)?;
    let [p, l] = [&all.probabilities, &all.logarithms].map(Rows::<f32>::of);
    let (p, l) = (p?, l?);
    let entropies = each_row(rows as usize, |row| {
        let mut entropies = vec![0.0; groups];
        for Run { group, passes: run } in runs {
            // SAFETY: all tensors live through the call; a row's sums are one thread's; `simd` proves the instructions.
            entropies[*group] += unsafe {
                let run: Vec<&[N]> = run.clone().map(|pass| z.slice(row * passes + pass)).collect();
                let place = row * groups + group;
                let (p, l) = (p.slice_mut(place), l.slice_mut(place));
                if cap.is_finite() {
                    add_passes::<_, N, true>(simd, &run, cap, p, l)
                } else {
                    add_passes::<_, N, false>(simd, &run, cap, p, l)
                }
            };
        }
        entropies
    });
    all.entropies.iter_mut().zip(entropies.into_iter().flatten()).for_each(|(sum, own)| *sum += own);
    Some(())
}

/// Adds a row's probabilities in some passes and their logarithms; returns the sum of entropies.
fn add_passes<S: Simd, N: Number, const CAP: bool>(
    simd: S,
    passes: &[&[N]],
    cap: f32,
    p: &mut [f32],
    l: &mut [f32],
) -> f64 {
    run!(simd, {
        let mut entropy = 0.0;
        let mut log_sums = Vec::with_capacity(passes.len());
        for row in passes {
            let of_pass = sums(simd, row, cap);
            log_sums.push(of_pass.max + of_pass.sum.ln() as f32);
            entropy += of_pass.sum.ln() - of_pass.weighted / of_pass.sum;
        }
        let passes: Vec<_> = passes.iter().map(|row| row.as_chunks::<LANES>()).zip(log_sums).collect();
        let ((p, p_rest), (l, l_rest)) = (p.as_chunks_mut::<LANES>(), l.as_chunks_mut::<LANES>());
        for (i, (p, l)) in p.iter_mut().zip(l).enumerate() {
            let (mut sum_p, mut sum_l) = (simd.read(p), simd.read(l));
            for ((row, _), log_sum) in &passes {
                let log_p = logits::<_, N, CAP>(simd, &row[i], cap) - simd.splat(*log_sum);
                sum_p = sum_p + log_p.exp();
                sum_l = sum_l + log_p;
            }
            sum_p.write(p);
            sum_l.write(l);
        }
        for (i, (p, l)) in p_rest.iter_mut().zip(l_rest).enumerate() {
            for ((_, rest), log_sum) in &passes {
                let log_p = capped(rest[i].widen(), cap) - log_sum;
                *p += log_p.exp();
                *l += log_p;
            }
        }
        entropy
    })
}

pub(crate) fn means(all: &Sums, rows: usize, sizes: &[usize]) -> Option<Vec<Vec<Mean>>> {
    with_simd!(means_by_row(all, rows, sizes))
}

fn means_by_row<S: Simd>(simd: S, all: &Sums, rows: usize, sizes: &[usize]) -> Option<Vec<Vec<Mean>>> {
    let [p, l] = [&all.probabilities, &all.logarithms].map(Rows::<f32>::of);
    let (p, l) = (p?, l?);
    let groups = sizes.len();
    Some(each_row(rows, |row| {
        // SAFETY: the tensors live through the call, which only reads them; `simd` proves the instructions.
        unsafe {
            let of = |sums: &Rows<f32>| -> Vec<&[f32]> {
                (row * groups..(row + 1) * groups).map(|place| sums.slice(place)).collect()
            };
            means_of(simd, &of(&p), &of(&l), sizes)
        }
    }))
}

/// Σ over groups of some places, at most sixteen.
#[inline(always)]
fn total<S: Simd>(simd: S, groups: &[&[f32]], places: &Range<usize>) -> Lanes<S> {
    let mut sum = simd.splat(0.0);
    for group in groups {
        sum = sum + simd.read_part(&group[places.clone()]);
    }
    sum
}

/// Of one row, whose sums stand group by group.
fn means_of<S: Simd>(simd: S, p: &[&[f32]], l: &[&[f32]], sizes: &[usize]) -> Vec<Mean> {
    run!(simd, {
        let (n, groups, passes) = (p[0].len(), sizes.len(), sizes.iter().sum::<usize>());
        // One group is all there is.
        let left_out = if groups > 1 { groups } else { 0 };
        let mut shares = [0.0_f32; MOST_GROUPS + 1];
        shares[0] = 1.0 / passes as f32;
        for (share, size) in shares[1..].iter_mut().zip(sizes).take(left_out) {
            *share = 1.0 / (passes - size) as f32;
        }
        let mut found = vec![Mean::default(); left_out + 1];
        let zero = simd.splat(0.0);
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            let (mut entropy, mut cross) = ([zero; MOST_GROUPS + 1], [zero; MOST_GROUPS + 1]);
            for i in (start..end).step_by(LANES) {
                let own = i..end.min(i + LANES);
                let (all_p, all_l) = (total(simd, p, &own), total(simd, l, &own));
                for (place, share) in shares.iter().enumerate().take(left_out + 1) {
                    let (mut sum_p, mut sum_l) = (all_p, all_l);
                    if place > 0 {
                        sum_p = sum_p - simd.read_part(&p[place - 1][own.clone()]);
                        sum_l = sum_l - simd.read_part(&l[place - 1][own.clone()]);
                    }
                    let share = simd.splat(*share);
                    let mean = zero.max(sum_p) * share;
                    entropy[place] = mean.subtracted(mean.ln(), entropy[place]);
                    cross[place] = mean.mul_add(sum_l * share, cross[place]);
                }
            }
            for (row, (entropy, cross)) in found.iter_mut().zip(entropy.into_iter().zip(cross)) {
                row.entropy += f64::from(entropy.sum());
                row.cross += f64::from(cross.sum());
            }
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::spread::plain;
    use crate::tests::random;

    #[test]
    fn sums_and_means_are_those_of_the_operators() {
        crate::needs_kernels!();
        for (kind, cap, vocabulary, passes) in [
            (Kind::Float, None, 5003, 23),
            (Kind::BFloat16, None, 5003, 12),
            (Kind::Float, Some(30.0), 70, 3),
            (Kind::BFloat16, Some(30.0), 4100, 11),
            (Kind::Float, None, 40, 1),
        ] {
            let logits = random(&[4, 1, vocabulary], 7) * 4.0 + random(&[4, passes, vocabulary], 8);
            let logits = logits.to_kind(kind);
            let groups = (passes as usize).min(MOST_GROUPS);
            let sums = || Sums::zeros(5, groups, vocabulary, Device::Cpu);
            let (mut own, mut twin) = (sums(), sums());
            let place = |group: usize| (group * passes as usize).div_ceil(groups);
            let runs: Vec<Run> =
                (0..groups).map(|group| Run { group, passes: place(group)..place(group + 1) }).collect();
            for _ in 0..2 {
                add(&mut own, &runs, &logits, cap).expect("the kernels apply");
                plain::add(&mut twin, &runs, &logits, cap);
            }
            let near = |a: f64, b: f64| assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{a} {b}");
            own.entropies.iter().zip(&twin.entropies).for_each(|(a, b)| near(*a, *b));
            let sizes: Vec<usize> = runs.iter().map(|run| 2 * run.passes.len()).collect();
            let found = means(&own, 4, &sizes).expect("the kernels apply");
            for (own, twin) in found.iter().zip(plain::means(&twin, 4, &sizes)) {
                assert_eq!(own.len(), twin.len());
                for (own, twin) in own.iter().zip(&twin) {
                    near(own.entropy, twin.entropy);
                    near(own.cross, twin.cross);
                }
            }
        }
    }
}
