//! What happens to each row between the products.

use tch::Tensor;

use super::buffer::Buffer;
use super::support::computing;
use crate::cpu::lanes::{LANES, Make, Number};
use crate::cpu::rows::{GRAIN, Rows, floats, for_rows};
use crate::cpu::{gated as gate, norm as rms, rope as turn};
use crate::shape::{Activation, Heads};
use crate::shim::parallel;

/// Cosines and sines by position, `r/2` each.
#[derive(Debug, Default)]
pub struct Angles {
    /// Cosines.
    pub cos: Vec<f32>,
    /// Sines.
    pub sin: Vec<f32>,
    /// r/2.
    pub half: usize,
}

/// The tokens' rows of the embedding, multiplied by `scale`.
pub fn embed<N: Number>(table: &Tensor, tokens: &[u32], scale: f32, out: &mut Buffer<N>) {
    let table = Rows::<N>::of(table).expect("a matrix of this kind on the CPU");
    assert_eq!((table.columns, tokens.len()), (out.columns(), out.rows()));
    let n = table.columns;
    computing!(simd => simd.run(|| {
        for (row, token) in tokens.iter().enumerate() {
            assert!((*token as usize) < table.count);
            let (from, into) = (table.row(*token as usize).cast_const(), out.row_mut(row).as_mut_ptr());
            for at in (0..n).step_by(LANES) {
                // SAFETY: `n` numbers in each.
                unsafe { (simd.load(from.add(at), n - at) * simd.splat(scale)).store(into.add(at), n - at) };
            }
        }
    }));
}

/// c·tanh(logit / c) in place.
pub fn soft_cap(logits: &mut [f32], cap: f64) {
    let all = logits.len();
    computing!(simd => {
        let (first, cap) = (logits.as_mut_ptr() as usize, cap as f32);
        parallel(all.div_ceil(LANES), GRAIN / LANES, |part| {
            simd.run(|| {
                for chunk in part {
                    let at = chunk * LANES;
                    let place = (first as *mut f32).wrapping_add(at);
                    // SAFETY: each chunk is one thread's.
                    unsafe {
                        let logit = simd.load(place.cast_const(), all - at);
                        ((logit * simd.splat(1.0 / cap)).tanh() * simd.splat(cap)).store(place, all - at);
                    }
                }
            });
        });
    });
}

/// The normalised rows, into the first columns of others.
pub fn norm<N: Number>(x: &Buffer<N>, weight: &Tensor, eps: f64, out: &mut Buffer<N>) {
    let weight = floats(weight).expect("f32 on the CPU");
    assert!(x.columns() == weight.len() && out.columns() >= weight.len() && out.rows() == x.rows());
    let into = out.shared();
    computing!(simd => for_rows(x.rows(), weight.len(), |row| {
        // SAFETY: each row is one thread's; the instructions exist.
        unsafe { rms::forward_row(simd, x.row(row).as_ptr(), into.row(row), weight, eps as f32) };
    }));
}

/// Normalises `count` heads from the column `first` on, in place.
pub fn norm_heads<N: Number>(x: &mut Buffer<N>, first: usize, count: usize, weight: &Tensor, eps: f64) {
    let weight = floats(weight).expect("f32 on the CPU");
    assert!(first + count * weight.len() <= x.columns());
    let (rows, into) = (x.rows(), x.shared());
    computing!(simd => for_rows(rows, count * weight.len(), |row| {
        for head in 0..count {
            let at = into.row(row).wrapping_add(first + head * weight.len());
            // SAFETY: the columns are checked, each row is one thread's, and the instructions exist.
            unsafe { rms::forward_row(simd, at.cast_const(), at, weight, eps as f32) };
        }
    }));
}

/// Turns each row's queries and keys by the angles of its place in them.
pub fn rope<N: Number>(qkv: &mut Buffer<N>, heads: &Heads, angles: &[(&Angles, usize)]) {
    assert!(qkv.columns() == heads.width() && qkv.rows() == angles.len());
    let into = qkv.shared();
    computing!(simd => for_rows(angles.len(), heads.width(), |row| {
        let (Angles { cos, sin, half }, position) = angles[row];
        let of = |table: &'_ [f32]| table[position * half..(position + 1) * half].as_ptr();
        let (cos, sin) = (of(cos), of(sin));
        for head in 0..heads.queries + heads.keys {
            let at = into.row(row).wrapping_add(head * heads.dim);
            // SAFETY: the buffer has these heads, each row is one thread's, and the instructions exist.
            unsafe { turn::turn_head(simd, at, cos, sin, *half, false) };
        }
    }));
}

/// activation(gate) · up, into the first columns of others.
pub fn gated<N: Number>(gate_up: &Buffer<N>, activation: Activation, out: &mut Buffer<N>) {
    let n = gate_up.columns() / 2;
    assert!(out.columns() >= n && out.rows() == gate_up.rows());
    let into = out.shared();
    computing!(simd => for_rows(gate_up.rows(), n, |row| {
        // SAFETY: the columns are checked, each row is one thread's, and the instructions exist.
        unsafe { gate::forward_row(simd, gate_up.row(row).as_ptr(), activation, into.row(row), n) };
    }));
}

/// Adds one buffer to another.
pub fn add<N: Number>(x: &Buffer<N>, into: &mut Buffer<N>) {
    assert_eq!((x.columns(), x.rows()), (into.columns(), into.rows()));
    let (rows, n) = (x.rows(), x.columns());
    computing!(simd => simd.run(|| {
        for row in 0..rows {
            let (from, to) = (x.row(row).as_ptr(), into.row_mut(row).as_mut_ptr());
            for at in (0..n).step_by(LANES) {
                // SAFETY: `n` numbers in each.
                unsafe {
                    let sum = simd.load(from.add(at), n - at) + simd.load(to.add(at), n - at);
                    sum.store(to.add(at), n - at);
                }
            }
        }
    }));
}
