//! The tokenizer that a GGUF file carries in its metadata.

use std::path::PathBuf;

use tokenizers::Tokenizer;

use crate::weights::gguf::Gguf;
use crate::{Error, Result};

/// Where a checkpoint has its tokenizer.
#[derive(Debug)]
pub enum TokenizerSource {
    /// A Hugging Face folder: tokenizer.json, tokenizer_config.json, …
    Folder(PathBuf),
    /// Built from a GGUF file's metadata.
    Gguf(Box<GgufTokenizer>),
}

/// What a GGUF file says about text.
#[derive(Debug)]
pub struct GgufTokenizer {
    /// Text ↔ tokens; special tokens registered as such.
    pub tokenizer: Tokenizer,
    /// The Jinja source.
    pub chat_template: Option<String>,
    /// Beginning of a text.
    pub bos: Option<String>,
    /// End of a text or turn.
    pub eos: Option<String>,
    /// Stands for what has no token.
    pub unk: Option<String>,
    /// Padding.
    pub pad: Option<String>,
    /// Whether plain text gets `bos` in front (templates write their own).
    pub add_bos: bool,
    /// Whether plain text gets `eos` at its end.
    pub add_eos: bool,
}

/// Builds the tokenizer of a GGUF file.
pub fn read(gguf: &Gguf) -> Result<GgufTokenizer> {
    Err(Error::file(gguf.path(), "its tokenizer is not read yet"))
}
