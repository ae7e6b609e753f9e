//! Rows of numbers, reused from pass to pass.

use std::marker::PhantomData;

use super::support::words;
use crate::cpu::lanes::{LANES, Number};
use crate::cpu::line::{EMPTY, Line};
use crate::cpu::rows::Rows;

/// Rows that each begin with a line of the cache.
#[derive(Debug)]
pub struct Buffer<N> {
    lines: Vec<Line>,
    rows: usize,
    columns: usize,
    kind: PhantomData<N>,
}

impl<N> Default for Buffer<N> {
    /// A buffer without rows.
    fn default() -> Self {
        Self { lines: Vec::new(), rows: 0, columns: 0, kind: PhantomData }
    }
}

impl<N: Number> Buffer<N> {
    /// The same memory with so many rows and columns; what they hold is not said.
    pub fn shaped(&mut self, rows: usize, columns: usize) -> &mut Self {
        (self.rows, self.columns) = (rows, columns);
        let lines = rows * self.row_lines();
        if self.lines.len() < lines {
            self.lines.resize(lines, EMPTY);
        }
        self
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Its columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn row_lines(&self) -> usize {
        words::<N>(self.columns).div_ceil(LANES)
    }

    /// Words<S> from one row to the next.
    pub(super) fn row_words(&self) -> usize {
        self.row_lines() * LANES
    }

    /// A row's numbers.
    pub fn row(&self, index: usize) -> &[N] {
        assert!(index < self.rows);
        // SAFETY: so many numbers lie there; every pattern of bits is one.
        unsafe {
            std::slice::from_raw_parts(self.first().cast::<N>().add(index * self.row_numbers()), self.columns)
        }
    }

    /// The same, to write.
    pub fn row_mut(&mut self, index: usize) -> &mut [N] {
        assert!(index < self.rows);
        let start = index * self.row_numbers();
        // SAFETY: so many numbers lie there, every pattern of bits is one, and nobody else has the buffer.
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<N>().add(start), self.columns)
        }
    }

    pub(super) fn row_numbers(&self) -> usize {
        self.row_words() * N::PER_WORD
    }

    pub(super) fn first(&self) -> *const u32 {
        self.lines.as_ptr().cast()
    }

    /// For threads that write rows, or parts of rows, of their own.
    pub(super) fn shared(&mut self) -> Rows<N> {
        Rows::at(self.lines.as_mut_ptr().cast(), self.rows, self.columns, self.row_numbers())
    }
}
