//! Tokens, chat templates, and what is trained on.

pub mod from_gguf;
