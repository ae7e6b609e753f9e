//! One row of logits at a time in AVX-512: read once for the statistics, once for the gradient.
//!
//! A row is bf16 or f32 (`BF16`), never aligned by promise; everything is computed in f32, sums end in f64.

#[allow(clippy::wildcard_imports, reason = "intrinsics are one vocabulary")]
use std::arch::x86_64::*;

/// Numbers in a register.
pub const LANES: usize = 16;

/// Numbers whose maximum is taken before their exponentials are summed: 16 KiB in f32, so that the second reading comes
/// from the first cache (choice).
const BLOCK: usize = 4096;

/// 2^t on [−½, ½] by a polynomial of degree 5, relative error at most 7.5e-8 (fitted for the least largest error).
const EXP2: [f32; 6] =
    [1.000_000_1, 0.693_146_97, 0.240_221_2, 0.055_507_133, 0.009_675_541, 0.001_327_647_2];

/// Σ exp(z − max) and Σ exp(z − max)·(z − max) of a row.
#[derive(Clone, Copy, Debug)]
pub struct Sums {
    pub max: f32,
    pub sum: f64,
    pub weighted: f64,
}

/// What a row's gradient is made of: `scale`·p − `reference`·q − `flat`.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub log_sum_exp: f32,
    pub scale: f32,
    pub reference: f32,
    pub reference_log_sum_exp: f32,
    pub flat: f32,
    /// Soft-caps of the logits and of the reference's; infinite where there is none.
    pub cap: f32,
    pub reference_cap: f32,
}

/// What f32 has not of log₂ e.
const LOG2_E_REST: f32 = (std::f64::consts::LOG2_E - std::f32::consts::LOG2_E as f64) as f32;

/// exp, relative error at most 3e-7, nothing below 2⁻¹²⁶; not a number stays so.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn exp(x: __m512) -> __m512 {
    let x = _mm512_max_ps(_mm512_set1_ps(-126.0 * std::f32::consts::LN_2), x);
    let log2_e = _mm512_set1_ps(std::f32::consts::LOG2_E);
    let whole =
        _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm512_mul_ps(x, log2_e));
    // In two steps, for a product near 100 has too few digits behind the point.
    let rest = _mm512_fmsub_ps(x, log2_e, whole);
    let rest = _mm512_fmadd_ps(x, _mm512_set1_ps(LOG2_E_REST), rest);
    let [c0, c1, c2, c3, c4, c5] = EXP2.map(|c| _mm512_set1_ps(c));
    let mut sum = _mm512_fmadd_ps(c5, rest, c4);
    for c in [c3, c2, c1, c0] {
        sum = _mm512_fmadd_ps(sum, rest, c);
    }
    _mm512_scalef_ps(sum, whole)
}

/// tanh, absolute error 1e-6.
#[inline]
#[target_feature(enable = "avx512f")]
fn tanh(x: __m512) -> __m512 {
    // Beyond ±20 it is ±1 in f32, and exp does not overflow.
    let limit = _mm512_set1_ps(20.0);
    let x = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), limit), _mm512_min_ps(limit, x));
    let one = _mm512_set1_ps(1.0);
    let e = exp(_mm512_add_ps(x, x));
    _mm512_div_ps(_mm512_sub_ps(e, one), _mm512_add_ps(e, one))
}

