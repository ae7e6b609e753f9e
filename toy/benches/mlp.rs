//! The hot loops of figure 12, on generated images about as sparse as MNIST's, one thread.
//! Run: `cargo bench -p tokensieve-toy --bench mlp` (`-- --quick` for a rough answer in seconds).

// Criterion's macro writes a public function.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fearless_simd::{Level, Simd, dispatch, f32x16, prelude::*};
use tokensieve_objective::{Criterion as By, Objective, Plan, Selection};
use tokensieve_toy::{
    bands::{self, BandsConfig},
    images::DataSet,
    mlp::{Fleet, Learner, SparseImages, Weights},
};

/// The ceiling: independent multiply-adds in registers. Reported in multiply-adds (two operations each).
fn ceiling(bench: &mut Criterion) {
    #[expect(clippy::inline_always, reason = "inlined into the function that carries the instruction set")]
    #[inline(always)]
    fn chains<S: Simd>(simd: S, rounds: usize) -> f32 {
        let (x, y) = (f32x16::splat(simd, black_box(0.999)), f32x16::splat(simd, black_box(0.001)));
        let mut sums = [x; 8];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = sum.mul_add_precise(x, y);
            }
        }
        sums.iter().map(|sum| sum.as_slice().iter().sum::<f32>()).sum()
    }
    let level = Level::new();
    let mut group = bench.benchmark_group("ceiling");
    group.throughput(Throughput::Elements(10_000 * 8 * 16));
    group.bench_function("f32 multiply-adds", |bench| {
        bench.iter(|| dispatch!(level, simd => chains(simd, black_box(10_000))));
    });
    group.finish();
}

/// One batch of 256 through four networks: forward alone, and whole steps on a band and on everything.
fn batch(bench: &mut Criterion) {
    let images = SparseImages::new(&DataSet::synthetic(1, 256, 1).train);
    let batch = images.batch(&(0..256).collect::<Vec<_>>());
    let weights: [Weights; 4] = std::array::from_fn(|g| Weights::random(g as u64));
    let mut fleet = Fleet::new(&weights);
    let mut group = bench.benchmark_group("batch of 256");
    // Images times networks.
    group.throughput(Throughput::Elements(4 * 256));
    group.bench_function("forward", |bench| bench.iter(|| fleet.forward(black_box(&batch))));
    let everything = Objective::preset("mle").expect("a preset");
    let band = Selection::band(By::loss(), 0.3, 0.4).expect("a band");
    for (name, objective) in [
        ("step on a band", everything.select(band).expect("a selection")),
        ("step on everything", everything),
    ] {
        let mut learners: [Learner; 4] =
            std::array::from_fn(|_| Learner::new(objective.begin(Plan { steps: 1, seed: 0 }), 0.0));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                fleet.forward(black_box(&batch));
                for (g, learner) in learners.iter_mut().enumerate() {
                    learner.step(&mut fleet, g, &batch).expect("finite losses");
                }
            });
        });
    }
    group.finish();
}

/// One seed of the experiment for one epoch of 6,000 images: twelve networks, testing included.
fn epoch(bench: &mut Criterion) {
    let data = DataSet::synthetic(2, 6_000, 1_000);
    let config = BandsConfig {
        seeds: 1,
        epochs: 1,
        train_images: 6_000,
        test_images: 1_000,
        ..BandsConfig::default()
    };
    let prepared = bands::Prepared::new(&config, &data);
    let mut group = bench.benchmark_group("epoch");
    group.sample_size(10);
    group.throughput(Throughput::Elements(12 * 7_000));
    group.bench_function("twelve networks", |bench| {
        bench.iter(|| bands::run_seed(&config, &prepared, black_box(0)).expect("a run"));
    });
    group.finish();
}

criterion_group!(benches, ceiling, batch, epoch);
criterion_main!(benches);
