//! The sums on processors with AVX-512, rows shared among libtorch's threads.
//!
//! A row's logits of a group of passes are read once for their sums, and once more, while the cache may still hold them,
//! for the probabilities; these are added in registers, so that sums over passes are touched once for a group.
#![allow(unsafe_code)]
#![allow(clippy::wildcard_imports, reason = "intrinsics are one vocabulary")]

use std::arch::x86_64::*;
use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::{GROUPS, Row, Sums};
use tokensieve_kernels::shim;
use tokensieve_model::head::kernels::{LANES, capped, exp, get, logits, sums};

/// Numbers whose terms are added in f32 before the sum goes on in f64 (choice).
const BLOCK: usize = 2048;

/// Whether the kernels can be used for these numbers.
pub(super) fn can(x: &Tensor) -> bool {
    x.device() == Device::Cpu
        && matches!(x.kind(), Kind::Float | Kind::BFloat16)
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
}

/// See [`super::Sums::add`].
pub(super) fn add(all: &mut Sums, passes: Range<usize>, logits_nmv: &Tensor, soft_cap: Option<f64>) {
    let [rows, m, vocabulary] = logits_nmv.size()[..] else { panic!("rows, passes and tokens") };
    assert!(logits_nmv.is_contiguous() && vocabulary == all.probabilities.size()[2]);
    let (m, n) = (m as usize, vocabulary as usize);
    let (groups, runs) = (all.groups, all.runs(passes));
    let bytes = logits_nmv.kind().elt_size_in_bytes();
    let start = logits_nmv.data_ptr() as usize;
    let [p, l] = [&all.probabilities, &all.logarithms].map(|sums| sums.data_ptr() as usize);
    let entropies = all.entropies.as_mut_ptr() as usize;
    let cap = soft_cap.map_or(f32::INFINITY, |cap| cap as f32);
    shim::parallel(rows as usize, 1, |part| {
        for row in part {
            for (group, run) in &runs {
                let place = row * groups + group;
                // Sound: all tensors live through the call and have these rows; each row is one thread's; `can` has
                // asked for the instructions.
                unsafe {
                    let first = (start as *const u8).add((row * m + run.start) * n * bytes);
                    let passes = Passes { first, stride: n * bytes, count: run.len(), n, cap };
                    let (p, l) = ((p as *mut f32).add(place * n), (l as *mut f32).add(place * n));
                    *(entropies as *mut f64).add(place) += match (bytes == 2, cap.is_finite()) {
                        (true, false) => add_passes::<true, false>(&passes, p, l),
                        (true, true) => add_passes::<true, true>(&passes, p, l),
                        (false, false) => add_passes::<false, false>(&passes, p, l),
                        (false, true) => add_passes::<false, true>(&passes, p, l),
                    };
                }
            }
        }
    });
}

/// A row's logits in some passes.
struct Passes {
    first: *const u8,
    /// Bytes between passes.
    stride: usize,
    count: usize,
    /// Numbers of a pass.
    n: usize,
    cap: f32,
}

/// Adds probabilities and their logarithms; returns the sum of entropies.
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn add_passes<const BF16: bool, const CAP: bool>(passes: &Passes, p: *mut f32, l: *mut f32) -> f64 {
    let Passes { first, stride, count, n, cap } = *passes;
    let mut entropy = 0.0;
    let mut log_sums = Vec::with_capacity(count);
    for pass in 0..count {
        // Sound: that many numbers stand there, here and below.
        let of_pass = unsafe { sums::<BF16>(first.add(pass * stride), n, cap) };
        log_sums.push(of_pass.max + of_pass.sum.ln() as f32);
        entropy += of_pass.sum.ln() - of_pass.weighted / of_pass.sum;
    }
    let whole = n / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        unsafe {
            let (mut sum_p, mut sum_l) = (_mm512_loadu_ps(p.add(i)), _mm512_loadu_ps(l.add(i)));
            for (pass, log_sum) in log_sums.iter().enumerate() {
                let z = logits::<BF16, CAP>(first.add(pass * stride), i, cap);
                let log_p = _mm512_sub_ps(z, _mm512_set1_ps(*log_sum));
                sum_p = _mm512_add_ps(sum_p, exp(log_p));
                sum_l = _mm512_add_ps(sum_l, log_p);
            }
            _mm512_storeu_ps(p.add(i), sum_p);
            _mm512_storeu_ps(l.add(i), sum_l);
        }
    }
    for i in whole..n {
        for (pass, log_sum) in log_sums.iter().enumerate() {
            unsafe {
                let log_p = capped(get::<BF16>(first.add(pass * stride), i), cap) - log_sum;
                *p.add(i) += log_p.exp();
                *l.add(i) += log_p;
            }
        }
    }
    entropy
}

