//! One line of a file of estimates: a document and the estimates of its tokens.

use serde::{Deserialize, Serialize};

/// A document and the estimates of its tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DocumentRecord {
    /// The document's row in the data set, counted from 0.
    pub row: usize,
    /// The tokens of the document.
    pub tokens: Vec<TokenRecord>,
}

/// A token and its estimates, in nats. Tokens of the prompt have only `id`, `text` and `response`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The token's number in the vocabulary.
    pub id: u32,
    /// The token's part of the text; the parts of all tokens concatenate to the document. Where several tokens encode one
    /// character, the last of them has it.
    pub text: String,
    /// Whether the token belongs to the response and is predicted.
    pub response: bool,
    /// Class of the token: number, operator, punctuation, word, continuation, space, special, other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Loss: −log p.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f32>,
    /// Entropy of the prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f32>,
    /// Probability p of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
    /// Entropy of the mean of the sampled predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f32>,
    /// Mean entropy of the sampled predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aleatoric: Option<f32>,
    /// total − aleatoric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epistemic: Option<f32>,
    /// Mean KL divergence between the sampled predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairwise_kl: Option<f32>,
    /// Mean KL divergence from the mean prediction to each sampled prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse_mi: Option<f32>,
    /// Monte-Carlo standard errors of the five measures before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se: Option<Measures<f32>>,
    /// The most probable tokens: text and probability, the most probable first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, f32)>,
    /// Their numbers in the vocabulary: two tokens may have one text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_ids: Vec<u32>,
}

/// The five measures of uncertainty, in nats, or something of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures<T = f64> {
    /// Entropy of the mean prediction.
    pub total: T,
    /// Mean entropy of the predictions.
    pub aleatoric: T,
    /// Their difference.
    pub epistemic: T,
    /// Mean KL divergence between predictions.
    pub pairwise_kl: T,
    /// Mean KL divergence from the mean prediction to each.
    pub reverse_mi: T,
}

impl<T> Measures<T> {
    /// What becomes of each of them.
    pub fn map<U>(self, of: impl Fn(T) -> U) -> Measures<U> {
        Measures {
            total: of(self.total),
            aleatoric: of(self.aleatoric),
            epistemic: of(self.epistemic),
            pairwise_kl: of(self.pairwise_kl),
            reverse_mi: of(self.reverse_mi),
        }
    }
}
