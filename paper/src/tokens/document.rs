//! The file that `tokensieve uncertainty` writes: a header line, then one document per line.

use crate::read;
use anyhow::{Context as _, Result, ensure};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The dropout rate of all figures but figure 10.
pub const RATE: f64 = 0.1;

/// One document, token by token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its row in the data set.
    pub row: usize,
    /// Prompt and response.
    pub tokens: Vec<Token>,
}

/// One token. Tokens of the prompt are not scored; without stochastic passes there is no uncertainty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its text, blanks included.
    pub text: String,
    /// Whether it belongs to the response.
    pub response: bool,
    /// Kind of token: `number`, `operator`, `punctuation`, `word`, …
    pub class: Option<String>,
    /// −log p, in nats.
    pub loss: Option<f64>,
    /// Entropy of the prediction without dropout, in nats.
    pub entropy: Option<f64>,
    /// p.
    pub probability: Option<f64>,
    /// Entropy of the mean prediction.
    pub total: Option<f64>,
    /// Mean entropy of the predictions.
    pub aleatoric: Option<f64>,
    /// Their difference, BALD.
    pub epistemic: Option<f64>,
    /// Mean divergence of two predictions, over all ordered pairs of passes, a pass with itself included.
    pub pairwise_kl: Option<f64>,
    /// The most probable tokens and their probabilities.
    #[serde(default)]
    pub top: Vec<(String, f64)>,
}

/// What a token can be coloured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantity {
    /// Epistemic uncertainty.
    Epistemic,
    /// Aleatoric uncertainty.
    Aleatoric,
    /// Total uncertainty.
    Total,
    /// Predictive loss.
    Loss,
    /// Entropy of the prediction without dropout.
    Entropy,
    /// Mean divergence of two predictions. Of few passes BALD is too small, for it cannot exceed the logarithm of their
    /// number; this, times P/(P − 1), is not.
    Pairwise,
}

impl Quantity {
    /// What tokens are coloured by, in the order of the papers' pictures.
    pub const ALL: [Self; 5] = [Self::Epistemic, Self::Aleatoric, Self::Total, Self::Loss, Self::Entropy];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epistemic => "epistemic",
            Self::Aleatoric => "aleatoric",
            Self::Total => "total",
            Self::Loss => "loss",
            Self::Entropy => "entropy",
            Self::Pairwise => "pairwise",
        }
    }

    /// Its value at a token, where there is one.
    pub fn of(self, token: &Token) -> Option<f64> {
        match self {
            Self::Epistemic => token.epistemic,
            Self::Aleatoric => token.aleatoric,
            Self::Total => token.total,
            Self::Loss => token.loss,
            Self::Entropy => token.entropy,
            Self::Pairwise => token.pairwise_kl,
        }
    }
}

impl Document {
    /// The tokens that are scored.
    pub fn response(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| token.response)
    }

    /// A quantity at every response token that has it.
    pub fn values(&self, quantity: Quantity) -> Vec<f64> {
        self.response().filter_map(|token| quantity.of(token)).collect()
    }
}

/// A line of the file that is no document.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "header")]
    _header: IgnoredAny,
}

/// Reads the documents of one file, in the order of their rows.
pub fn read(path: &Path) -> Result<Vec<Document>> {
    let text = read::text(path)?;
    let documents = parse(&text).with_context(|| format!("reading {}", path.display()))?;
    ensure!(!documents.is_empty(), "{} holds no document", path.display());
    Ok(documents)
}

fn parse(text: &str) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let document: Document = match serde_json::from_str(line) {
            Ok(document) => document,
            Err(_) if serde_json::from_str::<Header>(line).is_ok() => continue,
            Err(error) => {
                let forms = r#"{"header": …} nor {"row": …, "tokens": […]}"#;
                return Err(error).with_context(|| format!("line {} is neither {forms}", at + 1));
            }
        };
        let scored = document.response().all(|token| token.loss.is_some() && token.entropy.is_some());
        ensure!(scored, "line {}: a response token without loss or entropy", at + 1);
        documents.push(document);
    }
    documents.sort_by_key(|document| document.row);
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"header": {"passes": 20, "rate": 0.1}}"#;

    #[test]
    fn header_and_documents_are_told_apart_and_sorted() -> Result<()> {
        let second = r#"{"row": 7, "tokens": [{"id": 1, "text": "Q", "response": false},
            {"id": 2, "text": " 4", "response": true, "class": "number", "loss": 0.5, "entropy": 1.0,
             "probability": 0.6, "total": 1.2, "aleatoric": 1.0, "epistemic": 0.2, "pairwise_kl": 0.3,
             "se": {"total": 0.01}, "top": [[" 4", 0.6], [" 5", 0.1]]}]}"#
            .replace('\n', " ");
        let first = r#"{"row": 2, "tokens": []}"#;
        let documents = parse(&[HEADER, &second, "", first].join("\n"))?;
        assert_eq!(documents.iter().map(|document| document.row).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(documents[1].values(Quantity::Epistemic), [0.2]);
        assert_eq!(documents[1].tokens[1].top[1], (" 5".to_owned(), 0.1));
        assert!(!documents[1].tokens[0].response);
        Ok(())
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = parse(&format!("{HEADER}\n{{\"rows\": 1}}")).unwrap_err().to_string();
        assert!(error.starts_with("line 2 is neither"), "{error}");
        let error = parse(r#"{"row": 1, "tokens": [{"text": "a", "response": true}]}"#).unwrap_err();
        assert!(error.to_string().contains("without loss"), "{error}");
    }
}
