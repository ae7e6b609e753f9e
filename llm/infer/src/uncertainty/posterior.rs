//! The distribution over models from which predictions are sampled.

use tokensieve_documents::estimates::{DropoutSettings, HashedPath, PosteriorSettings};
use tokensieve_model::Adapter;

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

impl Posterior {
    /// Number of sampled predictions per token.
    pub fn passes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Dropout(dropout) => dropout.passes(),
            Self::Adapters(adapters) => adapters.len(),
        }
    }

    /// The posterior as a header records it. `folders`: where the adapters were loaded from.
    pub fn settings(&self, folders: &[HashedPath]) -> PosteriorSettings {
        match self {
            Self::None => PosteriorSettings::None,
            Self::Dropout(dropout) => PosteriorSettings::Dropout(dropout.clone()),
            Self::Adapters(_) => PosteriorSettings::Adapters { adapters: folders.to_vec() },
        }
    }
}