/// Of each row: of all groups, then without each.
pub(super) fn rows(all: &Sums, rows: usize, sizes: &[usize]) -> Vec<Vec<Row>> {
    let n = all.probabilities.size()[2] as usize;
    let groups = sizes.len();
    let [p, l] = [&all.probabilities, &all.logarithms].map(|sums| sums.data_ptr() as usize);
    let mut found = vec![Vec::new(); rows];
    let into = found.as_mut_ptr() as usize;
    shim::parallel(rows, 1, |part| {
        for row in part {
            let at = row * groups * n;
            // Sound: as above; each place of `found` is written by one thread.
            unsafe {
                let (p, l) = ((p as *const f32).add(at), (l as *const f32).add(at));
                *(into as *mut Vec<Row>).add(row) = of_row(p, l, n, sizes);
            }
        }
    });
    found
}

#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn of_row(p: *const f32, l: *const f32, n: usize, sizes: &[usize]) -> Vec<Row> {
    let groups = sizes.len();
    let passes: usize = sizes.iter().sum();
    // One group is all there is.
    let left_out = if groups > 1 { groups } else { 0 };
    let mut shares = [0.0_f32; GROUPS + 1];
    shares[0] = 1.0 / passes as f32;
    for (share, size) in shares[1..].iter_mut().zip(sizes).take(left_out) {
        *share = 1.0 / (passes - size) as f32;
    }
    let mut found = vec![Row::default(); left_out + 1];
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        let zero = _mm512_setzero_ps();
        let mut entropy = [zero; GROUPS + 1];
        let mut cross = [zero; GROUPS + 1];
        for i in (start..end).step_by(LANES) {
            let there = if end - i >= LANES { !0 } else { (1_u16 << (end - i)) - 1 };
            let (mut all_p, mut all_l) = (zero, zero);
            // Sound: only numbers that are there are read, here and below.
            let of = |from: *const f32, group: usize| unsafe {
                _mm512_maskz_loadu_ps(there, from.add(group * n + i))
            };
            for group in 0..groups {
                all_p = _mm512_add_ps(all_p, of(p, group));
                all_l = _mm512_add_ps(all_l, of(l, group));
            }
            for (place, share) in shares.iter().enumerate().take(left_out + 1) {
                let (mut sum_p, mut sum_l) = (all_p, all_l);
                if place > 0 {
                    sum_p = _mm512_sub_ps(sum_p, of(p, place - 1));
                    sum_l = _mm512_sub_ps(sum_l, of(l, place - 1));
                }
                let share = _mm512_set1_ps(*share);
                let mean = _mm512_mul_ps(_mm512_max_ps(sum_p, zero), share);
                entropy[place] = _mm512_fnmadd_ps(mean, log(mean), entropy[place]);
                cross[place] = _mm512_fmadd_ps(mean, _mm512_mul_ps(sum_l, share), cross[place]);
            }
        }
        for (row, (entropy, cross)) in found.iter_mut().zip(entropy.into_iter().zip(cross)) {
            row.entropy += f64::from(_mm512_reduce_add_ps(entropy));
            row.cross += f64::from(_mm512_reduce_add_ps(cross));
        }
    }
    found
}

