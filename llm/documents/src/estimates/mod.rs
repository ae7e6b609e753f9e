//! Files of estimates: what a model's predictions, and their spread, say of every token of a data set.

mod file;
mod header;
mod record;

pub use file::{Lines, Writer};
pub use header::{Drawn, Header, Masks, Named, Prompt};
pub use record::{DocumentRecord, Errors, TokenRecord};
