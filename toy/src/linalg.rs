//! Small dense linear algebra in one fixed order of operations, so that its bits are the same everywhere.
//!
//! LAPACK's are not: they change with the CPU, the number of threads and the vendor. `tests/tests/lapack.rs`
//! checks these routines against it instead. Matrices are row-major; letters: n rows, d columns.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// Why a matrix was rejected.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An entry is NaN or infinite.
    #[error("{operation}: entry ({row}, {column}) is not finite")]
    NotFinite {
        /// The routine.
        operation: &'static str,
        /// Row of the first such entry.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// Two incompatible shapes.
    #[error("{operation}: shapes {left:?} and {right:?} do not fit")]
    Shape {
        /// The routine.
        operation: &'static str,
        /// Shape of the first argument.
        left: Vec<usize>,
        /// Shape of the second argument.
        right: Vec<usize>,
    },
    /// The columns are linearly dependent to working precision.
    #[error("{operation}: {columns} columns have rank {rank}; they must be linearly independent")]
    RankDeficient {
        /// The routine.
        operation: &'static str,
        /// Number of columns.
        columns: usize,
        /// Numerical rank found.
        rank: usize,
    },
}

/// Σ aᵢbᵢ, first to last.
pub fn dot(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}

/// A·x.
pub fn matvec(a: ArrayView2<f64>, x: ArrayView1<f64>) -> Array1<f64> {
    a.outer_iter().map(|row| dot(row, x)).collect()
}

/// Aᵀ·x, the rows of A added up first to last.
pub fn matvec_transposed(a: ArrayView2<f64>, x: ArrayView1<f64>) -> Array1<f64> {
    let mut sum = Array1::zeros(a.ncols());
    for (row, &weight) in a.outer_iter().zip(x) {
        sum.zip_mut_with(&row, |s, r| *s += weight * r);
    }
    sum
}

/// A·B.
pub fn matmul(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>, Error> {
    if a.ncols() != b.nrows() {
        return Err(Error::Shape {
            operation: "matmul",
            left: a.shape().to_vec(),
            right: b.shape().to_vec(),
        });
    }
    let mut product = Array2::zeros((a.nrows(), b.ncols()));
    for (mut out, row) in product.outer_iter_mut().zip(a.outer_iter()) {
        for (&weight, line) in row.iter().zip(b.outer_iter()) {
            out.zip_mut_with(&line, |s, r| *s += weight * r);
        }
    }
    Ok(product)
}

/// A·Aᵀ, exactly symmetric.
pub fn gram(a: ArrayView2<f64>) -> Array2<f64> {
    // Multiplication commutes exactly, so entries (i, j) and (j, i) have the same bits.
    Array2::from_shape_fn((a.nrows(), a.nrows()), |(i, j)| dot(a.row(i), a.row(j)))
}

/// Eigenvalues in descending order, eigenvectors as columns in the same order.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// The eigenvalues, largest first.
    pub values: Array1<f64>,
    /// Column j belongs to `values[j]`; its component of largest magnitude is positive.
    pub vectors: Array2<f64>,
}

/// Eigendecomposition of a symmetric matrix by cyclic Jacobi rotations; only the upper triangle is read.
pub fn symmetric_eigen(a: ArrayView2<f64>) -> Result<Eigen, Error> {
    let n = a.nrows();
    if a.ncols() != n {
        return Err(Error::Shape {
            operation: "symmetric_eigen",
            left: a.shape().to_vec(),
            right: vec![n, n],
        });
    }
    all_finite("symmetric_eigen", a)?;
    let mut a = Array2::from_shape_fn((n, n), |(i, j)| a[(i.min(j), i.max(j))]);
    let mut vectors = Array2::eye(n);
    let total: f64 = a.iter().map(|x| x * x).sum();
    // Convergence is quadratic: the sizes here need fewer than ten sweeps.
    for _ in 0..60 {
        let off: f64 = a.indexed_iter().filter(|((i, j), _)| i < j).map(|(_, x)| x * x).sum();
        if off <= total * f64::EPSILON * f64::EPSILON * 1e-4 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[(j, j)].total_cmp(&a[(i, i)]));
    let values = order.iter().map(|&i| a[(i, i)]).collect();
    let mut vectors = vectors.select(Axis(1), &order);
    for mut column in vectors.columns_mut() {
        let largest = column.iter().fold(0.0_f64, |m, &x| if x.abs() > m.abs() { x } else { m });
        if largest < 0.0 {
            column.mapv_inplace(|x| -x);
        }
    }
    Ok(Eigen { values, vectors })
}

