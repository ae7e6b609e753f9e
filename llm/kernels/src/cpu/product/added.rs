//! What is added to a product.

use tch::{Kind, Tensor};

use crate::cpu::lanes::{Lanes, Make, Number, Simd};
use crate::cpu::rows::{Rows, floats};

/// What is added to a product.
pub(in crate::cpu) enum Added<O> {
    Nothing,
    /// The same to every row, f32.
    Row(Tensor),
    Rows(Rows<O>),
}

// SAFETY: plain memory that is only read.
unsafe impl<O: Number> Sync for Added<O> {}

impl<O: Number> Added<O> {
    /// A matrix of the result's kind, or a vector of any.
    pub(in crate::cpu) fn of(added: Option<&Tensor>) -> Option<Self> {
        Some(match added {
            None => Self::Nothing,
            Some(added) if added.dim() == 1 => Self::Row(added.to_kind(Kind::Float).contiguous()),
            Some(added) => Self::Rows(Rows::of(added).filter(|added| added.inner == 1)?),
        })
    }

    /// The sum with what is added at a row's outputs, of which the first `left` are there.
    ///
    /// # Safety
    /// There is such a row, and `left` outputs from `output` on.
    #[inline(always)]
    pub(in crate::cpu) unsafe fn to<S: Simd>(
        &self,
        simd: S,
        sum: Lanes<S>,
        row: usize,
        output: usize,
        left: usize,
    ) -> Lanes<S> {
        match self {
            Self::Nothing => sum,
            Self::Row(added) => {
                let added = floats(added).expect("made so").as_ptr();
                // SAFETY: the caller's promise, and there is a number for each output.
                sum + unsafe { simd.load(added.wrapping_add(output), left) }
            }
            Self::Rows(added) => {
                // SAFETY: the caller's promise.
                sum + unsafe { simd.load(added.row(row).wrapping_add(output).cast_const(), left) }
            }
        }
    }
}
