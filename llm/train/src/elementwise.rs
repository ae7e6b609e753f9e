//! Loops over flat f32 buffers of the CPU, as the optimizer needs them: element by element on all threads, norms, ranges.
#![allow(unsafe_code)]

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use tokensieve_kernels::shim;
use tokensieve_model::Parameters;

/// Elements added up in one go. Fixed, so that a sum is the same with any number of threads (choice: 64 KiB).
const PART: usize = 16_384;

/// Calls `body` with the same part of several contiguous f32 tensors of one length, on all threads.
///
/// # Panics
/// If the tensors are not contiguous f32 tensors of one length on the CPU.
pub(super) fn zip<const N: usize>(tensors: [&Tensor; N], body: impl Fn([&mut [f32]; N]) + Sync) {
    let length = tensors[0].numel();
    for tensor in tensors {
        assert_eq!((tensor.numel(), tensor.kind(), tensor.device()), (length, Kind::Float, Device::Cpu));
        assert!(tensor.is_contiguous());
    }
    let starts = tensors.map(|tensor| tensor.data_ptr() as usize);
    shim::parallel(length, PART, |part| {
        body(starts.map(|start| {
            // SAFETY: the tensors outlive the call and are contiguous f32 of this length, and no two parts overlap. The
            // tensors themselves are different buffers, as the callers' parameters, gradients and moments are.
            unsafe { std::slice::from_raw_parts_mut((start as *mut f32).add(part.start), part.len()) }
        }));
    });
}

/// Calls `body` with the values of a contiguous f32 tensor.
///
/// # Panics
/// If it is not a contiguous f32 tensor on the CPU.
pub(super) fn with_values<T>(tensor: &Tensor, body: impl FnOnce(&mut [f32]) -> T) -> T {
    assert_eq!((tensor.kind(), tensor.device()), (Kind::Float, Device::Cpu));
    assert!(tensor.is_contiguous());
    // SAFETY: the tensor outlives the call and is contiguous f32 of this length; nothing else reads or writes it meanwhile.
    body(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) })
}

/// The Euclidean length of a flat tensor, summed in f64 in an order that does not depend on threads.
pub(super) fn norm(tensor: &Tensor) -> f64 {
    if tensor.device() != Device::Cpu {
        return tensor.norm().double_value(&[]);
    }
    let length = tensor.numel();
    let mut sums = vec![0.0_f64; length.div_ceil(PART)];
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float);
    let (from, to) = (tensor.data_ptr() as usize, sums.as_mut_ptr() as usize);
    shim::parallel(sums.len(), 1, |parts| {
        for part in parts {
            let range = part * PART..((part + 1) * PART).min(length);
            // SAFETY: the tensor outlives the call and is contiguous f32 of this length; each part has its own sum.
            unsafe {
                let values = std::slice::from_raw_parts((from as *const f32).add(range.start), range.len());
                *(to as *mut f64).add(part) = sum_of_squares(values);
            }
        }
    });
    sums.iter().sum::<f64>().sqrt()
}

/// Summed in eight lanes, which the compiler keeps in one register.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    let rest: f64 = rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Stretches of the buffer that hold only matrices (`true`), or only vectors: weight decay is for matrices, since a
/// norm's scale or a bias has no size that could grow idly.
pub(super) fn runs(parameters: &Parameters) -> Vec<(Range<i64>, bool)> {
    let place = |name| Some((parameters.range(name)?, parameters.value(name)?.dim() > 1));
    let mut places: Vec<_> = parameters.names().filter_map(place).collect();
    places.sort_by_key(|(range, _)| range.start);
    let mut runs: Vec<(Range<i64>, bool)> = Vec::new();
    for (range, matrix) in places {
        match runs.last_mut() {
            Some((run, same)) if *same == matrix => run.end = range.end,
            _ => runs.push((range, matrix)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_is_the_norm() {
        let tensor = Tensor::arange(100_003, (Kind::Float, Device::Cpu)).sin();
        let wanted = tensor.to_kind(Kind::Double).norm().double_value(&[]);
        assert!((norm(&tensor) - wanted).abs() < 1e-9 * wanted);
        let threads = tch::get_num_threads();
        let several = norm(&tensor);
        tch::set_num_threads(1);
        assert_eq!(norm(&tensor), several);
        tch::set_num_threads(threads);
    }

    #[test]
    fn vectors_and_matrices_lie_in_runs() {
        let shapes = [("b", vec![2, 2]), ("a", vec![2, 3]), ("c", vec![5]), ("d", vec![1, 1])];
        let shapes = shapes.map(|(name, shape)| (name.to_owned(), shape));
        assert_eq!(
            runs(&Parameters::zeros(shapes, Device::Cpu)),
            [(0..10, true), (10..15, false), (15..16, true)]
        );
    }
}
