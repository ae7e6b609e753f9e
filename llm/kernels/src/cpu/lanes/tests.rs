//! The functions of lanes against f64, and what loads and stores round.
// What `with_simd` calls gives an option.
#![allow(clippy::unnecessary_wraps)]

use super::*;
use crate::cpu::rows::with_simd;

/// A function of lanes at sixteen numbers.
fn at<S: Simd>(simd: S, x: [f32; LANES], f: fn(Lanes<S>) -> Lanes<S>) -> [f32; LANES] {
    run!(simd, {
        let mut result = [0.0; LANES];
        f(simd.read(&x)).write(&mut result);
        result
    })
}

/// Largest relative error over a range.
fn error<S: Simd>(simd: S, [from, to]: [f64; 2], f: fn(Lanes<S>) -> Lanes<S>, exact: fn(f64) -> f64) -> f64 {
    let mut largest = 0.0_f64;
    for i in 0..20_000 {
        let x: [f32; LANES] = std::array::from_fn(|lane| {
            (from + (to - from) * f64::from(16 * i + lane as u32) / 320_000.0) as f32
        });
        for (x, y) in x.iter().zip(at(simd, x, f)) {
            let exact = exact(f64::from(*x));
            let away = (f64::from(y) - exact).abs() / exact.abs().max(1e-35);
            // `max` passes over NaN.
            assert!(!away.is_nan(), "{y} of {x}");
            largest = largest.max(away);
        }
    }
    largest
}

fn accurate<S: Simd>(simd: S) -> Option<()> {
    assert!(error(simd, [-80.0, 80.0], Lanes::exp, f64::exp) < 3e-7);
    assert!(error(simd, [-0.1, 0.1], Lanes::exp, f64::exp) < 2e-7);
    assert!(error(simd, [0.01, 0.7], Lanes::ln, f64::ln) < 3e-7);
    assert!(error(simd, [1.5, 1e9], Lanes::ln, f64::ln) < 3e-7);
    assert!(error(simd, [-126.0, 127.0], Lanes::exp2, f64::exp2) < 3e-7);
    assert!(error(simd, [-0.6, 0.6], Lanes::exp2, f64::exp2) < 2e-7);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    assert!(error(simd, [-79.0, 90.0], Lanes::sigmoid, sigmoid) < 5e-7);
    assert!(error(simd, [-12.0, 12.0], Lanes::tanh, f64::tanh) < 5e-7);
    assert!(error(simd, [-0.01, 0.01], Lanes::tanh, f64::tanh) < 5e-7);
    Some(())
}

#[test]
fn functions_are_accurate() {
    crate::needs_kernels!();
    with_simd!(accurate()).expect("asked for");
}

fn limited<S: Simd>(simd: S) -> Option<()> {
    let mut x = [f32::NAN; LANES];
    x[1..4].copy_from_slice(&[f32::MIN, f32::NEG_INFINITY, f32::MAX]);
    let [nan, least, below, most, ..] = at(simd, x, Lanes::exp2);
    assert!(
        nan.is_nan() && [least, below, most].map(f32::to_bits) == [0.0, 0.0, f32::INFINITY].map(f32::to_bits)
    );
    let [nan, least, below, most, ..] = at(simd, x, Lanes::sigmoid);
    assert!(nan.is_nan() && [least, below].iter().all(|x| (0.0..1e-30).contains(x)) && most > 0.999_999);
    let [nan, least, below, most, ..] = at(simd, x, Lanes::tanh);
    assert!(nan.is_nan() && least < -0.999_999 && below < -0.999_999 && most > 0.999_999);
    Some(())
}

#[test]
fn functions_keep_their_limits() {
    crate::needs_kernels!();
    with_simd!(limited()).expect("asked for");
}

