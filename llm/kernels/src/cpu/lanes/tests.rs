//! The functions of lanes against f64, and what loads and stores round.

use super::*;

/// A function of lanes at sixteen numbers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn at(simd: Avx512, x: [f32; LANES], f: fn(Lanes) -> Lanes) -> [f32; LANES] {
    let mut result = [0.0; LANES];
    // SAFETY: sixteen numbers each.
    unsafe { f(simd.load(x.as_ptr(), LANES)).store(result.as_mut_ptr(), LANES) };
    result
}

/// Largest relative error over `from`..`to`.
fn error(from: f64, to: f64, f: fn(Lanes) -> Lanes, exact: fn(f64) -> f64) -> f64 {
    let simd = Avx512::detect().expect("asked for");
    let mut largest = 0.0_f64;
    for i in 0..20_000 {
        let x: [f32; LANES] = std::array::from_fn(|lane| {
            (from + (to - from) * f64::from(16 * i + lane as u32) / 320_000.0) as f32
        });
        // SAFETY: detected.
        for (x, y) in x.iter().zip(unsafe { at(simd, x, f) }) {
            let exact = exact(f64::from(*x));
            largest = largest.max((f64::from(y) - exact).abs() / exact.abs().max(1e-35));
        }
    }
    largest
}

#[test]
fn functions_are_accurate() {
    crate::needs_kernels!();
    assert!(error(-80.0, 80.0, Lanes::exp, f64::exp) < 3e-7);
    assert!(error(-0.1, 0.1, Lanes::exp, f64::exp) < 2e-7);
    assert!(error(0.01, 0.7, Lanes::ln, f64::ln) < 3e-7);
    assert!(error(1.5, 1e9, Lanes::ln, f64::ln) < 3e-7);
    assert!(error(-126.0, 127.0, Lanes::exp2, f64::exp2) < 3e-7);
    assert!(error(-0.6, 0.6, Lanes::exp2, f64::exp2) < 2e-7);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    assert!(error(-79.0, 90.0, Lanes::sigmoid, sigmoid) < 5e-7);
    assert!(error(-12.0, 12.0, Lanes::tanh, f64::tanh) < 5e-7);
    assert!(error(-0.01, 0.01, Lanes::tanh, f64::tanh) < 5e-7);
}

#[test]
fn functions_keep_their_limits() {
    crate::needs_kernels!();
    let simd = Avx512::detect().expect("asked for");
    let mut x = [f32::NAN; LANES];
    x[1..4].copy_from_slice(&[f32::MIN, f32::NEG_INFINITY, f32::MAX]);
    // SAFETY: detected.
    let of = |f| unsafe { at(simd, x, f) };
    let [nan, least, below, most, ..] = of(Lanes::exp2);
    assert!(
        nan.is_nan() && [least, below, most].map(f32::to_bits) == [0.0, 0.0, f32::INFINITY].map(f32::to_bits)
    );
    let [nan, least, below, most, ..] = of(Lanes::sigmoid);
    assert!(nan.is_nan() && [least, below].iter().all(|x| (0.0..1e-30).contains(x)) && most > 0.999_999);
    let [nan, least, below, most, ..] = of(Lanes::tanh);
    assert!(nan.is_nan() && least < -0.999_999 && below < -0.999_999 && most > 0.999_999);
}

#[test]
fn transposed_rows_are_columns() {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    fn transposed(simd: Avx512, x: &[[u32; LANES]; LANES]) -> [[u32; LANES]; LANES] {
        let (mut rows, mut result) = ([simd.count(); LANES], *x);
        // SAFETY: sixteen words each.
        unsafe {
            for (row, x) in rows.iter_mut().zip(x) {
                *row = simd.words(x.as_ptr());
            }
            for (into, row) in result.iter_mut().zip(Words::transpose(rows)) {
                row.store(into.as_mut_ptr());
            }
        }
        result
    }
    crate::needs_kernels!();
    let simd = Avx512::detect().expect("asked for");
    let numbers = std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as u32));
    // SAFETY: detected.
    let result = unsafe { transposed(simd, &numbers) };
    assert!((0..16).all(|i| (0..16).all(|j| result[j][i] == numbers[i][j])));
}
