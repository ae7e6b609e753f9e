//! Tokens, chat templates, and what is trained on.

mod chosen;
mod conversation;
mod folder;
pub mod from_gguf;
mod mask;
mod python;
mod template;
#[cfg(test)]
mod tests;
mod tokenizer;

pub use chosen::ChatTemplate;
pub(crate) use chosen::FILE as TEMPLATE_FILE;
pub use conversation::trained;
pub use conversation::{Conversation, FIELDS, Message, Span, Weights};
pub use template::Template;
pub use tokenizer::{Extras, Tokenizer};
pub use tokensieve_base::clock::Moment;
