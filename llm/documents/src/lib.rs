//! Documents: rows of data sets as people keep them, tokenised; the order they are trained on in; and what is known of
//! their tokens.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod classes;
pub mod estimates;

mod format;
mod lines;
mod order;
mod parquet;
mod prompts;
mod read;
mod set;
#[cfg(test)]
mod tests;

pub use classes::{Class, Classes};
pub use format::Format;
pub use lines::Lines;
pub use order::Order;
pub use prompts::{Prompt, prompts};
pub use set::{DataSet, DataSource, Misnamed, Place, Skipped, Truncate, load};
