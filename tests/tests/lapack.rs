//! The toys' own linear algebra against LAPACK on random matrices.
//!
//! Checks `tokensieve_toy::linalg` (largest eigenvalue, eigenvalues, whitening) to 1e-10 of the
//! answer's size. Needs `OpenBLAS` (`apt-get install libopenblas-dev`, found by pkg-config).
//! Run: `cargo test -p tokensieve-tests --test lapack`.
//!
//! Figure data cannot come from LAPACK itself: its last bits change with the CPU and the thread count.

use ndarray::Array2;
use ndarray_linalg::{Eigh as _, UPLO};
use tokensieve_base::streams::Stream;
use tokensieve_base::testing::largest_difference;
use tokensieve_toy::linalg;

const TOLERANCE: f64 = 1e-10;

/// Row-major like the toys' matrices, columns of differing size so that the condition is not always small.
fn random(n: usize, d: usize, stream: &mut Stream) -> Array2<f64> {
    let sizes: Vec<f64> = (0..d).map(|_| stream.uniform_in(0.3, 3.0)).collect();
    Array2::from_shape_fn((n, d), |(_, j)| sizes[j] * stream.normal())
}

/// ‖a − b‖∞ relative to ‖b‖∞.
fn relative<'a>(a: impl IntoIterator<Item = &'a f64>, b: impl IntoIterator<Item = &'a f64> + Copy) -> f64 {
    let size = b.into_iter().fold(0.0_f64, |size, y| size.max(y.abs()));
    largest_difference(a, b) / size
}

/// Tall matrices of every width up to 12, with at least six rows to spare; 40 of each.
fn for_each_tall_matrix(name: &str, mut check: impl FnMut(&Array2<f64>)) {
    for d in 1..=12 {
        for seed in 0..40 {
            let mut stream = Stream::new(seed, &format!("lapack/{name}/{d}"));
            let n = d + 6 + stream.below(20);
            let z = random(n, d, &mut stream);
            check(&z);
        }
    }
}

#[test]
fn eigenvalues_of_symmetric_matrices() {
    for n in 1..=16 {
        for seed in 0..40 {
            let square = random(n, n, &mut Stream::new(seed, &format!("lapack/eigen/{n}")));
            let a = &square + &square.t();
            let ours = linalg::symmetric_eigen(a.view()).unwrap();
            let (mut theirs, _) = a.eigh(UPLO::Upper).unwrap();
            theirs.invert_axis(ndarray::Axis(0));
            let error = relative(&ours.values, &theirs);
            assert!(error < TOLERANCE, "n {n}, seed {seed}: {error:e}");
        }
    }
}

#[test]
fn largest_eigenvalue_of_the_gram_matrix() {
    for_each_tall_matrix("largest", |z| {
        let theirs = z.t().dot(z).eigh(UPLO::Upper).unwrap().0;
        let theirs = theirs.last().unwrap();
        for view in [z.view(), z.t()] {
            let ours = linalg::largest_gram_eigenvalue(view).unwrap();
            let error = relative([&ours], [theirs]);
            assert!(error < TOLERANCE, "{:?}: {error:e}", z.dim());
        }
    });
}

#[test]
fn whitening_is_the_inverse_square_root() {
    for_each_tall_matrix("whitening", |z| {
        let (values, vectors) = z.t().dot(z).eigh(UPLO::Upper).unwrap();
        let theirs = (&vectors / &values.mapv(f64::sqrt)).dot(&vectors.t());
        let ours = linalg::whitening(z.view()).unwrap();
        let error = relative(&ours, &theirs);
        assert!(error < TOLERANCE, "{:?}: {error:e}", z.dim());
    });
}
