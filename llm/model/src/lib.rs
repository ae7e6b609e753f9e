//! Language models on libtorch: configuration, weights, text, layers, adapters, and the fused head.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod cache;
pub mod config;
#[cfg(target_arch = "x86_64")]
mod decoder;
mod dropout;
mod error;
mod full;
mod groups;
pub mod head;
mod layer;
mod linear;
mod lora;
mod merge;
mod model;
mod modules;
mod norm;
mod pack;
mod packs;
mod parameters;
mod pass;
mod peft;
mod rope;
pub mod terminal;
pub mod text;
pub mod weights;

pub use cache::Cache;
#[cfg(target_arch = "x86_64")]
pub use decoder::Decoder;
pub use dropout::{Dropout, Place, chain, mixed};
pub use error::{Error, Result};
pub use lora::{Adapter, LoraConfig, Pattern, TargetModules};
pub use merge::merge;
pub use model::{Keep, Model, Trace, Unembedding};
pub use pack::{Document, Given, Pack, Target};
pub use packs::{in_order, packs};
pub use parameters::Parameters;