/// The natural logarithm, relative error 2e-7; of 0 that of the smallest normal number.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn log(x: __m512) -> __m512 {
    let all = |x: f32| _mm512_set1_ps(x);
    let x = _mm512_max_ps(x, all(f32::MIN_POSITIVE));
    let mantissa = _mm512_getmant_ps::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(x);
    let exponent = _mm512_getexp_ps(x);
    // From √½ to √2.
    let high = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(mantissa, all(std::f32::consts::SQRT_2));
    let mantissa = _mm512_mask_mul_ps(mantissa, high, mantissa, all(0.5));
    let exponent = _mm512_mask_add_ps(exponent, high, exponent, all(1.0));
    let t = _mm512_sub_ps(mantissa, all(1.0));
    // The minimax polynomial of the Cephes library for (log(1 + t) − t + t²/2) / t³.
    let mut sum = all(7.037_683_6e-2);
    for term in [
        -0.115_146_1,
        0.116_769_99,
        -0.124_201_41,
        0.142_493_23,
        -0.166_680_58,
        0.200_007_14,
        -0.249_999_94,
        0.333_333_3,
    ] {
        sum = _mm512_fmadd_ps(sum, t, all(term));
    }
    let square = _mm512_mul_ps(t, t);
    let rest = _mm512_mul_ps(_mm512_mul_ps(sum, t), square);
    // ln 2 in two parts: the first has few digits, so that its multiples are exact.
    let rest = _mm512_fmadd_ps(exponent, all(-2.121_944_4e-4), rest);
    let rest = _mm512_fmadd_ps(square, all(-0.5), rest);
    _mm512_fmadd_ps(exponent, all(0.693_359_4), _mm512_add_ps(t, rest))
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use tokensieve_model::head::Unembedding;

    #[target_feature(enable = "avx512f,avx512dq")]
    fn log_of(x: f32) -> f32 {
        _mm512_cvtss_f32(log(_mm512_set1_ps(x)))
    }

    #[test]
    fn logarithms_are_right_to_a_millionth() {
        if !can(&Tensor::from(0.0_f32)) {
            return;
        }
        for i in 0..200_000 {
            let x = (f64::from(i) * -87.0 / 200_000.0).exp() as f32;
            // Sound: asked for.
            let own = f64::from(unsafe { log_of(x) });
            assert!((own - f64::from(x).ln()).abs() < 3e-7 * f64::from(x).ln().abs().max(0.3), "{x}");
        }
    }

    #[test]
    fn kernels_say_what_libtorch_says() {
        for (kind, cap, vocabulary, passes) in [
            (Kind::Float, None, 5003, 23),
            (Kind::BFloat16, None, 5003, 12),
            (Kind::Float, Some(30.0), 70, 3),
            (Kind::BFloat16, Some(30.0), 4100, 11),
            (Kind::Float, None, 40, 1),
        ] {
            tch::manual_seed(7);
            let random = |shape: [i64; 3]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let logits = (random([4, 1, vocabulary]) * 4.0 + random([4, passes, vocabulary])).to_kind(kind);
            if !can(&logits) {
                return;
            }
            let weight = Tensor::zeros([vocabulary, 1], (Kind::Float, Device::Cpu));
            let unembedding = Unembedding { weight: &weight, soft_cap: cap, name: "" };
            let mut own = Sums::new(5, passes as usize, &unembedding);
            let mut twin = Sums::new(5, passes as usize, &unembedding);
            let half = passes / 2;
            for (start, count) in [(0, half), (half, passes - half)].into_iter().filter(|(_, n)| *n > 0) {
                let part = logits.narrow(1, start, count).contiguous();
                let range = start as usize..(start + count) as usize;
                add(&mut own, range.clone(), &part, cap);
                plain::add(&mut twin, range, &part, cap);
            }
            let sizes: Vec<usize> = (0..own.groups).map(|group| own.size(group)).collect();
            let near = |a: f64, b: f64| assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{a} {b}");
            own.entropies.iter().zip(&twin.entropies).for_each(|(a, b)| near(*a, *b));
            for (own, twin) in rows(&own, 4, &sizes).iter().zip(plain::rows(&twin, 4, &sizes)) {
                assert_eq!(own.len(), twin.len());
                for (own, twin) in own.iter().zip(&twin) {
                    near(own.entropy, twin.entropy);
                    near(own.cross, twin.cross);
                }
            }
        }
    }
}
