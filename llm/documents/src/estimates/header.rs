//! The header of a file of estimates: everything that its numbers depend on.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use tokensieve_model::{DropoutSite, Error, Result, dropout_keys, mix64};

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

/// Monte-Carlo dropout: how predictions are sampled by passes with dropout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DropoutSettings {
    /// Number of passes, each of which gives one prediction per token.
    pub passes: usize,
    /// Dropout rate.
    pub rate: f64,
    /// Where in the model dropout acts.
    pub places: Vec<DropoutSite>,
    /// Which tokens of a document share a mask.
    pub masks: MaskScope,
    /// Whether dropout also acts on the prompt.
    pub prompt: PromptDropout,
    /// Seed of the masks, which depend on the seed, the pass and the tokens of the document.
    pub seed: u64,
}

impl Default for DropoutSettings {
    /// 100 passes (choice) with the rate that models are commonly trained with, on attention and residual stream.
    fn default() -> Self {
        Self {
            passes: 100,
            rate: 0.1,
            places: vec![DropoutSite::Attention, DropoutSite::Residual],
            masks: MaskScope::Token,
            prompt: PromptDropout::Stochastic,
            seed: 0,
        }
    }
}

impl DropoutSettings {
    /// Number of sampled predictions per token: none where nothing is dropped, as each would be the prediction without
    /// dropout.
    pub fn passes(&self) -> usize {
        if self.rate > 0.0 && !self.places.is_empty() { self.passes } else { 0 }
    }

    /// A key for each row of a document, which determines the row's masks in one pass. Keys depend on the seed, the pass and
    /// the tokens of the document, and not on the documents beside it in the pack.
    pub fn keys(&self, tokens: &[u32], pass: usize) -> Vec<u64> {
        let keys = dropout_keys(mix64(self.seed).wrapping_add(pass as u64), tokens);
        match self.masks {
            MaskScope::Token => keys,
            MaskScope::Document => vec![keys.last().copied().unwrap_or_default(); tokens.len()],
        }
    }
}

/// The models from which predictions are sampled, as a header records them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PosteriorSettings {
    /// No samples.
    None,
    /// Passes with dropout.
    Dropout(DropoutSettings),
    /// An ensemble of adapters.
    Adapters {
        /// The adapters, in order.
        adapters: Vec<HashedPath>,
    },
}

impl PosteriorSettings {
    /// Number of sampled predictions per token.
    pub fn passes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Dropout(dropout) => dropout.passes(),
            Self::Adapters { adapters } => adapters.len(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_posteriors_are_frozen() {
        let adapters = vec![HashedPath { path: "a".to_owned(), sha256: "0".to_owned() }];
        for (posterior, line) in [
            (PosteriorSettings::None, r#"{"kind":"none"}"#),
            (
                PosteriorSettings::Dropout(DropoutSettings::default()),
                concat!(
                    r#"{"kind":"dropout","passes":100,"rate":0.1,"places":["attention","residual"],"#,
                    r#""masks":"token","prompt":"stochastic","seed":0}"#
                ),
            ),
            (
                PosteriorSettings::Adapters { adapters },
                r#"{"kind":"adapters","adapters":[{"path":"a","sha256":"0"}]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&posterior).unwrap(), line);
            assert_eq!(serde_json::from_str::<PosteriorSettings>(line).unwrap(), posterior);
        }
    }
}
