//! Files of estimates: the loss, the entropy and the uncertainty of every token of a data set.

mod file;
mod header;
mod record;

pub use file::{Reader, Writer};
pub use header::{DropoutSettings, HashedPath, Header, MaskScope, PosteriorSettings, PromptDropout};
pub use record::{DocumentRecord, Measures, TokenRecord};
