//! Root-mean-square norm, a row at a time.

use tch::{Device, Kind, Tensor};

use super::lanes::{LANES, Make, Number, Simd, run};
use super::rows::{Rows, by_kinds, floats, for_rows, optional};

/// Rows over which the weight's gradient is summed first: a fixed number, so that the sum does not depend on the
/// threads (choice).
const WEIGHT_ROWS: usize = 64;

pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64, out: &Tensor) -> Option<Tensor> {
    by_kinds!(x, out, forward(x, weight, eps, out))
}

fn forward<S: Simd, X: Number, Y: Number>(
    simd: S,
    x: &Tensor,
    weight: &Tensor,
    eps: f64,
    out: &Tensor,
) -> Option<Tensor> {
    let (rows, into, weight) = (Rows::<X>::of(x)?, Rows::<Y>::of(out)?, floats(weight)?);
    assert_eq!((into.count, into.columns, weight.len()), (rows.count, rows.columns, rows.columns));
    let inv_rms = Tensor::empty(&x.size()[..x.dim() - 1], (Kind::Float, Device::Cpu));
    let statistics = inv_rms.data_ptr() as usize;
    for_rows(rows.count, rows.columns, |i| {
        // SAFETY: each row, and its statistic, is one thread's; the instructions exist.
        unsafe {
            let inv_rms = forward_row(simd, rows.row(i), into.row(i), weight, eps as f32);
            (statistics as *mut f32).add(i).write(inv_rms);
        }
    });
    Some(inv_rms)
}

/// # Safety
/// `x` and `out` have as many numbers as the weight, and no other thread writes `out`.
pub(super) unsafe fn forward_row<S: Simd, X: Number, Y: Number>(
    simd: S,
    x: *const X,
    out: *mut Y,
    weight: &[f32],
    eps: f32,
) -> f32 {
    run!(simd, {
        let n = weight.len();
        let mut squares = [simd.splat(0.0); 2];
        for (turn, at) in (0..n).step_by(LANES).enumerate() {
            // SAFETY: `x` and `out` have `n` numbers.
            let x = unsafe { simd.load(x.add(at), n - at) };
            squares[turn % 2] = x.mul_add(x, squares[turn % 2]);
        }
        let inv_rms = ((squares[0] + squares[1]).sum() / n as f32 + eps).sqrt().recip();
        let factor = simd.splat(inv_rms);
        for at in (0..n).step_by(LANES) {
            // SAFETY: likewise.
            unsafe {
                let x_hat = simd.load(x.add(at), n - at) * factor;
                (x_hat * simd.load(weight.as_ptr().add(at), n - at)).store(out.add(at), n - at);
            }
        }
        inv_rms
    })
}

pub(crate) fn rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    inv_rms: &Tensor,
    residual: Option<&Tensor>,
    d_weight: Option<&Tensor>,
) -> Option<Tensor> {
    by_kinds!(dy, x, backward(dy, x, weight, inv_rms, residual, d_weight))
}

fn backward<S: Simd, Y: Number, X: Number>(
    simd: S,
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    inv_rms: &Tensor,
    residual: Option<&Tensor>,
    d_weight: Option<&Tensor>,
) -> Option<Tensor> {
    let residual = residual.map(|residual| residual.to_kind(x.kind()));
    let around = optional(residual.as_ref(), Rows::<X>::of)?;
    let dx = Tensor::empty(x.size(), (x.kind(), Device::Cpu));
    let (rows, d_rows, into) = (Rows::<X>::of(x)?, Rows::<Y>::of(dy)?, Rows::<X>::of(&dx)?);
    let (weight, inv_rms) = (floats(weight)?, floats(inv_rms)?);
    let (count, columns) = (rows.count, rows.columns);
    assert_eq!((d_rows.count, d_rows.columns, weight.len(), inv_rms.len()), (count, columns, columns, count));
    assert!(around.is_none_or(|around| (around.count, around.columns) == (count, columns)));
    for_rows(count, columns, |i| {
        // SAFETY: as in `forward`.
        unsafe {
            let around = around.map(|around| around.row(i).cast_const());
            backward_row(simd, d_rows.row(i), rows.row(i), weight, inv_rms[i], around, into.row(i));
        }
    });
    if let Some(d_weight) = d_weight {
        let parts = count.div_ceil(WEIGHT_ROWS);
        let sums = Tensor::zeros([parts as i64, columns as i64], (Kind::Float, Device::Cpu));
        let sum_rows = Rows::<f32>::of(&sums)?;
        for_rows(parts, WEIGHT_ROWS * columns, |part| {
            let own = part * WEIGHT_ROWS..count.min((part + 1) * WEIGHT_ROWS);
            for i in own {
                // SAFETY: each row of sums is one thread's.
                unsafe {
                    weight_row(simd, d_rows.row(i), rows.row(i), inv_rms[i], sum_rows.row(part), columns);
                }
            }
        });
        let _ = d_weight.shallow_clone().g_add_(&sums.sum_dim_intlist(0, false, None));
    }
    Some(dx)
}

/// dx = (dy·w − x̂·mean(dy·w·x̂)) / rms, with x̂ = x / rms.
///
/// # Safety
/// All rows have as many numbers as the weight, and no other thread writes `into`.
unsafe fn backward_row<S: Simd, Y: Number, X: Number>(
    simd: S,
    dy: *const Y,
    x: *const X,
    weight: &[f32],
    inv_rms: f32,
    around: Option<*const X>,
    into: *mut X,
) {
    run!(simd, {
        let n = weight.len();
        let mut sums = [simd.splat(0.0); 2];
        for (turn, at) in (0..n).step_by(LANES).enumerate() {
            // SAFETY: all rows have `n` numbers.
            unsafe {
                let d_x_hat = simd.load(dy.add(at), n - at) * simd.load(weight.as_ptr().add(at), n - at);
                sums[turn % 2] = d_x_hat.mul_add(simd.load(x.add(at), n - at), sums[turn % 2]);
            }
        }
        let along = (sums[0] + sums[1]).sum() * inv_rms * inv_rms * inv_rms / n as f32;
        let (factor, along) = (simd.splat(inv_rms), simd.splat(-along));
        for at in (0..n).step_by(LANES) {
            // SAFETY: likewise.
            unsafe {
                let d_x_hat = simd.load(dy.add(at), n - at) * simd.load(weight.as_ptr().add(at), n - at);
                let mut dx = simd.load(x.add(at), n - at).mul_add(along, d_x_hat * factor);
                if let Some(around) = around {
                    dx = dx + simd.load(around.add(at), n - at);
                }
                dx.store(into.add(at), n - at);
            }
        }
    });
}

/// # Safety
/// All rows have `n` numbers, and no other thread writes `sum`.
unsafe fn weight_row<S: Simd, Y: Number, X: Number>(
    simd: S,
    dy: *const Y,
    x: *const X,
    inv_rms: f32,
    sum: *mut f32,
    n: usize,
) {
    run!(simd, {
        let factor = simd.splat(inv_rms);
        for at in (0..n).step_by(LANES) {
            // SAFETY: all rows have `n` numbers.
            unsafe {
                let x_hat = simd.load(x.add(at), n - at) * factor;
                let before = simd.load(sum.cast_const().add(at), n - at);
                simd.load(dy.add(at), n - at).mul_add(x_hat, before).store(sum.add(at), n - at);
            }
        }
    });
}
