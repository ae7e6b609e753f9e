//! A small image classifier, 784-32-16-10 with rectified units, fast and bit-identical on every machine.
//!
//! The idea that makes both true at once: every number is a chain of fused multiply-adds in one fixed order
//! (a bias, then the inputs in ascending order), and the lanes of a vector register hold *different* numbers
//! (outputs of a layer, or images), never parts of one sum. So the width of the registers, the tiling and the
//! number of threads change the speed and no bit: `f32::mul_add` rounds once on every machine.
//!
//! What makes it fast:
//! - four fifths of MNIST's pixels are zero, and x·0 + a = a: the first layer runs over the others only
//!   ([`batch`]), block by block so that the weights of a block stay in the first-level cache;
//! - a [`Fleet`] of up to four models with the same order of data shares the walk over the pixels;
//! - the kernels are compiled for each instruction set and chosen at run time (`fearless_simd`);
//! - only the images that are trained on are walked back through.
//!
//! Letters in names of sizes: `IN` pixels, `H1` and `H2` hidden units, `CLASSES` outputs, padded to `LANES`.

// The kernels must be inlined into the function that carries the instruction set, or they lose it.
// Loops over fixed arrays by index are unrolled whole, and read like the formula.
#![allow(clippy::inline_always, clippy::needless_range_loop)]

pub mod batch;
pub mod fleet;

mod backward;
mod forward;
mod fused;
mod influence;
mod layout;
mod learner;
mod softmax;
#[cfg(test)]
mod tests;

pub use backward::ImagePull;
pub use batch::{Batch, SparseImages};
pub use fleet::{Dropout, Fleet, Predictions};
pub use influence::Network;
pub use learner::Learner;

use crate::images;
use tokensieve_base::streams::Stream;

/// Inputs.
pub const IN: usize = images::PIXELS;
/// Units of the first hidden layer.
pub const H1: usize = 32;
/// Units of the second hidden layer.
pub const H2: usize = 16;
/// Outputs.
pub const CLASSES: usize = images::CLASSES;
/// Width of the vectors that the kernels are written in, and of the padded output layer.
pub const LANES: usize = 16;

/// One row of values for the first hidden layer.
pub type Row1 = [f32; H1];
/// One row of values for the second hidden layer.
pub type Row2 = [f32; H2];
/// One row of outputs; the lanes from [`CLASSES`] on are zero.
pub type Row3 = [f32; LANES];

/// All that a model has learnt. Row k of a matrix holds what input k contributes to each output.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// 784 × 32.
    pub w1: Vec<Row1>,
    /// First hidden layer and above.
    pub upper: Upper,
}

/// The biases, and the layers above the first.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Upper {
    /// Biases of the first hidden layer.
    pub b1: Row1,
    /// 32 × 16.
    pub w2: [Row2; H1],
    /// Biases of the second hidden layer.
    pub b2: Row2,
    /// 16 × 10, padded.
    pub w3: [Row3; H2],
    /// Biases of the outputs, padded.
    pub b3: Row3,
}

impl Weights {
    /// Weights and biases uniform on ±1/√(inputs of the layer): `PyTorch`'s default for a linear layer, so that
    /// runs compare with the usual code. The draws are those of the stream `mlp/init`, layer by layer, weights
    /// (input by input) before biases.
    pub fn random(seed: u64) -> Self {
        let mut stream = Stream::new(seed, "mlp/init");
        let mut draw = |inputs: usize, row: &mut [f32]| {
            let bound = 1.0 / libm::sqrt(inputs as f64);
            for w in row {
                *w = stream.uniform_in(-bound, bound) as f32;
            }
        };
        let mut weights = Self {
            w1: vec![[0.0; H1]; IN],
            upper: Upper {
                b1: [0.0; H1],
                w2: [[0.0; H2]; H1],
                b2: [0.0; H2],
                w3: [[0.0; LANES]; H2],
                b3: [0.0; LANES],
            },
        };
        weights.w1.iter_mut().for_each(|row| draw(IN, row));
        draw(IN, &mut weights.upper.b1);
        weights.upper.w2.iter_mut().for_each(|row| draw(H1, row));
        draw(H1, &mut weights.upper.b2);
        weights.upper.w3.iter_mut().for_each(|row| draw(H2, &mut row[..CLASSES]));
        draw(H2, &mut weights.upper.b3[..CLASSES]);
        weights
    }
}
