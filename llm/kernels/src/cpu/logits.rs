//! A row of logits, read once.
// What `with_simd` calls gives `None` where it does not apply; these always do.
#![allow(clippy::unnecessary_wraps)]

use std::f32::consts::LOG2_E;

use super::lanes::{LANES, Make, Simd, run};
use super::rows::with_simd;

pub(crate) fn largest(logits: &[f32]) -> Option<f32> {
    with_simd!(largest_of(logits))
}

fn largest_of<S: Simd>(simd: S, logits: &[f32]) -> Option<f32> {
    Some(run!(simd, {
        let mut most = [simd.splat(f32::NEG_INFINITY); 4];
        let whole = logits.chunks_exact(4 * LANES);
        let rest = whole.remainder();
        for chunk in whole {
            for (lane, most) in most.iter_mut().enumerate() {
                // SAFETY: within the chunk.
                *most = unsafe { simd.load(chunk.as_ptr().add(lane * LANES), LANES) }.max(*most);
            }
        }
        let mut each = [0.0; LANES];
        // SAFETY: sixteen numbers.
        unsafe { most[0].max(most[1]).max(most[2].max(most[3])).store(each.as_mut_ptr(), LANES) };
        each.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
    }))
}

pub(crate) fn sum_exp(logits: &[f32], largest: f32) -> Option<f64> {
    with_simd!(sum_exp_of(logits, largest))
}

fn sum_exp_of<S: Simd>(simd: S, logits: &[f32], largest: f32) -> Option<f64> {
    Some(run!(simd, {
        let (factor, zero) = (simd.splat(LOG2_E), simd.splat(-largest));
        let mut total = 0.0;
        // Sums of some thousands in f32, those in f64.
        for part in logits.chunks(1 << 12) {
            let mut sums = [simd.splat(0.0); 2];
            let whole = part.chunks_exact(2 * LANES);
            let rest = whole.remainder();
            for chunk in whole {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: within the chunk.
                    let x = unsafe { simd.load(chunk.as_ptr().add(lane * LANES), LANES) };
                    *sum = *sum + ((x + zero) * factor).exp2();
                }
            }
            total += f64::from((sums[0] + sums[1]).sum());
            total += rest.iter().map(|logit| f64::from((logit - largest).exp())).sum::<f64>();
        }
        total
    }))
}

pub(crate) fn exponentials(logits: &mut [f32], largest: f32, scale: f32) -> Option<()> {
    with_simd!(exponentials_of(logits, largest, scale))
}

fn exponentials_of<S: Simd>(simd: S, logits: &mut [f32], largest: f32, scale: f32) -> Option<()> {
    let _: () = run!(simd, {
        let (factor, zero) = (simd.splat(LOG2_E * scale), simd.splat(-largest));
        for chunk in logits.chunks_mut(LANES) {
            let n = chunk.len();
            // SAFETY: within the chunk.
            unsafe {
                ((simd.load(chunk.as_ptr(), n) + zero) * factor).exp2().store(chunk.as_mut_ptr(), n);
            };
        }
    });
    Some(())
}
