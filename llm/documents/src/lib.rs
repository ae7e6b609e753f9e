//! Documents: rows of data as people keep them, tokenised; the order they are trained on in; and what is known of their
//! tokens beforehand.
//!
//! ```no_run
//! use tokensieve_documents::{DataSource, Order, load};
//! use tokensieve_model::{Error, text::Tokenizer, weights::Checkpoint};
//!
//! let tokenizer = Tokenizer::open(&Checkpoint::open("smollm2-135m")?)?;
//! // A file (JSON lines, JSON, Parquet), or a data set of data.toml by name and split.
//! let set = load(&DataSource::new("gsm8k/train"), &tokenizer)?;
//! println!("{} documents, SHA-256 {}", set.documents.len(), set.hash);
//!
//! // Which documents step 10 trains on follows from the seed and the step alone.
//! let batch = Order::new(set.documents.len(), 0).batch(10, 32);
//! assert_eq!(batch.len(), 32);
//! # Ok::<(), Error>(())
//! ```
//!
//! | module or type | what |
//! |---|---|
//! | [`DataSource`], [`load`], [`DataSet`] | a file or a named set, read and tokenised in portions, on all cores |
//! | [`Format`] | the six ways in which rows are written, recognised by their keys |
//! | [`Skipped`] | a bad row: its line, and what is wrong with it |
//! | [`Prompt`], [`prompts`](prompts()) | rows to be answered instead of trained on |
//! | [`Order`] | a permutation per epoch, each computable on its own |
//! | [`Class`] | kinds of tokens, by their text |
//! | [`estimates`] | files of `tokensieve uncertainty` |
//! | [`Lines`] | JSON lines that a stopped run continues |
//!
//! `docs/training.md` describes the formats, weights of tokens, and what makes a row bad.

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
