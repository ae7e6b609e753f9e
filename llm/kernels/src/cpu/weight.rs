//! A weight laid out for products: tiles of 32 outputs, in words that run along the inputs.

use std::ops::Range;

use tch::Tensor;

use super::lanes::{LANES, Make, Number, Simd, Words, run};
use super::rows::Rows;

/// Outputs of a tile.
pub(super) const TILE: usize = 2 * LANES;

/// `[K, N]` by where its numbers lie side by side.
#[derive(Clone, Copy)]
pub(super) enum Weight<N> {
    /// Along the inputs: a row per output.
    Inputs(Rows<N>),
    /// Along the outputs: a row per input.
    Outputs(Rows<N>),
}

impl<N: Number> Weight<N> {
    pub(super) fn of(weight: &Tensor) -> Option<Self> {
        let found = Rows::of(weight).map(Self::Outputs);
        found.or_else(|| Rows::of(&weight.tr()).map(Self::Inputs)).filter(|weight| weight.rows().inner == 1)
    }

    fn rows(&self) -> &Rows<N> {
        let (Self::Inputs(rows) | Self::Outputs(rows)) = self;
        rows
    }

    pub(super) fn inputs(&self) -> usize {
        match self {
            Self::Inputs(rows) => rows.columns,
            Self::Outputs(rows) => rows.count,
        }
    }

    /// Lays out up to [`TILE`] outputs: word by word of the inputs, that word of each. What is missing is zero. Returns
    /// the number of words.
    ///
    /// # Safety
    /// The weight has these outputs, at most 32, and these inputs; `into` has room for their words.
    pub(super) unsafe fn lay_out<S: Simd>(
        &self,
        simd: S,
        outputs: &Range<usize>,
        inputs: &Range<usize>,
        into: *mut u32,
    ) -> usize {
        run!(simd, {
            let words = inputs.len().div_ceil(N::PER_WORD);
            let full = if outputs.len() == TILE { inputs.len() / N::PER_WORD } else { 0 };
            // SAFETY: the weight has these inputs and outputs, and `into` room for the words.
            let done = unsafe {
                match self {
                    Self::Inputs(rows) => {
                        let squares = full / LANES;
                        for (half, square) in
                            [0, 1].into_iter().flat_map(|h| (0..squares).map(move |s| (h, s)))
                        {
                            let mut lines = [simd.word(0); LANES];
                            for (lane, line) in lines.iter_mut().enumerate() {
                                let row = rows.row(outputs.start + half * LANES + lane);
                                *line =
                                    simd.words(row.add(inputs.start + square * LANES * N::PER_WORD).cast());
                            }
                            for (word, line) in Words::transpose(lines).into_iter().enumerate() {
                                line.store(into.add((square * LANES + word) * TILE + half * LANES));
                            }
                        }
                        squares * LANES
                    }
                    Self::Outputs(rows) => {
                        for word in 0..full {
                            let row = rows.row(inputs.start + word * N::PER_WORD).add(outputs.start);
                            for half in [0, LANES] {
                                N::zip::<S>(row.add(half), rows.outer).store(into.add(word * TILE + half));
                            }
                        }
                        full
                    }
                }
            };
            for word in done..words {
                // SAFETY: `into` has room for the words, the weight these inputs; all zeros is a number of either kind.
                unsafe {
                    let line = into.add(word * TILE);
                    line.write_bytes(0, TILE);
                    for (lane, output) in outputs.clone().enumerate() {
                        for at in 0..N::PER_WORD {
                            let input = inputs.start + word * N::PER_WORD + at;
                            if input < inputs.end {
                                let number = match self {
                                    Self::Inputs(rows) => rows.row(output).add(input),
                                    Self::Outputs(rows) => rows.row(input).add(output),
                                };
                                line.cast::<N>().add(lane * N::PER_WORD + at).write(*number);
                            }
                        }
                    }
                }
            }
            words
        })
    }
}
