//! The header of a file of estimates: everything that its numbers depend on.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use tokensieve_model::DropoutSite;
use tokensieve_model::Error;
use tokensieve_model::Result;

/// Settings, and hashes of the inputs. Two runs with the same header produce the same numbers up to rounding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The model as the user named it.
    pub model: String,
    /// SHA-256 of the model's weights.
    pub model_sha256: String,
    /// The adapter on the model.
    pub adapter: Option<HashedPath>,
    /// bf16 or f32.
    pub precision: String,
    /// The data as the user named them.
    pub data: String,
    /// The split of a named data set.
    pub split: Option<String>,
    /// SHA-256 of the documents.
    pub data_sha256: String,
    /// Number of documents in the complete file.
    pub documents: usize,
    /// Number of alternatives listed for each token.
    pub top: usize,
    /// The models from which predictions are sampled.
    pub posterior: PosteriorSettings,
}

/// A file or folder, and the SHA-256 of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashedPath {
    /// The path.
    pub path: String,
    /// SHA-256, in hex.
    pub sha256: String,
}

/// Which tokens of a document share a dropout mask in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskScope {
    /// None: every token has its own mask, as in training with dropout. A mask depends on the tokens up to its own, so that
    /// documents with a common beginning have the same masks there.
    Token,
    /// All of them: one model is sampled for the whole document, as the variational interpretation of dropout requires.
    /// Attention drops the same keys for every token.
    Document,
}

/// Whether dropout also acts on the tokens before the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptDropout {
    /// Dropout acts on the prompt as on the response.
    Stochastic,
    /// Dropout does not act on the tokens before the one that predicts the first token of the response. They are computed
    /// once for many passes.
    Deterministic,
}

/// The models from which predictions are sampled, as a header records them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PosteriorSettings {
    /// No samples.
    None,
    /// Passes with dropout.
    Dropout {
        /// Number of passes.
        passes: usize,
        /// Dropout rate.
        rate: f64,
        /// Where dropout acts.
        places: Vec<DropoutSite>,
        /// Which tokens share a mask.
        masks: MaskScope,
        /// Whether dropout also acts on the prompt.
        prompt: PromptDropout,
        /// Seed of the masks.
        seed: u64,
    },
    /// An ensemble of adapters.
    Adapters {
        /// The adapters, in order.
        adapters: Vec<HashedPath>,
    },
}

impl HashedPath {
    /// The folder of an adapter.
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
    /// A header for tests.
    pub(crate) fn example(top: usize) -> Self {
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
            posterior: PosteriorSettings::None,
        }
    }
}
