//! Estimates as they are written: a document with its tokens.

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::spread::{Measures, Spread};
use crate::text::Tokenizer;
use crate::train::log::Class;
use crate::{Document, Error, Result};

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

impl From<Measures> for Errors {
    fn from(of: Measures) -> Self {
        Self {
            total: of.total as f32,
            aleatoric: of.aleatoric as f32,
            epistemic: of.epistemic as f32,
            pairwise_kl: of.pairwise_kl as f32,
            reverse_mi: of.reverse_mi as f32,
        }
    }
}

/// Makes records with a tokenizer's texts.
#[derive(Debug)]
pub struct Recorder<'a> {
    tokenizer: &'a Tokenizer,
}

impl<'a> Recorder<'a> {
    /// With the texts of this tokenizer.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer }
    }

    /// A document with the estimates of its predicted tokens.
    pub fn document(&self, document: &Document, estimates: &[Estimate]) -> Result<DocumentRecord> {
        let texts = self.tokenizer.pieces(&document.tokens)?;
        let mut tokens: Vec<TokenRecord> = (document.tokens.iter().zip(texts))
            .map(|(id, text)| TokenRecord { id: *id, text, ..TokenRecord::default() })
            .collect();
        for estimate in estimates {
            let Some(token) = tokens.get_mut(estimate.place) else {
                return Err(Error::Run(format!("row {} has no token {}", document.row, estimate.place)));
            };
            self.fill(token, estimate)?;
        }
        Ok(DocumentRecord { row: document.row, tokens })
    }

    fn fill(&self, token: &mut TokenRecord, estimate: &Estimate) -> Result<()> {
        token.response = true;
        token.class = Some(Class::of(self.tokenizer.text_of(token.id).as_deref()).name().to_owned());
        token.loss = Some(estimate.loss as f32);
        token.entropy = Some(estimate.entropy as f32);
        token.probability = Some((-estimate.loss).exp() as f32);
        token.top = estimate
            .top
            .iter()
            .map(|(id, p)| Ok((self.tokenizer.decode(&[*id])?, *p)))
            .collect::<Result<_>>()?;
        if let Some(Spread { value, error }) = estimate.spread {
            token.total = Some(value.total as f32);
            token.aleatoric = Some(value.aleatoric as f32);
            token.epistemic = Some(value.epistemic as f32);
            token.pairwise_kl = Some(value.pairwise_kl as f32);
            token.reverse_mi = Some(value.reverse_mi as f32);
            token.se = error.map(Errors::from);
        }
        Ok(())
    }
}
