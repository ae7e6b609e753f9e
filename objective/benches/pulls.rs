//! The hot path of the toys: selection and pulls of one batch of 256 tokens, 10⁶ times a run.
//! Run: `cargo bench -p tokensieve-objective`.

use std::hint::black_box;

use criterion::Criterion;
use tokensieve_objective::{Criterion as By, Objective, Plan, Selection, TokenStats};

fn batch(n: u32) -> Vec<TokenStats> {
    let loss = |i: u32| f64::from(i.wrapping_mul(2_654_435_769)) / f64::from(u32::MAX) * 6.0;
    (0..n)
        .map(|i| TokenStats { document: i, reference_loss: Some(1.0), ..TokenStats::new(loss(i), 1.0) })
        .collect()
}

fn pulls(bench: &mut Criterion) {
    let plan = Plan { steps: 1_000_000, seed: 0 };
    let band = Selection::band(By::loss(), 0.3, 0.4).expect("a band");
    let mle = Objective::preset("mle").expect("a preset");
    let objectives = [
        ("mle", mle.clone()),
        ("band 30-40%", mle.select(band).expect("a selection")),
        ("masked-mle+distill", Objective::preset("masked-mle+distill").expect("a preset")),
        ("-p", Objective::preset("-p").expect("a preset")),
        ("f-alpha", Objective::preset("f-alpha").expect("a preset")),
        ("random", Objective::preset("random").expect("a preset")),
    ];
    for n in [256, 8192] {
        let stats = batch(n);
        for (name, objective) in &objectives {
            let mut training = objective.begin(plan);
            bench.bench_function(&format!("{n} tokens, {name}"), |bencher| {
                bencher.iter(|| training.pulls(black_box(&stats)).expect("sound statistics").normaliser);
            });
        }
    }
}

fn main() {
    let mut bench = Criterion::default().configure_from_args();
    pulls(&mut bench);
    bench.final_summary();
}
