//! Tokens, chat templates, and what is trained on.

mod conversation;
mod folder;
pub mod from_gguf;
mod mask;
mod moment;
mod python;
mod template;
#[cfg(test)]
mod tests;
mod tokenizer;

pub(crate) use conversation::trained;
pub use conversation::{Conversation, FIELDS, Message, Span, Weights};
pub use moment::Moment;
pub use template::Template;
pub use tokenizer::{Extras, Tokenizer};
