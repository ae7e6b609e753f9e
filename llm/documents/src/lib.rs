//! Documents: rows of data sets, as people keep them, turned into tokens and weights.
//!
//! # From a row to a document
//! A *row* is one JSON object: a line of a JSONL file, an element of a JSON array, or a row of a Parquet table. A
//! [`Format`] reads a conversation out of it, the tokenizer writes that conversation with the model's chat template, and
//! the result is a [`Document`](tokensieve_model::Document): its tokens, and a weight for each of them, which is 0 where
//! the token is part of the prompt. A row that cannot be read or written in this way is a *bad row*: an error that names
//! the file, the line and the reason, or, with [`DataSource::skip_bad`], an entry in [`DataSet::skipped`].
//!
//! ```no_run
//! use tokensieve_documents::{DataSource, load};
//! use tokensieve_model::text::Tokenizer;
//! use tokensieve_model::weights::Checkpoint;
//!
//! let tokenizer = Tokenizer::open(&Checkpoint::open("smollm2-135m")?)?;
//! let source = DataSource { limit: Some(100), skip_bad: true, ..DataSource::new("gsm8k/test") };
//! let set = load(&source, &tokenizer)?;
//! for document in &set.documents {
//!     println!("row {}: {} response tokens", document.row, document.response_tokens());
//! }
//! for bad in &set.skipped {
//!     println!("{}:{}: {}", set.path.display(), bad.line, bad.reason);
//! }
//! # Ok::<(), tokensieve_model::Error>(())
//! ```
//!
//! # Map
//! | module | what it does |
//! |---|---|
//! | `source` | finds the file behind a path or the name of a data set ([`DataSource`]) |
//! | `read`, `parquet` | hand out the rows of a file, one after the other |
//! | `unique_keys` | refuses rows in which a key stands twice |
//! | `format` | reads the conversation, the weights, the scores and the advantage of a row ([`Format`]) |
//! | `data_set` | tokenises the rows on all cores ([`load`], [`DataSet`]) |
//! | `prompts` | reads rows as prompts, for generation ([`prompts()`]) |
//! | `order` | shuffles documents, one permutation per epoch ([`Order`]) |
//! | `classes` | sorts tokens into numbers, words, punctuation, … ([`Class`]) |
//! | [`estimates`] | files with the loss, entropy and uncertainty of every token of a data set |
//! | `jsonl_file` | an append-only JSONL file that can be cut back to a checkpoint ([`JsonlFile`]) |

// Tests compare with the exact number that they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod classes;
mod data_set;
pub mod estimates;
mod format;
mod jsonl_file;
mod order;
mod parquet;
mod prompts;
mod read;
mod row;
mod source;
#[cfg(test)]
mod tests;
mod thrift;
mod unique_keys;

pub use classes::{Class, Classes};
pub use data_set::{DataSet, Skipped, load};
pub use format::Format;
pub use jsonl_file::JsonlFile;
pub use order::Order;
pub use prompts::{Prompt, prompts};
pub use source::{DataSource, Location, SourceError, Truncate};
