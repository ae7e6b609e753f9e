//! Language models on libtorch: read, packed, trained with any objective of `tokensieve-objective`.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

#[macro_use]
mod said;

pub mod cli;
pub mod data;
mod error;
pub mod evaluate;
pub mod generate;
pub mod head;
pub mod machine;
pub mod memory;
pub mod model;
pub mod ops;
mod pack;
mod parameters;
mod shim;
pub mod step;
pub mod text;
pub mod train;
pub mod uncertainty;
mod upload;
pub mod weights;

pub use error::{Error, Result};
pub use pack::{Document, Given, Layout, Pack, Target};
pub use parameters::Parameters;
use upload::upload;
