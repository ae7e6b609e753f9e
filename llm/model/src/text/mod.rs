//! Text: tokenizers, chat templates, and which tokens of a conversation are trained on.

mod added;
pub(crate) mod characters;
mod chat_template;
mod conversation;
mod ending;
mod extras;
pub mod from_gguf;
mod growth;
pub mod limits;
mod mask;
mod python;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod tokenizer;
mod trial;
mod unwritten;

pub use chat_template::ChatTemplate;
pub(crate) use chat_template::{FILE as TEMPLATE_FILE, further, is_further};
pub use conversation::trained_turns;
pub use conversation::{Conversation, FIELDS, Message, Scores, Span, Weights};
pub use extras::Extras;
pub use source::{BuiltTokenizer, TokenizerSource};
pub use template::Template;
pub use tokenizer::Tokenizer;
pub use tokensieve_base::clock::Moment;
