//! What fuzz targets share: a folder in memory whose files they write over, and the smallest of models.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;
use tokensieve_documents::{DataSource, Truncate, load};
use tokensieve_model::text::{Moment, Tokenizer};

/// A Llama of one layer and eight symbols.
const CONFIG: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8, "hidden_size": 8,
"intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
"rms_norm_eps": 1e-5, "tie_word_embeddings": true, "max_position_embeddings": 64}"#;

/// A tokenizer of single characters, with a template of its own.
const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [{"id": 0, "content": "<end>", "special": true, "single_word": false,
"lstrip": false, "rstrip": false, "normalized": false}], "model": {"type": "WordLevel", "unk_token": "?",
"vocab": {"<end>": 0, "?": 1, "a": 2, "b": 3, "1": 4, " ": 5, ".": 6, "\n": 7}},
"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}}"#;
const TOKENIZER_CONFIG: &str = r#"{"eos_token": "<end>", "chat_template":
"{% for m in messages %}{{ m.role[0] }} {{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}a {% endif %}"}"#;

/// A folder of this process, in memory where the system has such a place.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let make = || {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        tempfile::Builder::new().prefix("tokensieve-fuzz-").tempdir_in(parent).expect("a folder")
    };
    FOLDER.get_or_init(make).path()
}

/// A file of that folder with this content.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, content).expect("a file in memory");
    path
}

/// That folder with a model's configuration and tokenizer; its weights are for the target to write.
pub fn model() -> &'static Path {
    static WRITTEN: OnceLock<()> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        file("config.json", CONFIG.as_bytes());
        file("tokenizer.json", TOKENIZER.as_bytes());
        file("tokenizer_config.json", TOKENIZER_CONFIG.as_bytes());
    });
    folder()
}

/// Reads rows with that model's tokenizer, bad ones listed, too long ones cut.
pub fn rows(name: &str, content: &[u8]) {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    let open = || Tokenizer::from_folder(model(), None, Moment::default()).expect("the tokenizer above");
    let tokenizer = TOKENIZER.get_or_init(open);
    let path = file(name, content);
    let source = DataSource {
        source: path.to_string_lossy().into_owned(),
        skip_bad: true,
        truncate: Truncate::End,
        max_length: Some(64),
        ..DataSource::default()
    };
    if let Ok(set) = load(&source, tokenizer) {
        assert!(set.documents.iter().all(|document| document.tokens.len() <= 64));
        assert!(set.skipped.iter().all(|bad| !bad.reason.is_empty()));
    }
}
