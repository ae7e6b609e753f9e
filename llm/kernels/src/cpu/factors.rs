//! What a block of a product reads, and where its sums stand.

use super::weight::TILE;

/// Rows of numbers and the weights of a tile that they are multiplied with.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Factors {
    /// The first row's first word.
    pub(super) x: *const u32,
    /// Bytes from one row to the next.
    pub(super) x_row: usize,
    /// The tile's first word.
    pub(super) weights: *const u32,
    /// Words of the inputs.
    pub(super) words: usize,
}

impl Factors {
    /// Words that matrix instructions take at a time.
    pub(super) const STEP: usize = 16;

    /// The same without the first rows.
    pub(super) fn of_rows_from(self, row: usize) -> Self {
        Self { x: self.x.wrapping_byte_add(row * self.x_row), ..self }
    }

    /// So many steps from one on, as far as there are whole ones.
    pub(super) fn steps(self, from: usize, count: usize) -> Self {
        let whole = self.words / Self::STEP;
        let (from, to) = (from.min(whole) * Self::STEP, (from + count).min(whole) * Self::STEP);
        Self { words: to - from, ..self.words_from(from) }
    }

    /// What is left when whole steps are done.
    pub(super) fn rest(self) -> Self {
        self.words_from(self.words / Self::STEP * Self::STEP)
    }

    fn words_from(self, from: usize) -> Self {
        let Self { x, x_row, weights, words } = self;
        Self {
            x: x.wrapping_add(from),
            x_row,
            weights: weights.wrapping_add(from * TILE),
            words: words - from,
        }
    }
}

/// Sums of some rows with a tile's outputs.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct BlockSums<const ROWS: usize>([[f32; TILE]; ROWS]);

impl<const ROWS: usize> BlockSums<ROWS> {
    pub(super) const ZEROS: Self = Self([[0.0; TILE]; ROWS]);

    pub(super) fn first(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}
