//! Low-rank adapters: their settings and matrices, PEFT's files, and merging them into a model's weights.

mod lora;
mod merge;
mod peft;

pub use lora::{Adapter, LARGEST_RANK, LoraConfig, Pattern, TargetModules};
pub use merge::merge;
pub(crate) use peft::is_of_adapter;
