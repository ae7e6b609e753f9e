//! A matrix product with what is known of its factors and what is added to it.

use std::ops::Range;

use tch::Tensor;

/// A part of a matrix `[K, N]` outside which it is zero: these outputs read these inputs alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Columns.
    pub outputs: Range<usize>,
    /// Rows, in order; a range may be empty.
    pub inputs: [Range<usize>; 2],
}

/// A matrix product x·weight of `[T, K]` and `[K, N]`, either of which may be a transposed view, and what is added to it
/// before it is rounded.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) weight: &'a Tensor,
    pub(crate) blocks: &'a [Block],
    pub(crate) also: Option<(&'a Tensor, &'a Tensor)>,
    pub(crate) added: Option<&'a Tensor>,
}

impl<'a> Product<'a> {
    /// x·weight.
    pub fn of(x: &'a Tensor, weight: &'a Tensor) -> Self {
        Self { x, weight, blocks: &[], also: None, added: None }
    }

    /// Says where the weight is not zero: every output stands in one of the blocks, or there is none and all counts.
    #[must_use]
    pub fn within(self, blocks: &'a [Block]) -> Self {
        Self { blocks, ..self }
    }

    /// Adds another product, of which no blocks are known.
    ///
    /// # Panics
    /// If blocks are known of the first.
    #[must_use]
    pub fn and(self, x: &'a Tensor, weight: &'a Tensor) -> Self {
        assert!(self.blocks.is_empty(), "blocks are of one product");
        Self { also: Some((x, weight)), ..self }
    }

    /// Adds `[T, N]`, which may be what is written to, or `[N]` to every row.
    #[must_use]
    pub fn plus(self, added: Option<&'a Tensor>) -> Self {
        Self { added, ..self }
    }
}
