//! The parts of a transformer layer, each with its forward and backward pass.

mod dropout;
mod layer;
mod linear;
mod norm;
mod pass;
mod rope;

pub use dropout::{Dropout, DropoutSite, dropout_keys, mix64};
pub(crate) use layer::{Layer, Saved};
pub(crate) use linear::Linear;
pub(crate) use norm::Norm;
pub(crate) use pass::{KeptRows, OutputRows, Pass};
pub(crate) use rope::Rotary;
