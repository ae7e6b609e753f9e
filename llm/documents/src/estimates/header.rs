//! The first line of a file of estimates: all that its numbers follow from.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use tokensieve_model::Error;
use tokensieve_model::Place;
use tokensieve_model::Result;

/// Settings, and hashes of what was read. Two runs with the same header give the same numbers, but for rounding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The model as it was named.
    pub model: String,
    /// SHA-256 of its weights.
    pub model_sha256: String,
    /// The adapter on it.
    pub adapter: Option<Named>,
    /// bf16 or f32.
    pub precision: String,
    /// The data as they were named.
    pub data: String,
    /// Which file of a named data set.
    pub split: Option<String>,
    /// SHA-256 of the documents.
    pub data_sha256: String,
    /// How many documents the file will have.
    pub documents: usize,
    /// How many alternatives of each token.
    pub top: usize,
    /// What predictions are drawn from.
    pub posterior: Drawn,
}

/// A folder or file, and its content's SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its path.
    pub path: String,
    /// Of its weights.
    pub sha256: String,
}

/// Which tokens of a document lose the same numbers in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Masks {
    /// None: each has its own mask, as training with dropout has it. It follows from the tokens up to its own, so that
    /// documents which begin alike have the same there.
    Token,
    /// All: one model is drawn for the whole document, as dropout's reading as variational inference wants it. Attention
    /// loses the same keys for every token.
    Document,
}

/// Whether tokens before the response lose numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prompt {
    /// As all others.
    Stochastic,
    /// Those before the one that predicts the response's first lose nothing, and are computed once for many passes.
    Deterministic,
}

/// What predictions are drawn from, in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Drawn {
    /// Nothing.
    None,
    /// Passes with dropout.
    Dropout {
        /// How many predictions.
        passes: usize,
        /// Share of numbers dropped.
        rate: f64,
        /// Where.
        places: Vec<Place>,
        /// Which tokens lose the same.
        masks: Masks,
        /// Whether the prompt takes part.
        prompt: Prompt,
        /// What masks follow from.
        seed: u64,
    },
    /// These adapters.
    Adapters {
        /// In their order.
        adapters: Vec<Named>,
    },
}

impl Named {
    /// An adapter's folder.
    pub fn adapter(folder: &Path) -> Result<Self> {
        let mut hash = Sha256::new();
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            let path = folder.join(name);
            let mut file = File::open(&path).map_err(Error::io(&path))?;
            io::copy(&mut file, &mut hash).map_err(Error::io(&path))?;
        }
        Ok(Self { path: folder.display().to_string(), sha256: format!("{:x}", hash.finalize()) })
    }
}

#[cfg(test)]
impl Header {
    /// For files that tests write.
    pub(crate) fn of_nobody(top: usize) -> Self {
        Self {
            model: "m".into(),
            model_sha256: "0".into(),
            adapter: None,
            precision: "bf16".into(),
            data: "d".into(),
            split: None,
            data_sha256: "1".into(),
            documents: 3,
            top,
            posterior: Drawn::None,
        }
    }
}
