//! Where a tokenizer comes from: a folder's files, or the parts that something else supplies.

use std::path::PathBuf;

/// Where a checkpoint's tokenizer comes from.
#[derive(Debug)]
pub enum TokenizerSource {
    /// A Hugging Face folder: `tokenizer.json`, `tokenizer_config.json`, …
    Folder(PathBuf),
    /// Built from a GGUF file's metadata, or from an alphabet.
    Built(Box<BuiltTokenizer>),
}

/// A tokenizer, special tokens and chat template that come from no folder.
#[derive(Debug)]
pub struct BuiltTokenizer {
    /// The tokenizer, with special tokens registered.
    pub tokenizer: tokenizers::Tokenizer,
    /// The Jinja source of the chat template.
    pub chat_template: Option<String>,
    /// That of a second chat template, for conversations with tools.
    pub tool_use: Option<String>,
    /// Beginning-of-text token.
    pub bos: Option<String>,
    /// Token that ends a text or turn.
    pub eos: Option<String>,
    /// Unknown token.
    pub unk: Option<String>,
    /// Padding token.
    pub pad: Option<String>,
    /// Whether `bos` is put before plain text (templates write their own).
    pub add_bos: bool,
    /// Whether `eos` is put after plain text.
    pub add_eos: bool,
}
