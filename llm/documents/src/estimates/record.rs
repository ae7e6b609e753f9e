//! A document with what is known of its tokens, as it is written.

use serde::{Deserialize, Serialize};

/// A document and what is known of its tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DocumentRecord {
    /// Its row in the data set, counted from 0.
    pub row: usize,
    /// All its tokens.
    pub tokens: Vec<TokenRecord>,
}

/// A token. Those that are not predicted (the prompt's) have only `id`, `text` and `response`. Numbers are in nats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The token.
    pub id: u32,
    /// Its part of the text: all tokens' parts together are the document. Where several tokens make up a character, the
    /// last of them has it.
    pub text: String,
    /// Whether it is predicted.
    pub response: bool,
    /// Kind of token: number, operator, punctuation, word, continuation, space, special, other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// −log p.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f32>,
    /// Entropy of the prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f32>,
    /// p.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
    /// Entropy of the mean prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f32>,
    /// Mean entropy of the predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aleatoric: Option<f32>,
    /// total − aleatoric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epistemic: Option<f32>,
    /// Mean KL divergence between predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairwise_kl: Option<f32>,
    /// Mean KL divergence from the mean prediction to each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse_mi: Option<f32>,
    /// Standard errors of the last five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se: Option<Errors>,
    /// The most probable tokens' texts with their probabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, f32)>,
}

/// Monte-Carlo standard errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as what they are errors of")]
pub struct Errors {
    pub total: f32,
    pub aleatoric: f32,
    pub epistemic: f32,
    pub pairwise_kl: f32,
    pub reverse_mi: f32,
}