/// Sixteen numbers from place `i` on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load<const BF16: bool>(row: *const u8, i: usize) -> __m512 {
    // Sound: the caller's row reaches to i + 16.
    unsafe {
        if BF16 {
            let halves = _mm256_loadu_si256(row.add(2 * i).cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
        } else {
            _mm512_loadu_ps(row.add(4 * i).cast())
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store<const BF16: bool>(row: *mut u8, i: usize, x: __m512) {
    // Sound: the caller's row reaches to i + 16.
    unsafe {
        if BF16 {
            // To the nearest, of equals the even one.
            let bits = _mm512_castps_si512(x);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            _mm256_storeu_si256(row.add(2 * i).cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(up)));
        } else {
            _mm512_storeu_ps(row.add(4 * i).cast(), x);
        }
    }
}

/// One number of a row.
///
/// # Safety
/// The row reaches beyond `i`.
#[inline]
pub unsafe fn get<const BF16: bool>(row: *const u8, i: usize) -> f32 {
    // Sound: see above.
    unsafe {
        if BF16 {
            half::bf16::from_bits(row.add(2 * i).cast::<u16>().read_unaligned()).to_f32()
        } else {
            row.add(4 * i).cast::<f32>().read_unaligned()
        }
    }
}

/// Overwrites one number of a row.
///
/// # Safety
/// The row reaches beyond `i`.
#[inline]
pub unsafe fn set<const BF16: bool>(row: *mut u8, i: usize, x: f32) {
    // Sound: see above.
    unsafe {
        if BF16 {
            row.add(2 * i).cast::<u16>().write_unaligned(half::bf16::from_f32(x).to_bits());
        } else {
            row.add(4 * i).cast::<f32>().write_unaligned(x);
        }
    }
}

/// Sixteen logits, capped.
#[inline]
#[target_feature(enable = "avx512f")]
pub unsafe fn logits<const BF16: bool, const CAP: bool>(row: *const u8, i: usize, cap: f32) -> __m512 {
    // Sound: as `load`.
    let z = unsafe { load::<BF16>(row, i) };
    if CAP { _mm512_mul_ps(tanh(_mm512_div_ps(z, _mm512_set1_ps(cap))), _mm512_set1_ps(cap)) } else { z }
}

/// The sums of a row of `n` logits, capped at `cap` where it is finite.
///
/// # Safety
/// The row has `n` numbers; the processor has AVX-512.
pub unsafe fn sums<const BF16: bool>(row: *const u8, n: usize, cap: f32) -> Sums {
    // Sound: passed on.
    unsafe {
        if cap.is_finite() { sums_of::<BF16, true>(row, n, cap) } else { sums_of::<BF16, false>(row, n, cap) }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn sums_of<const BF16: bool, const CAP: bool>(row: *const u8, n: usize, cap: f32) -> Sums {
    let mut all = Sums { max: f32::NEG_INFINITY, sum: 0.0, weighted: 0.0 };
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(BLOCK) {
        let end = (start + BLOCK).min(whole);
        // The maximum of the uncapped: capping keeps the order.
        let mut max = _mm512_set1_ps(f32::NEG_INFINITY);
        for i in (start..end).step_by(LANES) {
            // Sound: i + 16 ≤ n.
            max = _mm512_max_ps(max, unsafe { load::<BF16>(row, i) });
        }
        rescale(&mut all, capped(_mm512_reduce_max_ps(max), cap));
        let max = _mm512_set1_ps(all.max);
        let (mut sum, mut weighted) = ([_mm512_setzero_ps(); 4], [_mm512_setzero_ps(); 4]);
        let mut i = start;
        while i + 4 * LANES <= end {
            for lane in 0..4 {
                // Sound: i + 64 ≤ n.
                let z = unsafe { logits::<BF16, CAP>(row, i + lane * LANES, cap) };
                add(&mut sum[lane], &mut weighted[lane], _mm512_sub_ps(z, max));
            }
            i += 4 * LANES;
        }
        while i < end {
            // Sound: i + 16 ≤ n.
            let z = unsafe { logits::<BF16, CAP>(row, i, cap) };
            add(&mut sum[0], &mut weighted[0], _mm512_sub_ps(z, max));
            i += LANES;
        }
        let total = |parts: [__m512; 4]| {
            let [a, b, c, d] = parts;
            f64::from(_mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d))))
        };
        all.sum += total(sum);
        all.weighted += total(weighted);
    }
    for i in whole..n {
        // Sound: i < n.
        let z = capped(unsafe { get::<BF16>(row, i) }, cap);
        rescale(&mut all, z);
        let below = f64::from(z - all.max);
        all.sum += below.exp();
        all.weighted += below.exp() * below;
    }
    all
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(sum: &mut __m512, weighted: &mut __m512, below: __m512) {
    let e = exp(below);
    *sum = _mm512_add_ps(*sum, e);
    *weighted = _mm512_fmadd_ps(e, below, *weighted);
}

/// Makes the sums those about a larger maximum.
#[inline]
fn rescale(sums: &mut Sums, max: f32) {
    if max > sums.max {
        if sums.sum > 0.0 {
            let down = f64::from(sums.max) - f64::from(max);
            sums.weighted = down.exp() * (sums.weighted + down * sums.sum);
            sums.sum *= down.exp();
        }
        sums.max = max;
    }
}

/// c·tanh(z / c), where c is finite.
#[inline]
pub fn capped(z: f32, cap: f32) -> f32 {
    if cap.is_finite() { cap * (z / cap).tanh() } else { z }
}

/// Writes the gradient on `n` logits into `out`, which may be where they stand. With a reference, returns −Σ q log p.
///
/// # Safety
/// All rows have `n` numbers (`reference` may be null, where its pull is zero); the processor has AVX-512.
pub unsafe fn gradient<const BF16: bool>(
    row: *const u8,
    reference: *const u8,
    out: *mut u8,
    n: usize,
    mix: &Mix,
) -> f64 {
    // Sound: passed on.
    unsafe {
        match (mix.cap.is_finite(), !reference.is_null(), mix.reference_cap.is_finite()) {
            (false, false, _) => mixed::<BF16, false, false, false>(row, reference, out, n, mix),
            (false, true, false) => mixed::<BF16, false, true, false>(row, reference, out, n, mix),
            (false, true, true) => mixed::<BF16, false, true, true>(row, reference, out, n, mix),
            (true, false, _) => mixed::<BF16, true, false, false>(row, reference, out, n, mix),
            (true, true, false) => mixed::<BF16, true, true, false>(row, reference, out, n, mix),
            (true, true, true) => mixed::<BF16, true, true, true>(row, reference, out, n, mix),
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn mixed<const BF16: bool, const CAP: bool, const REFERENCE: bool, const REFERENCE_CAP: bool>(
    row: *const u8,
    reference: *const u8,
    out: *mut u8,
    n: usize,
    mix: &Mix,
) -> f64 {
    let all = |x: f32| _mm512_set1_ps(x);
    let (log_sum_exp, scale, flat) = (all(mix.log_sum_exp), all(mix.scale), all(mix.flat));
    let (pull, other_log_sum_exp) = (all(mix.reference), all(mix.reference_log_sum_exp));
    let mut cross_entropy = all(0.0);
    let whole = n / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        // Sound: i + 16 ≤ n, here and below.
        let z = unsafe { logits::<BF16, CAP>(row, i, mix.cap) };
        let log_p = _mm512_sub_ps(z, log_sum_exp);
        let mut x = _mm512_fmsub_ps(scale, exp(log_p), flat);
        if REFERENCE {
            let other = unsafe { logits::<BF16, REFERENCE_CAP>(reference, i, mix.reference_cap) };
            let q = exp(_mm512_sub_ps(other, other_log_sum_exp));
            x = _mm512_fnmadd_ps(pull, q, x);
            cross_entropy = _mm512_fnmadd_ps(q, log_p, cross_entropy);
        }
        if CAP {
            let share = _mm512_div_ps(z, all(mix.cap));
            x = _mm512_mul_ps(x, _mm512_fnmadd_ps(share, share, all(1.0)));
        }
        unsafe { store::<BF16>(out, i, x) };
    }
    let mut sum = f64::from(_mm512_reduce_add_ps(cross_entropy));
    for i in whole..n {
        // Sound: i < n.
        let (x, part) = unsafe { one::<BF16>(row, reference, i, mix) };
        // Sound: likewise.
        unsafe { set::<BF16>(out, i, x) };
        sum += f64::from(part);
    }
    sum
}

/// The gradient on one logit, and its part of −Σ q log p.
#[inline]
unsafe fn one<const BF16: bool>(row: *const u8, reference: *const u8, i: usize, mix: &Mix) -> (f32, f32) {
    // Sound: the caller's rows reach beyond i.
    let z = capped(unsafe { get::<BF16>(row, i) }, mix.cap);
    let log_p = z - mix.log_sum_exp;
    let mut x = mix.scale * log_p.exp() - mix.flat;
    let mut cross_entropy = 0.0;
    if !reference.is_null() {
        let other = capped(unsafe { get::<BF16>(reference, i) }, mix.reference_cap);
        let q = (other - mix.reference_log_sum_exp).exp();
        x -= mix.reference * q;
        cross_entropy = -q * log_p;
    }
    (x * (1.0 - (z / mix.cap).powi(2)), cross_entropy)
}

/// The mean of a row's logits, capped.
///
/// # Safety
/// The row has `n` numbers.
pub unsafe fn mean<const BF16: bool>(row: *const u8, n: usize, cap: f32) -> f64 {
    // Sound: i < n.
    (0..n).map(|i| f64::from(capped(unsafe { get::<BF16>(row, i) }, cap))).sum::<f64>() / n as f64
}

/// Σ x·y of two rows.
///
/// # Safety
/// Both have `n` numbers; the processor has AVX-512.
#[target_feature(enable = "avx512f")]
pub unsafe fn dot<const BF16: bool>(x: *const u8, y: *const u8, n: usize) -> f32 {
    let mut sum = _mm512_setzero_ps();
    let whole = n / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        // Sound: i + 16 ≤ n.
        sum = unsafe { _mm512_fmadd_ps(load::<BF16>(x, i), load::<BF16>(y, i), sum) };
    }
    // Sound: i < n.
    let rest: f32 = (whole..n).map(|i| unsafe { get::<BF16>(x, i) * get::<BF16>(y, i) }).sum();
    _mm512_reduce_add_ps(sum) + rest
}

/// The k largest of a row, largest first, of equals the first: places and values as they stand.
///
/// # Safety
/// The row has `n` ≥ k ≥ 1 numbers; the processor has AVX-512.
#[target_feature(enable = "avx512f")]
pub unsafe fn largest<const BF16: bool>(row: *const u8, n: usize, k: usize, found: &mut Vec<(f32, u32)>) {
    found.clear();
    let offer = |i: usize, found: &mut Vec<(f32, u32)>| {
        // Sound: i < n.
        let x = unsafe { get::<BF16>(row, i) };
        if found.len() == k {
            if x <= found[k - 1].0 {
                return;
            }
            found.pop();
        }
        let place = found.partition_point(|(known, _)| *known >= x);
        found.insert(place, (x, i as u32));
    };
    let whole = n / LANES * LANES;
    let first = whole.min(k.next_multiple_of(LANES));
    (0..first).for_each(|i| offer(i, found));
    for i in (first..whole).step_by(LANES) {
        // Sound: i + 16 ≤ n. Before k are found the threshold is below everything.
        let threshold = if found.len() == k { found[k - 1].0 } else { f32::NEG_INFINITY };
        let x = unsafe { load::<BF16>(row, i) };
        let mut above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_set1_ps(threshold));
        while above != 0 {
            offer(i + above.trailing_zeros() as usize, found);
            above &= above - 1;
        }
    }
    (whole..n).for_each(|i| offer(i, found));
}

/// The largest relative error of [`exp`] over (−80, 0].
#[cfg(test)]
#[target_feature(enable = "avx512f")]
pub fn worst_exp() -> f64 {
    let mut worst: f64 = 0.0;
    for i in 0..100_000_u32 {
        let x = i as f32 * -80.0 / 100_000.0;
        let own = f64::from(_mm512_cvtss_f32(exp(_mm512_set1_ps(x))));
        worst = worst.max((own / f64::from(x).exp() - 1.0).abs());
    }
    worst
}
