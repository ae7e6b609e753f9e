//! Documents of the oracle language with every token's exact numbers, as `tokensieve evaluate --tokens` writes them.

use super::plan::{Cell, Size};
use super::work::Work;
use crate::lab::{Job, Value, Verb};
use crate::planned::{PLAIN, Rate, Stage};
use crate::read;
use crate::tokens::{Document, Token};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// File of the exact numbers in the result of an evaluation.
const FILE: &str = "exact.jsonl";

/// Post-training data whose documents are shown token by token.
pub const SHOWN: &str = "uniform-30";

/// Every predicted token of a document with its exact numbers.
#[derive(Clone, Debug, Deserialize)]
pub struct Exact {
    /// Its row in the data.
    pub row: usize,
    /// Places of the predicted tokens.
    pub position: Vec<usize>,
    /// Their groups: `rare-fact/changed`.
    pub class: Vec<String>,
    /// KL(truth ‖ model).
    pub kl: Vec<f64>,
    /// Entropy of the truth.
    pub entropy: Vec<f64>,
    /// −log p of the written token.
    pub loss: Vec<f64>,
    /// Entropy of the model's prediction.
    pub model_entropy: Vec<f64>,
    /// p of the written token.
    pub p: Vec<f64>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

/// The jobs behind what is shown token by token.
pub struct Shown {
    /// Makes the rows.
    pub rows: Arc<Job>,
    /// Measures them, by the steps of pretraining.
    pub measured: Vec<(u64, Arc<Job>)>,
}

impl Exact {
    /// The documents in the result of a job that measured them.
    pub fn read(result: &Path) -> Result<Vec<Self>> {
        read::json_lines(&result.join(FILE))
    }

    /// A document in which the exact numbers stand where a real model has estimates: total uncertainty is H(truth) +
    /// KL(truth ‖ model), of which the first is aleatoric and the second epistemic.
    fn document(&self, text: &str) -> Document {
        let mut tokens: Vec<Token> =
            text.chars().map(|symbol| Token { text: symbol.into(), ..Token::default() }).collect();
        for (at, position) in self.position.iter().enumerate() {
            if let Some(token) = tokens.get_mut(*position) {
                token.response = true;
                token.class = Some(self.class[at].clone());
                token.loss = Some(self.loss[at]);
                token.entropy = Some(self.model_entropy[at]);
                token.probability = Some(self.p[at]);
                token.aleatoric = Some(self.entropy[at]);
                token.epistemic = Some(self.kl[at]);
                token.total = Some(self.entropy[at] + self.kl[at]);
            }
        }
        Document { row: self.row, tokens }
    }

    /// Documents with their texts, from the results of an evaluation and of the job that made its rows.
    pub fn documents(result: &Path, rows: &Path) -> Result<Vec<Document>> {
        let texts: Vec<Text> = read::json_lines(&rows.join(Verb::Make.output()))?;
        let document = |exact: &Self| {
            let text = texts.get(exact.row).with_context(|| format!("the data have no row {}", exact.row))?;
            Ok(exact.document(&text.text))
        };
        Self::read(result)?.iter().map(document).collect()
    }
}

impl Work {
    /// The exact numbers of some rows by a model.
    pub(super) fn exact(&self, name: String, rows: &Arc<Job>, model: Value) -> Arc<Job> {
        Job::new(Verb::Evaluate, name)
            .set("suite", Value::List(vec![Value::Task("oracle", rows.clone())]))
            .set("model", model)
            .set("precision", self.plan.dtype.as_str())
            .set("tokens", Value::Own(FILE.into()))
            .taking(1.0)
            .shared()
    }

    /// Rows of [`SHOWN`] by the first seed's models of all capabilities, before they are trained on them.
    pub fn shown(&self) -> Result<Shown> {
        let (data, arm) = (SHOWN.to_owned(), PLAIN.to_owned());
        let seed = self.plan.seeds.of(Stage::Main)[0];
        let cell = Cell { seed, from: 1, data, arm, rate: Rate::Tuned, look: Some(0) };
        let rows = self.measured_rows(&cell)?;
        let Size { checkpoints, .. } = &self.size;
        let of = |(step, from): (&u64, usize)| {
            let name = format!("exact {} from {from} after 0 seed {seed}", cell.data);
            Ok((*step, self.exact(name, &rows, self.start(seed, from)?)))
        };
        let measured = checkpoints.iter().zip(1..).map(of).collect::<Result<_>>()?;
        Ok(Shown { rows, measured })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_numbers_stand_where_a_real_model_has_estimates() {
        let exact = Exact {
            row: 3,
            position: vec![1, 2],
            class: vec!["free".into(), "rare-fact/changed".into()],
            kl: vec![0.5, 2.0],
            entropy: vec![1.0, 0.0],
            loss: vec![1.5, 3.0],
            model_entropy: vec![1.2, 0.4],
            p: vec![0.2, 0.05],
        };
        let document = exact.document("{Fα");
        assert_eq!(document.response().count(), 2);
        assert!(!document.tokens[0].response && document.tokens[2].text == "α");
        let last = &document.tokens[2];
        assert_eq!((last.total, last.aleatoric, last.epistemic), (Some(2.0), Some(0.0), Some(2.0)));
    }
}
