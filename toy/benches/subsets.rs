//! The exhaustive subset search, per step of the regression toy: 16 data, subsets of 4 (and of 8, the dearest).
//!
//! Run: `cargo bench -p tokensieve-toy --bench subsets`. Brute force is the written-out double sum per subset.

#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array1, Array2};
use std::hint::black_box;
use tokensieve_base::streams::Stream;
use tokensieve_toy::subset::{Search, count};

const N: usize = 16;

fn problem() -> (Array1<f64>, Array2<f64>) {
    let mut stream = Stream::new(1, "bench");
    let linear = (0..N).map(|_| stream.normal()).collect();
    let square = Array2::from_shape_simple_fn((N, N), || stream.normal());
    (linear, &square + &square.t())
}

/// Every bit mask, the whole double sum each time.
fn brute_force(linear: &Array1<f64>, quadratic: &Array2<f64>, size: usize) -> (u32, f64) {
    let mut best = (0, f64::INFINITY);
    for mask in (0..1_u32 << N).filter(|mask| mask.count_ones() as usize == size) {
        let members = || (0..N).filter(|i| mask >> i & 1 == 1);
        let pairs: f64 = members().map(|i| members().map(|j| quadratic[(i, j)]).sum::<f64>()).sum();
        let change = members().map(|i| linear[i]).sum::<f64>() + 0.5 * pairs;
        if change < best.1 {
            best = (mask, change);
        }
    }
    best
}

fn subsets(criterion: &mut Criterion) {
    let (linear, quadratic) = problem();
    let mut group = criterion.benchmark_group("subsets");
    for size in [4, 8] {
        group.throughput(Throughput::Elements(count(N, size) as u64));
        let mut search = Search::new(N, size).expect("sizes are valid");
        group.bench_function(BenchmarkId::new("search", size), |bencher| {
            bencher.iter(|| search.best(black_box(linear.view()), black_box(quadratic.view())).1);
        });
    }
    group.throughput(Throughput::Elements(count(N, 4) as u64));
    group.bench_function(BenchmarkId::new("brute force", 4), |bencher| {
        bencher.iter(|| brute_force(black_box(&linear), black_box(&quadratic), 4).1);
    });
    group.finish();
}

criterion_group!(benches, subsets);
criterion_main!(benches);
