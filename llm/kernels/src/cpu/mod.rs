//! The operations as kernels in AVX-512 (with its bf16 instructions) on libtorch's threads. Each entry gives `None`
//! where it does not apply: on another processor, for another kind of number or place of memory.
#![allow(unsafe_code)]
// What works on lanes must be inlined into the functions that are compiled for the instructions.
#![allow(clippy::inline_always)]

mod attention;
mod bytes;
pub mod decode;
mod dropout;
mod gated;
mod lanes;
pub(super) mod logits;
mod norm;
mod product;
mod rope;
mod turn;

pub(super) use attention::{attention, attention_backward};
pub use bytes::Bytes;
pub(super) use dropout::dropout;
pub(super) use gated::{gated, gated_backward};
pub(super) use norm::{rms_norm, rms_norm_backward};
pub(super) use product::product;
pub(super) use rope::rope;

use tch::{Device, Kind, Tensor};

use lanes::Number;

/// Numbers that a thread should have before a second one helps: some microseconds' worth (choice).
const GRAIN: usize = 1 << 14;

/// A tensor's rows: numbers side by side, the rows anywhere.
#[derive(Clone, Copy)]
struct Rows<N> {
    first: *mut N,
    count: usize,
    columns: usize,
    /// Every `inner` rows lie `stride` apart, such groups `outer` apart.
    inner: usize,
    stride: usize,
    outer: usize,
}

// Sound: plain memory. Threads write rows of their own, which is for each kernel to see to.
unsafe impl<N: Number> Send for Rows<N> {}
unsafe impl<N: Number> Sync for Rows<N> {}

impl<N: Number> Rows<N> {
    /// The rows of a matrix, or of a stack of matrices, on the CPU.
    fn of(x: &Tensor) -> Option<Self> {
        if x.device() != Device::Cpu || x.kind() != N::KIND {
            return None;
        }
        let (size, stride) = (x.size(), x.stride());
        let (inner, columns, row, outer) = match (&size[..], &stride[..]) {
            (&[_, columns], &[row, 1]) => (1, columns, 0, row),
            (&[_, inner, columns], &[outer, row, 1]) => (inner, columns, row, outer),
            _ => return None,
        };
        let count = size.iter().rev().skip(1).product::<i64>() as usize;
        let (inner, stride, outer) = (inner as usize, row as usize, outer as usize);
        Some(Self { first: x.data_ptr().cast(), count, columns: columns as usize, inner, stride, outer })
    }

    /// Where row `i` starts.
    #[inline(always)]
    fn row(&self, i: usize) -> *mut N {
        debug_assert!(i < self.count);
        let offset = if self.inner == 1 {
            i * self.outer
        } else {
            i / self.inner * self.outer + i % self.inner * self.stride
        };
        // Sound: the tensor has that row.
        unsafe { self.first.add(offset) }
    }
}

/// The numbers of a contiguous f32 tensor on the CPU.
fn floats(x: &Tensor) -> Option<&[f32]> {
    if x.device() != Device::Cpu || x.kind() != Kind::Float || !x.is_contiguous() {
        return None;
    }
    // Sound: that many numbers lie there as long as the tensor lives; nobody writes to the operations' inputs.
    Some(unsafe { std::slice::from_raw_parts(x.data_ptr().cast(), x.numel()) })
}

/// Calls the function for the kind of `$tensor`'s numbers, the type its first parameter.
macro_rules! by_kind {
    ($tensor:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match $tensor.kind() {
            tch::Kind::Float => $function::<f32>($($argument),*),
            tch::Kind::BFloat16 => $function::<half::bf16>($($argument),*),
            _ => None,
        }
    };
}
use by_kind;

/// Calls the method for the number of rows in a block, its parameter.
macro_rules! by_rows {
    ($count:expr, $self:ident.$method:ident $arguments:tt) => {
        match $count {
            1 => $self.$method::<1> $arguments,
            2 => $self.$method::<2> $arguments,
            3 => $self.$method::<3> $arguments,
            4 => $self.$method::<4> $arguments,
            5 => $self.$method::<5> $arguments,
            6 => $self.$method::<6> $arguments,
            7 => $self.$method::<7> $arguments,
            8 => $self.$method::<8> $arguments,
            9 => $self.$method::<9> $arguments,
            10 => $self.$method::<10> $arguments,
            11 => $self.$method::<11> $arguments,
            12 => $self.$method::<12> $arguments,
            _ => unreachable!("a block has at most twelve rows"),
        }
    };
}
use by_rows;
