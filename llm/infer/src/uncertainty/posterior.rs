//! The distribution over models from which predictions are sampled.

use tokensieve_documents::estimates::{HashedPath, MaskScope, PosteriorSettings, PromptDropout};
use tokensieve_model::{Adapter, DropoutSite, dropout_keys, mix64};

/// The models from which predictions are sampled.
#[derive(Debug)]
pub enum Posterior {
    /// No samples: only the prediction without dropout.
    None,
    /// Passes with dropout.
    Dropout(DropoutSettings),
    /// Adapters on one base model, all equally likely.
    Adapters(Vec<Adapter>),
}

/// Monte-Carlo dropout: how predictions are sampled by passes with dropout.
#[derive(Clone, Debug, PartialEq)]
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

impl Posterior {
    /// Number of sampled predictions per token.
    pub fn passes(&self) -> usize {
        match self {
            Self::None => 0,
            // Nothing is dropped: every pass would be the prediction without dropout.
            Self::Dropout(dropout) if !dropout.is_active() => 0,
            Self::Dropout(dropout) => dropout.passes,
            Self::Adapters(adapters) => adapters.len(),
        }
    }

    /// The posterior as a header records it. `folders`: where the adapters were loaded from.
    pub fn settings(&self, folders: &[HashedPath]) -> PosteriorSettings {
        match self {
            Self::None => PosteriorSettings::None,
            Self::Dropout(DropoutSettings { passes, rate, places, masks, prompt, seed }) => {
                PosteriorSettings::Dropout {
                    passes: *passes,
                    rate: *rate,
                    places: places.clone(),
                    masks: *masks,
                    prompt: *prompt,
                    seed: *seed,
                }
            }
            Self::Adapters(_) => PosteriorSettings::Adapters { adapters: folders.to_vec() },
        }
    }
}

impl DropoutSettings {
    fn is_active(&self) -> bool {
        self.rate > 0.0 && !self.places.is_empty()
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
