//! How uncertain a model is about each token of a response, and of which kind the uncertainty is.
//!
//! A posterior over models gives P predictions pᵢ of a token, each a distribution over the vocabulary: P passes with
//! dropout (Gal & Ghahramani, arXiv 1506.02142), or one pass with each of P adapters. With p̄ their mean and H the
//! entropy, in nats:
//!
//! | measure | formula | also called |
//! |---|---|---|
//! | total | H\[p̄\] | predictive entropy |
//! | aleatoric | mean H\[pᵢ\] | expected entropy |
//! | epistemic | total − aleatoric = mean KL(pᵢ ‖ p̄) | BALD, mutual information |
//! | pairwise KL | mean KL(pᵢ ‖ pⱼ) over all ordered pairs | expected pairwise KL divergence |
//! | reverse MI | pairwise KL − epistemic = mean KL(p̄ ‖ pᵢ) | reverse mutual information |
//!
//! All are the plug-in estimates: the mean over all passes stands for the mean over the posterior, and a pair of a pass
//! with itself counts. Their Monte-Carlo standard errors are a jackknife's over groups of passes.
//!
//! Hidden states of all passes are computed first, for documents whose hidden states fit into a fixed number of bytes;
//! then logits exist for few rows and passes at a time, and sums over passes for few rows. So memory depends on neither
//! the number of passes nor of documents, and on the vocabulary through one row's sums at the least.

mod estimate;
mod passes;
mod pieces;
mod record;
mod spread;
mod table;

pub use estimate::{Estimate, Work, estimate};
pub use record::Recorder;
pub use spread::{Measures, Spread, Sums};
pub use table::write_table;

use tokensieve_documents::estimates::{Drawn, Masks, Named, Prompt};
use tokensieve_model::{Adapter, Place};

/// What predictions are drawn from.
#[derive(Debug)]
pub enum Posterior {
    /// Nothing: only the prediction without dropout.
    None,
    /// Dropout while predicting.
    Dropout(Chances),
    /// Adapters on the same base, each as likely.
    Adapters(Vec<Adapter>),
}

/// Dropout while predicting.
#[derive(Clone, Debug, PartialEq)]
pub struct Chances {
    /// How many predictions.
    pub passes: usize,
    /// Share of numbers that are dropped.
    pub rate: f64,
    /// Where.
    pub places: Vec<Place>,
    /// Which tokens lose the same.
    pub masks: Masks,
    /// Whether the prompt takes part.
    pub prompt: Prompt,
    /// All masks follow from it, the pass and the document's tokens.
    pub seed: u64,
}

/// How much is computed at a time, which changes no result beyond rounding.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Tokens that go through the model together.
    pub tokens: usize,
    /// Bytes of hidden states of all passes.
    pub hidden_bytes: usize,
    /// Bytes of sums over passes.
    pub sums_bytes: usize,
    /// Bytes of logits.
    pub logits_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        // Choices: packs that keep two cores busy; some forty short documents at 100 passes; the sums of 16 rows, and
        // 512 logits' rows, at a vocabulary of 49,152.
        Self { tokens: 4096, hidden_bytes: 256 << 20, sums_bytes: 64 << 20, logits_bytes: 48 << 20 }
    }
}

impl Posterior {
    /// How many predictions there are of a token.
    pub fn passes(&self) -> usize {
        match self {
            Self::None => 0,
            // Nothing is dropped: all passes are one, the prediction itself.
            Self::Dropout(chances) if !chances.drops() => 0,
            Self::Dropout(chances) => chances.passes,
            Self::Adapters(adapters) => adapters.len(),
        }
    }
}

impl Posterior {
    /// What the file's header says of it; its adapters come from these folders.
    pub fn drawn(&self, folders: &[Named]) -> Drawn {
        match self {
            Self::None => Drawn::None,
            Self::Dropout(Chances { passes, rate, places, masks, prompt, seed }) => Drawn::Dropout {
                passes: *passes,
                rate: *rate,
                places: places.clone(),
                masks: *masks,
                prompt: *prompt,
                seed: *seed,
            },
            Self::Adapters(_) => Drawn::Adapters { adapters: folders.to_vec() },
        }
    }
}

impl Chances {
    fn drops(&self) -> bool {
        self.rate > 0.0 && !self.places.is_empty()
    }
}
