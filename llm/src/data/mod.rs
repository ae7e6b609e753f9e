//! Rows of data sets, as people keep them, as documents.

mod format;
mod order;
mod packs;
mod parquet;
mod prompts;
mod read;
mod set;
#[cfg(test)]
mod tests;

pub use format::Format;
pub use order::{Order, stream};
pub(crate) use packs::in_order;
pub use packs::packs;
pub use prompts::{Prompt, prompts};
pub use set::{DataSet, DataSource, Skipped, Truncate, load};
pub(crate) use set::{Misnamed, Place};