fn transposed<S: Simd>(simd: S) -> Option<()> {
    let numbers: [[u32; LANES]; LANES] =
        std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as u32));
    let mut result = numbers;
    // SAFETY: sixteen words each.
    unsafe {
        let rows = numbers.each_ref().map(|row| simd.words(row.as_ptr()));
        for (into, row) in result.iter_mut().zip(Words::transpose(rows)) {
            row.store(into.as_mut_ptr());
        }
    }
    assert!((0..16).all(|i| (0..16).all(|j| result[j][i] == numbers[i][j])));
    Some(())
}

#[test]
fn transposed_rows_are_columns() {
    crate::needs_kernels!();
    with_simd!(transposed()).expect("asked for");
}

/// Parts of rows leave the rest alone, and bf16 is rounded as the crate `half` does.
fn stored<S: Simd>(simd: S) -> Option<()> {
    let x: [f32; LANES] = std::array::from_fn(|i| match i {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::MAX,
        3 => 1.0 + 1.0 / 256.0,
        4 => 1.0 + 3.0 / 256.0,
        _ => (i as f32 - 9.0) * 1.234_567e5,
    });
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    for count in 0..=LANES {
        let (mut floats, mut halves) = ([7.0_f32; LANES], [bf16::ONE; LANES]);
        // SAFETY: there is room for sixteen.
        unsafe {
            let first = simd.load(x.as_ptr(), count);
            first.store(floats.as_mut_ptr(), count);
            first.store(halves.as_mut_ptr(), count);
            let mut again = [1.0; LANES];
            simd.load(halves.as_ptr(), count).write(&mut again);
            assert!(again[count..].iter().all(|x| *x == 0.0));
        }
        for i in 0..LANES {
            let expected = if i < count { (x[i], bf16::from_f32(x[i])) } else { (7.0, bf16::ONE) };
            assert!(
                same(floats[i], expected.0) && same(halves[i].to_f32(), expected.1.to_f32()),
                "{count} {i}"
            );
        }
    }
    Some(())
}

#[test]
fn parts_are_stored_and_rounded() {
    crate::needs_kernels!();
    with_simd!(stored()).expect("asked for");
}

fn masked<S: Simd>(simd: S) -> Option<()> {
    let count = simd.count();
    assert_eq!((count.above(11), count.above(-1), count.plus(-20).above(-18)), (0xf000, 0xffff, 0xfff8));
    let halves: [u32; LANES] = std::array::from_fn(|i| (i as u32) << 28 | (15 - i as u32) << 12);
    // SAFETY: sixteen words.
    let words = unsafe { simd.words(halves.as_ptr()) };
    for least in [0, 1, 0x1000, 0x7fff, 0x8000, 0xf000, 0xffff_u16] {
        let found: Vec<bool> =
            halves.iter().flat_map(|x| [*x as u16, (*x >> 16) as u16]).map(|x| x >= least).collect();
        let all = words.halves_from(least);
        assert!((0..32).all(|i| (all >> i & 1 == 1) == found[i]), "{least}");
        let [lower, upper] = words.each_half_from(least);
        assert!(
            (0..16)
                .all(|i| [lower, upper].map(|mask| mask >> i & 1 == 1) == [found[2 * i], found[2 * i + 1]])
        );
    }
    let mut named = [0.0; LANES];
    let table: [f32; LANES] = std::array::from_fn(|i| i as f32);
    let names: [u32; LANES] = std::array::from_fn(|i| 0xabcd_ef30 + (7 * i as u32 + 3) % 16);
    // SAFETY: sixteen words.
    simd.read(&table).chosen_by(unsafe { simd.words(names.as_ptr()) }).write(&mut named);
    assert!((0..16).all(|i| named[i] == (names[i] % 16) as f32));
    let mut chosen = [0.0; LANES];
    simd.splat(1.0).or(0b1010_0000_1111_0001, simd.splat(2.0)).write(&mut chosen);
    assert!((0..16).all(|i| (chosen[i] == 1.0) == (0b1010_0000_1111_0001_u16 >> i & 1 == 1)));
    Some(())
}

#[test]
fn masks_say_which() {
    crate::needs_kernels!();
    with_simd!(masked()).expect("asked for");
}
