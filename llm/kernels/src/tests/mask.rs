//! Dropout: the kernel against the operators, and the rate.

use tch::{Device, Kind, Tensor};

use super::random;
use crate::{Mask, cpu, plain};

fn mask(rate: f64, first: usize, rows: u32) -> Mask {
    let keys = (0..rows).map(|row| [row.wrapping_mul(0x1234_5677) ^ 9, row.wrapping_mul(0x0bad_cafd)]);
    Mask::new(rate, first, keys.collect())
}

#[test]
fn the_kernel_drops_what_the_operators_drop() {
    needs_kernels!();
    let mask = mask(0.3, 5, 37);
    for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 0.0)] {
        let [x, base] = [1, 2].map(|seed| random(&[37, 90], seed).to_kind(kind).narrow(1, 0, 71));
        for (scale, base) in [(1.0, None), (mask.scale(), None), (mask.scale(), Some(&base))] {
            let (own, twin) = (
                cpu::dropout(&x, base, &mask, scale).expect("kernels"),
                plain::dropout(&x, base, &mask, scale),
            );
            let worst = (own.to_kind(Kind::Float) - twin.to_kind(Kind::Float)).abs().max();
            assert!(worst.double_value(&[]) <= tolerance, "{kind:?} {worst}");
        }
        assert_eq!(mask.apply(&x).narrow(0, 0, 5), x.narrow(0, 0, 5));
    }
}

#[test]
fn the_rate_is_as_asked_and_masks_differ() {
    let x = Tensor::ones([500, 400], (Kind::Float, Device::Cpu));
    let one = mask(0.1, 0, 500);
    let swapped = (0..500).map(|row| one.key(row).map(|[a, b]| [b, a]).expect("all rows"));
    let other = Mask::new(0.1, 0, swapped.collect());
    let (one, other) = (one.apply(&x), other.apply(&x));
    // 200,000 draws: five standard deviations of the share are 0.0034.
    let mean = |x: &Tensor| x.mean(Kind::Float).double_value(&[]);
    assert!((mean(&one) - 0.9).abs() < 0.0034);
    assert!((mean(&(&one * &other)) - 0.81).abs() < 0.0044);
    // Neighbours, which share a hash, are independent.
    let neighbours = one.slice(1, 0, 400, 2) * one.slice(1, 1, 400, 2);
    assert!((mean(&neighbours) - 0.81).abs() < 0.0062);
    for dim in [0, 1] {
        let shares = one.mean_dim(dim, false, Kind::Float);
        assert!(shares.min().double_value(&[]) > 0.8, "a row or column is dropped too often");
    }
}
