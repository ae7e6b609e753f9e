//! Dropout, a row at a time, thirty-two numbers at a time.

use tch::{Device, Tensor};

use super::lanes::{LANES, Make, Number, Simd, Words, run};
use super::rows::{Rows, by_kind, for_rows, optional};
use crate::mask::{FACTORS, Mask, SPREAD};

pub(crate) fn dropout(x: &Tensor, base: Option<&Tensor>, mask: &Mask, scale: f64) -> Option<Tensor> {
    by_kind!(x, run(x, base, mask, scale))
}

fn run<S: Simd, N: Number>(
    simd: S,
    x: &Tensor,
    base: Option<&Tensor>,
    mask: &Mask,
    scale: f64,
) -> Option<Tensor> {
    let out = Tensor::empty(x.size(), (x.kind(), Device::Cpu));
    let (rows, into) = (Rows::<N>::of(x)?, Rows::<N>::of(&out)?);
    let base = optional(base, Rows::<N>::of)?;
    assert!(base.is_none_or(|base| (base.count, base.columns) == (rows.count, rows.columns)));
    let n = rows.columns;
    for_rows(rows.count, n, |i| {
        let base = base.map(|base| base.row(i).cast_const());
        let (key, threshold, scale) = match mask.key(i) {
            Some(key) => (key, mask.threshold(), scale as f32),
            None => ([0; 2], 0, 1.0),
        };
        // SAFETY: each row is one thread's; the instructions exist.
        unsafe { row(simd, rows.row(i), base, into.row(i), n, Bits::new(simd, key), threshold, scale) };
    });
    Some(out)
}

/// The random bits of sixteen pairs of places.
#[derive(Clone, Copy)]
pub(super) struct Bits<S: Simd> {
    keys: [Words<S>; 2],
}

impl<S: Simd> Bits<S> {
    /// The same key for all.
    #[inline(always)]
    pub(super) fn new(simd: S, key: [u32; 2]) -> Self {
        Self { keys: [simd.word(key[0]), simd.word(key[1])] }
    }

    /// A key for each.
    #[inline(always)]
    pub(super) fn of_keys(simd: S, keys: &[[u32; LANES]; 2]) -> Self {
        // SAFETY: there are sixteen words each.
        Self { keys: unsafe { [simd.words(keys[0].as_ptr()), simd.words(keys[1].as_ptr())] } }
    }

    #[inline(always)]
    pub(super) fn of(&self, simd: S, pairs: Words<S>) -> Words<S> {
        let x = pairs.times(simd.word(SPREAD)).xor(self.keys[0]).folded::<16>();
        let x = x.times(simd.word(FACTORS[0])).folded::<13>().xor(self.keys[1]);
        x.times(simd.word(FACTORS[1])).folded::<16>()
    }
}

/// # Safety
/// All rows have `n` numbers, and no other thread writes `out`.
#[expect(clippy::too_many_arguments, reason = "a row of each")]
unsafe fn row<S: Simd, N: Number>(
    simd: S,
    x: *const N,
    base: Option<*const N>,
    out: *mut N,
    n: usize,
    bits: Bits<S>,
    threshold: u16,
    scale: f32,
) {
    run!(simd, {
        let (scale, zero) = (simd.splat(scale), simd.splat(0.0));
        for at in (0..n).step_by(2 * LANES) {
            let kept = bits.of(simd, simd.count().plus((at / 2) as i32)).halves_from(threshold);
            for (half, at) in [at, at + LANES].into_iter().enumerate().filter(|(_, at)| *at < n) {
                let kept = (kept >> (half * LANES)) as u16;
                // SAFETY: the rows have `n` numbers.
                unsafe {
                    let mut sum = (simd.load(x.add(at), n - at) * scale).or(kept, zero);
                    if let Some(base) = base {
                        sum = sum + simd.load(base.add(at), n - at);
                    }
                    sum.store(out.add(at), n - at);
                }
            }
        }
    });
}
