//! Rotary embedding, in place.

use tch::Tensor;

use super::lanes::{LANES, Make, Number, Simd, run};
use super::rows::{Rows, by_kind, for_rows};
use crate::shape::Heads;

pub(crate) fn rope(qkv: &Tensor, cos: &Tensor, sin: &Tensor, heads: &Heads, backward: bool) -> Option<()> {
    by_kind!(qkv, turn(qkv, cos, sin, heads, backward))
}

fn turn<S: Simd, N: Number>(
    simd: S,
    qkv: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    heads: &Heads,
    backward: bool,
) -> Option<()> {
    let (rows, cos, sin) = (Rows::<N>::of(qkv)?, Rows::<f32>::of(cos)?, Rows::<f32>::of(sin)?);
    let half = cos.columns;
    assert_eq!((cos.count, sin.count, sin.columns), (rows.count, rows.count, half));
    assert!(2 * half <= heads.dim && heads.width() == rows.columns);
    for_rows(rows.count, rows.columns, |i| {
        for head in 0..heads.queries + heads.keys {
            // SAFETY: each row is one thread's; the head's 2·half first numbers lie in it.
            unsafe {
                turn_head(simd, rows.row(i).add(head * heads.dim), cos.row(i), sin.row(i), half, backward);
            }
        }
    });
    Some(())
}

/// # Safety
/// The head has 2·`half` numbers, `cos` and `sin` have `half`, and no other thread writes the head.
pub(super) unsafe fn turn_head<S: Simd, N: Number>(
    simd: S,
    head: *mut N,
    cos: *const f32,
    sin: *const f32,
    half: usize,
    back: bool,
) {
    run!(simd, {
        let direction = simd.splat(if back { -1.0 } else { 1.0 });
        for at in (0..half).step_by(LANES) {
            let left = half - at;
            // SAFETY: the caller's promise.
            unsafe {
                let (cos, sin) = (simd.load(cos.add(at), left), simd.load(sin.add(at), left) * direction);
                let (first, second) = (head.add(at), head.add(half + at));
                let (a, b) = (simd.load(first.cast_const(), left), simd.load(second.cast_const(), left));
                (a * cos - b * sin).store(first, left);
                b.mul_add(cos, a * sin).store(second, left);
            }
        }
    });
}
