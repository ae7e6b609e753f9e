use ndarray::Array2;
use proptest::prelude::*;

use super::choose::Chooser;
use super::*;
use crate::linalg::{matmul, matvec, whitening};
use tokensieve_base::streams::Stream;

fn small(data: usize, coordinates: usize, kept: usize) -> RegressionConfig {
    RegressionConfig {
        data,
        coordinates,
        data_kept: kept,
        coordinates_kept: 1,
        steps: 20,
        ..RegressionConfig::smoke()
    }
}

fn normals(n: usize, stream: &mut Stream) -> Array1<f64> {
    (0..n).map(|_| stream.normal()).collect()
}

/// Z with orthonormal rows (ZZᵀ = I, so no more rows than columns) and any targets.
fn orthonormal_rows(rows: usize, extra: usize, seed: u64) -> Problem {
    let mut stream = Stream::new(seed, "orthonormal");
    let tall = Array2::from_shape_simple_fn((rows + extra, rows), || stream.normal());
    let white = matmul(tall.view(), whitening(tall.view()).unwrap().view()).unwrap();
    let target = normals(rows, &mut stream);
    Problem::assemble(white.t().to_owned(), target, Array2::zeros((1, rows + extra)), Array1::zeros(1))
        .unwrap()
}

/// ½‖(I − λZZᵀdiag(I))ε‖², written out.
fn loss_after(problem: &Problem, rate: f64, residual: &Array1<f64>, members: &[usize]) -> f64 {
    let mut masked = Array1::zeros(residual.len());
    for &i in members {
        masked[i] = residual[i];
    }
    let gradient = matvec(problem.z_nd.t(), masked.view());
    let after = residual - &(matvec(problem.z_nd.view(), gradient.view()) * rate);
    0.5 * dot(after.view(), after.view())
}

fn chosen(
    config: &RegressionConfig,
    problem: &Problem,
    method: Method,
    rate: f64,
    source: &Array1<f64>,
) -> Vec<usize> {
    let mut chooser = Chooser::new(config, method, 0).unwrap();
    let mut members = chooser.choose(problem, method.selects() == Selects::Data, rate, source).unwrap();
    members.sort_unstable();
    members
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The paper's statement: for uncorrelated data the largest residuals are the optimal subset (0 < λ < 2).
    #[test]
    fn orthonormal_rows_make_the_largest_residuals_optimal(
        rows in 1..9_usize, extra in 0..5_usize, portion in 0.0..1.0_f64, rate in 0.05..1.95_f64, seed: u64,
    ) {
        let kept = 1 + (portion * rows as f64) as usize;
        let config = RegressionConfig { data: rows, coordinates: rows + extra, data_kept: kept, ..RegressionConfig::smoke() };
        let problem = orthonormal_rows(rows, extra, seed);
        let residual = normals(rows, &mut Stream::new(seed, "residual"));
        let best = chosen(&config, &problem, Method::OptimalData, rate, &residual);
        let top = chosen(&config, &problem, Method::TopResidual, rate, &residual);
        prop_assert_eq!(best, top);
    }

    /// The quadratic form finds the subset that the written-out loss finds, whatever Z.
    #[test]
    fn optimal_data_are_those_of_brute_force(
        coordinates in 1..6_usize, extra in 0..5_usize, portion in 0.0..1.0_f64, rate in 0.01..4.0_f64, seed: u64,
    ) {
        let data = coordinates + extra;
        let config = small(data, coordinates, 1 + (portion * data as f64) as usize);
        let problem = Problem::new(&config, Features::Correlated, seed).unwrap();
        let rate = rate / problem.largest_eigenvalue;
        let residual = normals(data, &mut Stream::new(seed, "residual"));
        let best = chosen(&config, &problem, Method::OptimalData, rate, &residual);
        let ours = loss_after(&problem, rate, &residual, &best);
        let smallest = (0..1_u32 << data)
            .filter(|mask| mask.count_ones() as usize == config.data_kept)
            .map(|mask| (0..data).filter(|i| mask >> i & 1 == 1).collect::<Vec<_>>())
            .map(|members| loss_after(&problem, rate, &residual, &members))
            .fold(f64::INFINITY, f64::min);
        prop_assert!(ours <= smallest * (1.0 + 1e-12), "{ours:e} {smallest:e}");
    }

    /// The objective crate's selection keeps the k largest |ε|, the first rows first among ties.
    #[test]
    fn top_residual_is_a_plain_sort(data in 1..17_usize, portion in 0.0..1.0_f64, levels in 1..6_usize, seed: u64) {
        let config = small(data, 1, 1 + (portion * data as f64) as usize);
        let problem = Problem::new(&config, Features::Correlated, seed).unwrap();
        let mut stream = Stream::new(seed, "levels");
        let residual: Array1<f64> = (0..data).map(|_| stream.below(levels) as f64 - 1.5).collect();
        let top = chosen(&config, &problem, Method::TopResidual, 1.0, &residual);
        let mut sizes: Vec<f64> = residual.iter().map(|e| e.abs()).collect();
        let kept: f64 = top.iter().map(|&i| sizes[i]).sum();
        sizes.sort_by(|a, b| b.total_cmp(a));
        prop_assert_eq!(top.len(), config.data_kept);
        prop_assert_eq!(kept, sizes[..config.data_kept].iter().sum::<f64>());
    }
}

