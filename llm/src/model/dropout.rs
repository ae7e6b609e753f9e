//! Dropout of an adapter's input: which numbers are dropped follows from a hash of the step's seed and their place, so
//! that nothing is stored and the backward pass finds the same again.
#![allow(unsafe_code)]

use tch::{Device, Kind, Tensor};

use crate::shim;

/// A step's dropout.
#[derive(Debug)]
pub(super) struct Dropout {
    probability: f64,
    seed: u64,
    /// Which rows of the forward pass the present ones are, i64; `None`: the same.
    rows: Option<Tensor>,
}

/// The dropout of one layer's one input.
pub(super) struct Mask<'a> {
    probability: f64,
    key: u32,
    rows: Option<&'a Tensor>,
}

impl Dropout {
    /// `None` if nothing is dropped.
    pub(super) fn new(probability: f64, seed: u64) -> Option<Self> {
        (probability > 0.0).then_some(Self { probability, seed, rows: None })
    }

    pub(super) fn of_rows(self, rows: &Tensor) -> Self {
        Self { rows: Some(rows.shallow_clone()), ..self }
    }

    pub(super) fn mask(&self, layer: u32, slot: u32) -> Mask<'_> {
        let mut key = mix(self.seed as u32);
        for word in [(self.seed >> 32) as u32, layer, slot] {
            key = mix(key ^ word.wrapping_add(0x9e37_79b9));
        }
        Mask { probability: self.probability, key, rows: self.rows.as_ref() }
    }
}

/// The finaliser of `MurmurHash3`.
#[inline]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

/// What columns are spread by before they are mixed (2³²/φ, odd).
const SPREAD: u32 = 0x9e37_79b1;

impl Mask<'_> {
    /// What the kept are multiplied by, for the mean to stay. Not part of [`Mask::apply`]: it costs less on the small
    /// result of the product that follows.
    pub(super) fn scale(&self) -> f64 {
        1.0 / (1.0 - self.probability)
    }

    /// x `[T, I]` with the dropped numbers at 0.
    pub(super) fn apply(&self, x: &Tensor) -> Tensor {
        if x.device() == Device::Cpu { self.apply_on_cpu(x) } else { self.apply_by_operators(x) }
    }

    fn threshold(&self) -> u32 {
        (self.probability * 2_f64.powi(32)) as u32
    }

    fn apply_on_cpu(&self, x: &Tensor) -> Tensor {
        let out = Tensor::empty(x.size(), (x.kind(), x.device()));
        let [tokens, columns] = x.size()[..] else { panic!("dropout is of a matrix") };
        let rows: Option<Vec<i64>> = self.rows.map(|rows| rows.try_into().expect("rows are i64"));
        let stride = x.stride()[0] as usize;
        assert!(x.stride()[1] == 1 && rows.as_ref().is_none_or(|rows| rows.len() == tokens as usize));
        let (source, target, columns) = (x.data_ptr() as usize, out.data_ptr() as usize, columns as usize);
        let (own, threshold, kind) = (self.key, self.threshold(), x.kind());
        shim::parallel(tokens as usize, 16, |range| {
            for row in range {
                let key = mix(own ^ rows.as_ref().map_or(row as u32, |rows| rows[row] as u32));
                // Sound: row < T, both tensors outlive the call, and each row is written by one thread.
                unsafe {
                    match kind {
                        Kind::Float => drop_row::<u32>(
                            (source as *const u32).add(row * stride),
                            (target as *mut u32).add(row * columns),
                            columns,
                            key,
                            threshold,
                        ),
                        Kind::BFloat16 => drop_row::<u16>(
                            (source as *const u16).add(row * stride),
                            (target as *mut u16).add(row * columns),
                            columns,
                            key,
                            threshold,
                        ),
                        kind => panic!("dropout of {kind:?}"),
                    }
                }
            }
        });
        out
    }

    /// The same by libtorch's operators, in 64 bits of which the lower 32 count.
    fn apply_by_operators(&self, x: &Tensor) -> Tensor {
        let [tokens, columns] = x.size()[..] else { panic!("dropout is of a matrix") };
        let options = (Kind::Int64, x.device());
        let rows = self.rows.map_or_else(|| Tensor::arange(tokens, options), Tensor::shallow_clone);
        let key = mix_tensor(&rows.bitwise_xor(i64::from(self.key)));
        let spread = (Tensor::arange(columns, options) * i64::from(SPREAD)).bitwise_and(0xffff_ffff_i64);
        let hash = mix_tensor(&key.unsqueeze(1).bitwise_xor_tensor(&spread.unsqueeze(0)));
        x * hash.ge(i64::from(self.threshold())).to_kind(x.kind())
    }
}

