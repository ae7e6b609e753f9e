//! One step of gradient descent from some images of a batch.
//!
//! What comes in is each image's *pull* on the logits, −(learning rate)·∂loss/∂logits; it is carried down
//! through the old weights, and then all weights move, image after image in the order given.

use fearless_simd::{Simd, f32x16, prelude::*};

use super::{
    Batch, CLASSES, H1, H2, LANES, Row1, Row2, Row3, Upper,
    batch::{BLOCK, SHADE},
    fused::fused,
    layout::Rows1,
};

/// An image that is trained on, and its pull on the logits.
#[derive(Clone, Copy, Debug)]
pub struct ImagePull {
    /// Its index in the batch.
    pub image: usize,
    /// −(learning rate)·∂loss/∂logits, the normaliser included; zero from [`CLASSES`] on.
    pub pull: Row3,
}

/// Pulls on the hidden layers, carried down from the logits: `u1`, `u2`, one row per kept image.
#[inline(always)]
pub(super) fn carry<S: Simd, const G: usize>(
    simd: S,
    g: usize,
    kept: &[ImagePull],
    layers: &Upper,
    (h1, h2): (&[Rows1<G>], &[Row2]),
    u1: &mut Vec<Row1>,
    u2: &mut Vec<Row2>,
) {
    let zero = f32x16::splat(simd, 0.0);
    let w3 = transposed(&layers.w3);
    let w2 = transposed(&layers.w2);
    u1.clear();
    u2.clear();
    for ImagePull { image, pull } in kept {
        let mut sum = zero;
        for class in 0..CLASSES {
            let w = f32x16::from_slice(simd, &w3[class]);
            sum = fused(f32x16::splat(simd, pull[class]), w, sum);
        }
        let active = f32x16::from_slice(simd, &h2[*image]).simd_gt(zero);
        let mut second: Row2 = [0.0; H2];
        active.select(sum, zero).store_slice(&mut second);
        let mut first: Row1 = [0.0; H1];
        for half in 0..H1 / LANES {
            let lanes = half * LANES..(half + 1) * LANES;
            let mut sum = zero;
            for unit in 0..H2 {
                let w = f32x16::from_slice(simd, &w2[unit][lanes.clone()]);
                sum = fused(f32x16::splat(simd, second[unit]), w, sum);
            }
            let active = f32x16::from_slice(simd, &h1[*image].0[g][lanes.clone()]).simd_gt(zero);
            active.select(sum, zero).store_slice(&mut first[lanes]);
        }
        u1.push(first);
        u2.push(second);
    }
}

#[inline(always)]
fn transposed<const IN: usize, const OUT: usize>(w: &[[f32; OUT]; IN]) -> [[f32; IN]; OUT] {
    std::array::from_fn(|output| std::array::from_fn(|input| w[input][output]))
}

/// Moves the biases and the layers above the first.
#[inline(always)]
pub(super) fn move_upper<S: Simd, const G: usize>(
    simd: S,
    g: usize,
    kept: &[ImagePull],
    (u1, u2): (&[Row1], &[Row2]),
    (h1, h2): (&[Rows1<G>], &[Row2]),
    layers: &mut Upper,
) {
    for ((ImagePull { image, pull }, u1), u2) in kept.iter().zip(u1).zip(u2) {
        outer(simd, &h2[*image], pull, &mut layers.w3);
        outer(simd, &h1[*image].0[g], u2, &mut layers.w2);
        add(pull, &mut layers.b3);
        add(u2, &mut layers.b2);
        add(u1, &mut layers.b1);
    }
}

/// w += x uᵀ.
#[inline(always)]
fn outer<S: Simd, const IN: usize>(simd: S, x: &[f32; IN], u: &Row3, w: &mut [Row3; IN]) {
    let u = f32x16::from_slice(simd, u);
    for (x, w) in x.iter().zip(w) {
        let moved = fused(f32x16::splat(simd, *x), u, f32x16::from_slice(simd, w));
        moved.store_slice(w);
    }
}

#[inline(always)]
fn add<const N: usize>(u: &[f32; N], b: &mut [f32; N]) {
    for (b, u) in b.iter_mut().zip(u) {
        *b += u;
    }
}

/// Moves the first layer of model `g`, at the pixels that are not zero.
#[inline(always)]
pub(super) fn move_first<S: Simd, const G: usize>(
    simd: S,
    g: usize,
    batch: &Batch,
    kept: &[ImagePull],
    u1: &[Row1],
    w1: &mut [Rows1<G>],
) {
    for (block, rows) in w1.chunks_exact_mut(BLOCK).enumerate() {
        for (ImagePull { image, .. }, u1) in kept.iter().zip(u1) {
            let u: [f32x16<S>; H1 / LANES] =
                std::array::from_fn(|half| f32x16::from_slice(simd, &u1[half * LANES..][..LANES]));
            for &[place, grey] in batch.pixels(block, *image) {
                let x = f32x16::splat(simd, SHADE[usize::from(grey)]);
                let row = &mut rows[usize::from(place)].0[g];
                for half in 0..H1 / LANES {
                    let lanes = &mut row[half * LANES..][..LANES];
                    fused(x, u[half], f32x16::from_slice(simd, lanes)).store_slice(lanes);
                }
            }
        }
    }
}