/// The price of a coordinate subset is the loss that the masked step leaves.
#[test]
fn optimal_coordinates_are_those_of_brute_force() {
    let config =
        RegressionConfig { data: 9, coordinates: 6, coordinates_kept: 3, ..RegressionConfig::smoke() };
    for seed in 0..40 {
        let problem = Problem::new(&config, Features::Correlated, seed).unwrap();
        let rate = 1.5 / problem.largest_eigenvalue;
        let residual = problem.residual(&normals(6, &mut Stream::new(seed, "w")));
        let gradient = matvec(problem.z_nd.t(), residual.view());
        let loss = |members: &[usize]| {
            let mut masked = Array1::zeros(6);
            for &j in members {
                masked[j] = gradient[j];
            }
            let after = &residual - &(matvec(problem.z_nd.view(), masked.view()) * rate);
            0.5 * dot(after.view(), after.view())
        };
        let best = loss(&chosen(&config, &problem, Method::OptimalCoordinates, rate, &gradient));
        let smallest = (0..1_u32 << 6)
            .filter(|mask| mask.count_ones() == 3)
            .map(|mask| loss(&(0..6).filter(|j| mask >> j & 1 == 1).collect::<Vec<_>>()))
            .fold(f64::INFINITY, f64::min);
        assert!(best <= smallest * (1.0 + 1e-12), "seed {seed}: {best:e} {smallest:e}");
    }
}

/// With all data kept every method is full gradient descent.
#[test]
fn keeping_everything_is_full_gradient_descent() {
    let config = RegressionConfig { data_kept: 8, coordinates_kept: 4, ..RegressionConfig::smoke() };
    let problem = Problem::new(&config, Features::Correlated, 3).unwrap();
    let full = train(&config, &problem, Method::FullGradient, 1.0, 3).unwrap();
    assert!(full.windows(2).all(|pair| pair[1] < pair[0]) || full[24] < 1e-3 * full[0]);
    for method in Method::DATA.into_iter().chain(Method::COORDINATES) {
        assert_eq!(train(&config, &problem, method, 1.0, 3).unwrap(), full, "{method:?}");
    }
}

/// ZᵀZ = I makes one full step of 1/λ_max Newton's: it solves the problem.
#[test]
fn one_full_step_solves_whitened_problems() {
    let config = RegressionConfig::default();
    for seed in 0..8 {
        let problem = Problem::new(&config, Features::Whitened, seed).unwrap();
        let losses = train(&config, &problem, Method::FullGradient, 1.0, seed).unwrap();
        assert!(losses[1] < 1e-24 * losses[0], "seed {seed}: {:e} {:e}", losses[0], losses[1]);
    }
}

/// Both kinds of features are the same problem: w = 0 predicts the same, and so does the solution.
#[test]
fn whitening_keeps_the_problem() {
    let config = RegressionConfig::default();
    let [plain, white] =
        [Features::Correlated, Features::Whitened].map(|f| Problem::new(&config, f, 5).unwrap());
    let zero = Array1::zeros(8);
    assert_eq!(plain.holdout_loss(&zero).to_bits(), white.holdout_loss(&zero).to_bits());
    for problem in [plain, white] {
        // With T the inverse square root of ZᵀZ the solution is T·T·Zᵀ·d.
        let whitening = whitening(problem.z_nd.view()).unwrap();
        let along = matvec(problem.z_nd.t(), problem.target_n.view());
        let w = matvec(whitening.view(), matvec(whitening.view(), along.view()).view());
        assert!(problem.holdout_loss(&w) < 1e-24);
    }
}

/// At 3/λ_max the largest residuals blow up where the optimal subset still converges.
#[test]
fn top_residual_diverges_where_the_optimum_does_not() {
    let config = RegressionConfig::default();
    for seed in 0..config.seeds {
        let problem = Problem::new(&config, Features::Whitened, seed).unwrap();
        let end = |method| train(&config, &problem, method, 3.0, seed).unwrap();
        let (top, best) = (end(Method::TopResidual), end(Method::OptimalData));
        assert!(top[200] > 1e6 * top[0], "seed {seed}: {:e}", top[200]);
        assert!(best[200] < 1e-6 * best[0], "seed {seed}: {:e}", best[200]);
    }
}

#[test]
fn rows_repeat_and_thread_count_does_not_matter() {
    let config = RegressionConfig::smoke();
    let rows = run(&config).unwrap();
    assert_eq!(rows, crate::on_threads(1, || run(&config)).unwrap());
    assert!(rows.iter().all(|row| row.low <= row.median && row.median <= row.high));
    let holdout = |row: &&RegressionRow| row.quantity == Quantity::HoldoutLoss && row.step == 0;
    assert_eq!(rows.iter().filter(holdout).count(), 2 * config.runs().len());
}

#[test]
fn bad_configurations_are_named() {
    let message = |config: RegressionConfig| run(&config).unwrap_err().to_string();
    assert!(
        message(RegressionConfig { data_kept: 0, ..RegressionConfig::smoke() }).contains("data_kept is 0")
    );
    assert!(message(RegressionConfig { data: 3, ..RegressionConfig::smoke() }).contains("data is 3"));
    assert!(message(RegressionConfig { seeds: 1, ..RegressionConfig::smoke() }).contains("seeds"));
    assert!(
        message(RegressionConfig { feature_correlation: f64::NAN, ..RegressionConfig::smoke() })
            .contains("feature_correlation")
    );
    assert!(
        message(RegressionConfig { compared_at: vec![25], ..RegressionConfig::smoke() })
            .contains("compared_at")
    );
    let huge = RegressionConfig { data: 60, data_kept: 30, ..RegressionConfig::smoke() };
    assert!(message(huge).contains("a million subsets"));
    assert!(
        message(RegressionConfig { data_steps: vec![-1.0], ..RegressionConfig::smoke() })
            .contains("data_steps")
    );
}
