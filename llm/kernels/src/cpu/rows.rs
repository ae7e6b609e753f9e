//! Tensors as rows of numbers in memory, and what threads share of them.

use tch::{Device, Kind, Tensor};

use super::lanes::Number;
use crate::shim::parallel;

/// Numbers that a thread should have before a second one helps: some microseconds' worth (choice).
pub(super) const GRAIN: usize = 1 << 14;

/// Rows of a tensor or of a buffer: numbers side by side, the rows anywhere.
#[derive(Clone, Copy)]
pub(super) struct Rows<N> {
    first: *mut N,
    pub(super) count: usize,
    pub(super) columns: usize,
    /// Every `inner` rows lie `stride` apart, such groups `outer` apart.
    pub(super) inner: usize,
    stride: usize,
    pub(super) outer: usize,
}

// SAFETY: plain memory. Threads write rows of their own, which is for each kernel to see to.
unsafe impl<N: Number> Send for Rows<N> {}
// SAFETY: likewise.
unsafe impl<N: Number> Sync for Rows<N> {}

impl<N: Number> Rows<N> {
    /// The rows of a matrix, or of a stack of matrices, on the CPU.
    pub(super) fn of(x: &Tensor) -> Option<Self> {
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

    /// Those of the matrix that lies at `first`, `row` numbers from one to the next.
    pub(super) fn at(first: *mut N, count: usize, columns: usize, row: usize) -> Self {
        Self { first, count, columns, inner: 1, stride: 0, outer: row }
    }

    /// Where row `i` starts.
    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> *mut N {
        debug_assert!(i < self.count);
        let offset = if self.inner == 1 {
            i * self.outer
        } else {
            i / self.inner * self.outer + i % self.inner * self.stride
        };
        // SAFETY: there is that row.
        unsafe { self.first.add(offset) }
    }

    /// Row `i`'s numbers.
    ///
    /// # Safety
    /// The tensor lives, and nobody writes to the row, as long as the slice is used.
    pub(super) unsafe fn slice<'a>(&self, i: usize) -> &'a [N] {
        assert!(i < self.count);
        // SAFETY: the row is one of the tensor's and has so many numbers; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.row(i), self.columns) }
    }

    /// Row `i`'s numbers, to write.
    ///
    /// # Safety
    /// The tensor lives, and nobody else reads or writes the row, as long as the slice is used.
    pub(super) unsafe fn slice_mut<'a>(&self, i: usize) -> &'a mut [N] {
        assert!(i < self.count);
        // SAFETY: as in `slice`.
        unsafe { std::slice::from_raw_parts_mut(self.row(i), self.columns) }
    }
}

/// The numbers of a contiguous f32 tensor on the CPU.
pub(super) fn floats(x: &Tensor) -> Option<&[f32]> {
    if x.device() != Device::Cpu || x.kind() != Kind::Float || !x.is_contiguous() {
        return None;
    }
    // SAFETY: that many numbers lie there as long as the tensor lives; nobody writes to the operations' inputs.
    Some(unsafe { std::slice::from_raw_parts(x.data_ptr().cast(), x.numel()) })
}

/// What `of` makes of an operand that may be missing; `None` where the operand is there and no kernel applies to it.
#[expect(clippy::option_option, reason = "a missing operand is no refusal")]
pub(super) fn optional<T, U>(operand: Option<T>, of: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match operand {
        Some(operand) => of(operand).map(Some),
        None => Some(None),
    }
}

/// Calls `of` with each row, rows of so many numbers shared among libtorch's threads.
pub(super) fn for_rows(count: usize, columns: usize, of: impl Fn(usize) + Sync) {
    parallel(count, GRAIN / columns.max(1) + 1, |part| part.for_each(&of));
}

/// One result per row, rows shared among libtorch's threads.
pub(super) fn each_row<T: Clone + Default + Send>(n: usize, of: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut results = vec![T::default(); n];
    let first = results.as_mut_ptr() as usize;
    parallel(n, 1, |part| {
        // SAFETY: parts do not overlap and lie within 0..n.
        part.for_each(|i| unsafe { *(first as *mut T).add(i) = of(i) });
    });
    results
}

/// Evaluates the expression with the instructions that this process computes with, and the other one where there are none.
#[cfg(target_arch = "x86_64")]
macro_rules! with_instructions {
    ($simd:ident => $body:expr, else $none:expr) => {{
        use $crate::cpu::lanes::{Avx2, Avx512, Simd};
        if let Some($simd) = Avx512::detect() {
            $body
        } else if let Some($simd) = Avx2::detect() {
            $body
        } else {
            $none
        }
    }};
}

#[cfg(target_arch = "aarch64")]
macro_rules! with_instructions {
    ($simd:ident => $body:expr, else $none:expr) => {{
        use $crate::cpu::lanes::{Neon, Simd};
        if let Some($simd) = Neon::detect() { $body } else { $none }
    }};
}
pub(super) use with_instructions;

/// Calls the function with these instructions as its first parameter, their type as its first type; `None` where there are
/// none.
macro_rules! with_simd {
    ($function:ident $(::<$($kind:ty),+>)? ( $($argument:expr),* $(,)? )) => {
        $crate::cpu::rows::with_instructions!(
            simd => $function$(::<_, $($kind),+>)?(simd, $($argument),*),
            else None
        )
    };
}
pub(super) use with_simd;

/// The same for the kind of `$tensor`'s numbers, its second type.
macro_rules! by_kind {
    ($tensor:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match $tensor.kind() {
            tch::Kind::Float => $crate::cpu::rows::with_simd!($function::<f32>($($argument),*)),
            tch::Kind::BFloat16 => $crate::cpu::rows::with_simd!($function::<half::bf16>($($argument),*)),
            _ => None,
        }
    };
}
pub(super) use by_kind;

/// The same for the kinds of two tensors' numbers, its second and its third type.
macro_rules! by_kinds {
    ($first:expr, $second:expr, $function:ident ( $($argument:expr),* $(,)? )) => {{
        use half::bf16;
        use tch::Kind;
        use $crate::cpu::rows::with_simd;
        match ($first.kind(), $second.kind()) {
            (Kind::Float, Kind::Float) => with_simd!($function::<f32, f32>($($argument),*)),
            (Kind::Float, Kind::BFloat16) => with_simd!($function::<f32, bf16>($($argument),*)),
            (Kind::BFloat16, Kind::Float) => with_simd!($function::<bf16, f32>($($argument),*)),
            (Kind::BFloat16, Kind::BFloat16) => with_simd!($function::<bf16, bf16>($($argument),*)),
            _ => None,
        }
    }};
}
pub(super) use by_kinds;

/// Evaluates the expression, in which `$rows` is a constant, for the number of rows in a block.
macro_rules! by_rows {
    ([$($number:literal)*] $count:expr, $rows:ident => $body:expr) => {
        match $count {
            $($number => {
                const $rows: usize = $number;
                $body
            })*
            _ => unreachable!("a block has at most twelve rows"),
        }
    };
    ($count:expr, $rows:ident => $body:expr) => {
        $crate::cpu::rows::by_rows!([1 2 3 4 5 6 7 8 9 10 11 12] $count, $rows => $body)
    };
}
pub(super) use by_rows;
