//! Softmax, loss and entropy with images in the lanes, on an exponential and a logarithm made of multiply-adds.
//!
//! `libm`'s `expf` is as bit-stable, but goes lane by lane: it alone would take longer than all layers.

use fearless_simd::{Simd, f32x16, prelude::*};

use super::{CLASSES, LANES, fused::fused, layout::Tile};

/// ln 2 as a sum whose first term times any exponent of a float is exact.
const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// 1.5·2²³: adding it rounds to an integer, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Below this e^x is no normal float any more; it is taken as e^LOWEST ≈ 1.2e-38.
const LOWEST: f32 = -87.3;

/// e^x for x ≤ 0, to 2 units in the last place: 2^k by its exponent bits, e^r by its Taylor series (|r| ≤ ln 2 / 2,
/// whose ninth term is below 2⁻²⁷).
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: f32x16<S>) -> f32x16<S> {
    let constant = |value: f32| f32x16::splat(simd, value);
    let lowest = constant(LOWEST);
    let x = lowest.simd_gt(x).select(lowest, x);
    let shifted = fused(x, constant(std::f32::consts::LOG2_E), constant(ROUND));
    let k = shifted - constant(ROUND);
    let r = fused(k, constant(-LN2[0]), x);
    let r = fused(k, constant(-LN2[1]), r);
    let mut series = constant(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = fused(series, r, constant(coefficient));
    }
    let power = (shifted.to_bits() << 23) + series.to_bits();
    f32x16::from_bits(power)
}

/// ln x for normal x > 0, to 2 units in the last place away from 1: x = m·2^e with m in [2/3, 4/3), and
/// ln m = 2 artanh((m − 1)/(m + 1)) by its series.
#[inline(always)]
pub(super) fn ln<S: Simd>(simd: S, x: f32x16<S>) -> f32x16<S> {
    let constant = |value: f32| f32x16::splat(simd, value);
    let two_thirds = (2.0_f32 / 3.0).to_bits();
    let above = x.to_bits() - two_thirds;
    let exponent = (above >> 23) << 23;
    let m = f32x16::from_bits(x.to_bits() - exponent);
    let e: f32x16<S> = (exponent >> 23).to_float();
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut series = constant(1.0 / 11.0);
    for coefficient in [1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0] {
        series = fused(series, square, constant(coefficient));
    }
    let twice = s + s;
    let ln_m = fused(twice * square, series, twice);
    let low = fused(e, constant(LN2[1]), ln_m);
    fused(e, constant(LN2[0]), low)
}

/// Turns a tile of logits into probabilities; returns the labels' losses and the entropies, both in nats.
#[inline(always)]
pub(super) fn softmax<S: Simd>(simd: S, tile: &mut Tile, labels: &[f32; LANES]) -> [[f32; LANES]; 2] {
    let row = |tile: &Tile, class: usize| f32x16::from_slice(simd, &tile.0[class]);
    let mut top = row(tile, 0);
    for class in 1..CLASSES {
        let logit = row(tile, class);
        top = logit.simd_gt(top).select(logit, top);
    }
    let labels = f32x16::from_slice(simd, labels);
    let zero = f32x16::splat(simd, 0.0);
    let (mut sum, mut weighted, mut own) = (zero, zero, zero);
    for class in 0..CLASSES {
        let below = row(tile, class) - top;
        let e = exp(simd, below);
        sum += e;
        weighted = fused(e, below, weighted);
        own = labels.simd_eq(f32x16::splat(simd, class as f32)).select(below, own);
        e.store_slice(&mut tile.0[class]);
    }
    for class in 0..CLASSES {
        (row(tile, class) / sum).store_slice(&mut tile.0[class]);
    }
    let log_sum = ln(simd, sum);
    // Rounding may leave a tiny negative number where the truth is 0.
    let floor = |x: f32x16<S>| x.simd_gt(zero).select(x, zero);
    let (mut loss, mut entropy) = ([0.0; LANES], [0.0; LANES]);
    (log_sum - own).store_slice(&mut loss);
    floor(log_sum - weighted / sum).store_slice(&mut entropy);
    [loss, entropy]
}
