//! From pixels to logits.

use fearless_simd::{Simd, f32x16, prelude::*};

use super::{
    Batch, CLASSES, H1, H2, LANES, Row2, Row3, Upper,
    batch::{BLOCK, BLOCKS, SHADE},
    fused::fused,
    layout::{Rows1, Tile},
};

/// Images that go through the upper layers together: enough chains to hide the latency of a multiply-add.
const TOGETHER: usize = 4;

/// max(0, x), lane by lane.
#[inline(always)]
fn relu<S: Simd>(x: f32x16<S>, zero: f32x16<S>) -> f32x16<S> {
    x.simd_gt(zero).select(x, zero)
}

/// The first hidden layer of all models: `h1[image]` = max(0, b1 + Σ over pixels in ascending order).
#[inline(always)]
pub(super) fn first<S: Simd, const G: usize>(
    simd: S,
    batch: &Batch,
    w1: &[Rows1<G>],
    upper: &[Upper; G],
    h1: &mut [Rows1<G>],
) {
    let zero = f32x16::splat(simd, 0.0);
    for hidden in h1.iter_mut() {
        for g in 0..G {
            hidden.0[g] = upper[g].b1;
        }
    }
    for (block, rows) in w1.chunks_exact(BLOCK).enumerate() {
        for (image, hidden) in h1.iter_mut().enumerate() {
            let mut sums = [[zero; H1 / LANES]; G];
            for g in 0..G {
                for half in 0..H1 / LANES {
                    sums[g][half] = f32x16::from_slice(simd, &hidden.0[g][half * LANES..][..LANES]);
                }
            }
            for &[place, grey] in batch.pixels(block, image) {
                let x = f32x16::splat(simd, SHADE[usize::from(grey)]);
                let row = &rows[usize::from(place)];
                for g in 0..G {
                    for half in 0..H1 / LANES {
                        let w = f32x16::from_slice(simd, &row.0[g][half * LANES..][..LANES]);
                        sums[g][half] = fused(x, w, sums[g][half]);
                    }
                }
            }
            for g in 0..G {
                for half in 0..H1 / LANES {
                    let sum = sums[g][half];
                    let sum = if block + 1 == BLOCKS { relu(sum, zero) } else { sum };
                    sum.store_slice(&mut hidden.0[g][half * LANES..][..LANES]);
                }
            }
        }
    }
}

/// The second hidden layer and the logits of model `g`; what `mask` holds multiplies the second hidden layer.
///
/// Logits come in tiles of [`LANES`] images, class after class, so that a softmax has images in its lanes.
#[inline(always)]
pub(super) fn upper<S: Simd, const G: usize>(
    simd: S,
    g: usize,
    layers: &Upper,
    h1: &[Rows1<G>],
    mask: Option<&[Row2]>,
    h2: &mut [Row2],
    logits: &mut [Tile],
) {
    let zero = f32x16::splat(simd, 0.0);
    let last = h1.len() - 1;
    for (index, tile) in logits.iter_mut().enumerate() {
        let mut rows = [[0.0; LANES]; LANES];
        for (quarter, rows) in rows.chunks_exact_mut(TOGETHER).enumerate() {
            // Past the end of the batch the last image is computed again, and nobody reads it.
            let image = |j: usize| (index * LANES + quarter * TOGETHER + j).min(last);
            let mut sums = [f32x16::from_slice(simd, &layers.b2); TOGETHER];
            for k in 0..H1 {
                let w = f32x16::from_slice(simd, &layers.w2[k]);
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = fused(f32x16::splat(simd, h1[image(j)].0[g][k]), w, *sum);
                }
            }
            let mut hidden = [[0.0; H2]; TOGETHER];
            for (j, sum) in sums.iter_mut().enumerate() {
                let mut unit = relu(*sum, zero);
                if let Some(mask) = mask {
                    unit *= f32x16::from_slice(simd, &mask[image(j)]);
                }
                unit.store_slice(&mut hidden[j]);
                h2[image(j)] = hidden[j];
                *sum = f32x16::from_slice(simd, &layers.b3);
            }
            for k in 0..H2 {
                let w = f32x16::from_slice(simd, &layers.w3[k]);
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = fused(f32x16::splat(simd, hidden[j][k]), w, *sum);
                }
            }
            for (row, sum) in rows.iter_mut().zip(sums) {
                sum.store_slice(row);
            }
        }
        transpose(&rows, tile);
    }
}

#[inline(always)]
fn transpose(rows: &[Row3; LANES], tile: &mut Tile) {
    for class in 0..CLASSES {
        for lane in 0..LANES {
            tile.0[class][lane] = rows[lane][class];
        }
    }
}

/// The most probable class of each image of a tile; of equal ones the first.
#[inline(always)]
pub(super) fn classes<S: Simd>(simd: S, tile: &Tile) -> [f32; LANES] {
    let mut best = f32x16::from_slice(simd, &tile.0[0]);
    let mut class = f32x16::splat(simd, 0.0);
    for c in 1..CLASSES {
        let logit = f32x16::from_slice(simd, &tile.0[c]);
        let higher = logit.simd_gt(best);
        best = higher.select(logit, best);
        class = higher.select(f32x16::splat(simd, c as f32), class);
    }
    let mut out = [0.0; LANES];
    class.store_slice(&mut out);
    out
}