fn mix_tensor(x: &Tensor) -> Tensor {
    let shifted = |x: &Tensor, by: i64| x.bitwise_xor_tensor(&x.bitwise_right_shift_tensor_scalar(by));
    let times = |x: Tensor, by: i64| (x * by).bitwise_and(0xffff_ffff_i64);
    let x = times(shifted(x, 16), 0x85eb_ca6b);
    let x = times(shifted(&x, 13), 0xc2b2_ae35);
    shifted(&x, 16)
}

/// Copies a row, the dropped at 0.
///
/// # Safety
/// Both pointers are good for `columns` numbers.
unsafe fn drop_row<T: Copy + Default>(
    source: *const T,
    target: *mut T,
    columns: usize,
    key: u32,
    threshold: u32,
) {
    #[inline]
    fn row<T: Copy + Default>(source: &[T], target: &mut [T], key: u32, threshold: u32) {
        for (column, (from, to)) in (0_u32..).zip(source.iter().zip(target)) {
            let kept = mix(key ^ column.wrapping_mul(SPREAD)) >= threshold;
            *to = if kept { *from } else { T::default() };
        }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn row_avx512<T: Copy + Default>(source: &[T], target: &mut [T], key: u32, threshold: u32) {
        row(source, target, key, threshold);
    }
    // Sound by the caller's promise.
    let (source, target) = unsafe {
        (std::slice::from_raw_parts(source, columns), std::slice::from_raw_parts_mut(target, columns))
    };
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512bw") && std::arch::is_x86_feature_detected!("avx512vl") {
        // Sound: the machine has them.
        return unsafe { row_avx512(source, target, key, threshold) };
    }
    row(source, target, key, threshold);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_drops_what_the_operators_drop() {
        let dropout = Dropout::new(0.3, 0x1234_5678_9abc_def0).unwrap();
        for kind in [Kind::Float, Kind::BFloat16] {
            let x = (Tensor::randn([37, 90], (Kind::Float, Device::Cpu)) + 10.0).to_kind(kind);
            let rows = Tensor::from_slice(&[3_i64, 7, 30, 36]);
            let (all, x_rows) = (x.narrow(1, 0, 71), x.narrow(1, 0, 71).index_select(0, &rows));
            let mask = dropout.mask(2, 1);
            let dropped = mask.apply(&all);
            assert!(dropped == mask.apply_by_operators(&all));
            let some = Dropout::new(0.3, 0x1234_5678_9abc_def0).unwrap().of_rows(&rows);
            assert!(some.mask(2, 1).apply(&x_rows) == dropped.index_select(0, &rows));
            assert!(some.mask(2, 1).apply_by_operators(&x_rows) == dropped.index_select(0, &rows));
        }
    }

    #[test]
    fn the_rate_is_as_asked_and_masks_differ() {
        let x = Tensor::ones([500, 400], (Kind::Float, Device::Cpu));
        let dropout = Dropout::new(0.1, 7).unwrap();
        let (one, other) = (dropout.mask(0, 0).apply(&x), dropout.mask(0, 1).apply(&x));
        // 200,000 draws: five standard deviations of the share are 0.0034.
        let kept = one.mean(Kind::Float).double_value(&[]);
        assert!((kept - 0.9).abs() < 0.0034, "{kept}");
        let both = (&one * &other).mean(Kind::Float).double_value(&[]);
        assert!((both - 0.81).abs() < 0.0044, "{both}");
        for dim in [0, 1] {
            let shares = one.mean_dim(dim, false, Kind::Float);
            assert!(shares.min().double_value(&[]) > 0.8, "a row or column is dropped too often");
        }
    }
}