/// One Jacobi rotation: makes the entry (p, q) zero.
fn rotate(a: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) {
    let off = a[(p, q)];
    if off == 0.0 {
        return;
    }
    let theta = (a[(q, q)] - a[(p, p)]) / (2.0 * off);
    // The smaller root of t² + 2θt = 1: a rotation by at most 45°, which is what makes the sweeps converge.
    let t = 1.0_f64.copysign(theta) / (theta.abs() + libm::hypot(theta, 1.0));
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..a.nrows() {
        let (x, y) = (a[(k, p)], a[(k, q)]);
        a[(k, p)] = c * x - s * y;
        a[(k, q)] = s * x + c * y;
        let (x, y) = (vectors[(k, p)], vectors[(k, q)]);
        vectors[(k, p)] = c * x - s * y;
        vectors[(k, q)] = s * x + c * y;
    }
    for k in 0..a.nrows() {
        let (x, y) = (a[(p, k)], a[(q, k)]);
        a[(p, k)] = c * x - s * y;
        a[(q, k)] = s * x + c * y;
    }
    (a[(p, q)], a[(q, p)]) = (0.0, 0.0);
}

/// The largest eigenvalue of `ZᵀZ`, from the smaller of `ZᵀZ` and `ZZᵀ` (they share it).
pub fn largest_gram_eigenvalue(z: ArrayView2<f64>) -> Result<f64, Error> {
    let gram = if z.nrows() < z.ncols() { gram(z) } else { gram(z.t()) };
    let eigen = symmetric_eigen(gram.view())?;
    Ok(eigen.values.first().copied().unwrap_or(0.0))
}

/// The symmetric matrix T = (ZᵀZ)^(−½), with which (ZT)ᵀ(ZT) = I.
pub fn whitening(z: ArrayView2<f64>) -> Result<Array2<f64>, Error> {
    let (n, d) = z.dim();
    let Eigen { values, vectors } = symmetric_eigen(gram(z.t()).view())?;
    let floor = values.first().map_or(0.0, |largest| largest * n.max(d) as f64 * f64::EPSILON);
    let rank = values.iter().filter(|&&v| v > floor).count();
    if rank < d {
        return Err(Error::RankDeficient { operation: "whitening", columns: d, rank });
    }
    Ok(Array2::from_shape_fn((d, d), |(i, j)| {
        (0..d).fold(0.0, |sum, k| sum + vectors[(i, k)] * vectors[(j, k)] / values[k].sqrt())
    }))
}

fn all_finite(operation: &'static str, a: ArrayView2<f64>) -> Result<(), Error> {
    match a.indexed_iter().find(|(_, x)| !x.is_finite()) {
        Some(((row, column), _)) => Err(Error::NotFinite { operation, row, column }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use tokensieve_base::streams::Stream;
    use tokensieve_base::testing::largest_difference;

    fn random(n: usize, d: usize, seed: u64) -> Array2<f64> {
        let mut stream = Stream::new(seed, "matrix");
        Array2::from_shape_simple_fn((n, d), || stream.normal())
    }

    #[test]
    fn two_by_two_by_hand() {
        let eigen = symmetric_eigen(array![[2.0, 1.0], [1.0, 2.0]].view()).unwrap();
        assert!((eigen.values[0] - 3.0).abs() < 1e-15 && (eigen.values[1] - 1.0).abs() < 1e-15);
    }

    #[test]
    fn bad_matrices_are_errors() {
        let dependent = array![[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]];
        let deficient = Error::RankDeficient { operation: "whitening", columns: 2, rank: 1 };
        assert_eq!(whitening(dependent.view()), Err(deficient));
        let holed = array![[1.0, f64::NAN], [f64::NAN, 1.0]];
        assert_eq!(
            symmetric_eigen(holed.view()),
            Err(Error::NotFinite { operation: "symmetric_eigen", row: 0, column: 1 })
        );
        assert!(symmetric_eigen(Array2::zeros((2, 3)).view()).is_err());
        assert!(matmul(Array2::zeros((2, 3)).view(), Array2::zeros((2, 3)).view()).is_err());
        assert!(symmetric_eigen(Array2::zeros((0, 0)).view()).unwrap().values.is_empty());
    }

    proptest! {
        #[test]
        fn eigenvectors_rebuild_the_matrix(n in 1..12_usize, seed: u64) {
            let square = random(n, n, seed);
            let a = &square + &square.t();
            let Eigen { values, vectors } = symmetric_eigen(a.view()).unwrap();
            let scaled = &vectors * &values;
            let back = matmul(scaled.view(), vectors.t()).unwrap();
            prop_assert!(largest_difference(&back, &a) < 1e-12 * n as f64);
            let unit = matmul(vectors.t(), vectors.view()).unwrap();
            prop_assert!(largest_difference(&unit, &Array2::<f64>::eye(n)) < 1e-13 * n as f64);
            prop_assert!(values.windows(2).into_iter().all(|w| w[0] >= w[1]));
        }

        #[test]
        fn whitened_columns_are_orthonormal(d in 1..9_usize, extra in 2..9_usize, seed: u64) {
            let z = random(d + extra, d, seed);
            let white = matmul(z.view(), whitening(z.view()).unwrap().view()).unwrap();
            prop_assert!(largest_difference(&gram(white.t()), &Array2::<f64>::eye(d)) < 1e-9);
            prop_assert!((largest_gram_eigenvalue(white.view()).unwrap() - 1.0).abs() < 1e-9);
        }
    }
}
