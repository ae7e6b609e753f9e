//! The sums by libtorch's operators: right on every device, and what the kernels are compared with.

use tch::{Kind, Tensor};

use super::sums::{Mean, Run, Sums};

pub(crate) fn add(sums: &mut Sums, runs: &[Run], logits_nmv: &Tensor, soft_cap: Option<f64>) {
    let mut z = logits_nmv.to_kind(Kind::Float);
    if let Some(cap) = soft_cap {
        z = (z / cap).tanh() * cap;
    }
    let log_p = z.log_softmax(-1, Kind::Float);
    let p = log_p.exp();
    let entropies_nm = -(&p * &log_p).sum_dim_intlist(-1, false, Kind::Double);
    let (rows, groups) = (logits_nmv.size()[0], sums.groups() as usize);
    for Run { group, passes } in runs {
        let sum = |x: &Tensor| {
            x.narrow(1, passes.start as i64, passes.len() as i64).sum_dim_intlist(1, false, None)
        };
        for (into, of) in [(&sums.probabilities, &p), (&sums.logarithms, &log_p)] {
            let _ = into.narrow(0, 0, rows).select(1, *group as i64).g_add_(&sum(of));
        }
        let entropies = Vec::<f64>::try_from(sum(&entropies_nm)).expect("one per row");
        for (row, entropy) in entropies.into_iter().enumerate() {
            sums.entropies[row * groups + group] += entropy;
        }
    }
}

pub(crate) fn means(sums: &Sums, rows: usize, sizes: &[usize]) -> Vec<Vec<Mean>> {
    let of = |x: &Tensor| x.narrow(0, 0, rows as i64);
    let (p, l) = (of(&sums.probabilities), of(&sums.logarithms));
    let (all_p, all_l) = (p.sum_dim_intlist(1, false, Kind::Float), l.sum_dim_intlist(1, false, Kind::Float));
    let mut results = vec![Vec::with_capacity(sizes.len() + 1); rows];
    let mut push = |p: Tensor, l: Tensor, passes: usize| {
        let p = p.clamp_min(0.0) / passes as f64;
        let entropy =
            -(p.clamp_min(f64::from(f32::MIN_POSITIVE)).log() * &p).sum_dim_intlist(-1, false, Kind::Double);
        let cross = (p * l).sum_dim_intlist(-1, false, Kind::Double) / passes as f64;
        let numbers = |x: Tensor| Vec::<f64>::try_from(x).expect("one per row");
        for (result, (entropy, cross)) in
            results.iter_mut().zip(numbers(entropy).into_iter().zip(numbers(cross)))
        {
            result.push(Mean { entropy, cross });
        }
    };
    let passes: usize = sizes.iter().sum();
    push(all_p.shallow_clone(), all_l.shallow_clone(), passes);
    // One group is all there is.
    if sizes.len() > 1 {
        for (group, size) in sizes.iter().enumerate() {
            let without = |all: &Tensor, each: &Tensor| all - each.select(1, group as i64);
            push(without(&all_p, &p), without(&all_l, &l), passes - size);
        }
    }
    results
}
