//! Documents of the oracle language, `oracle:FILE`: how far a model's predictions are from the exact distributions.
//!
//! Nothing is stored among the answers: rows take milliseconds, and ranks of tokens need all of them at once.

mod encoding;
mod measures;
mod token_file;

use std::path::Path;
use std::time::Instant;

use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Document, Error, Result};
use tokensieve_tasks::Options;
use tokensieve_tasks::oracle::{self, Class, Sample};

use super::answers::hash;
use super::groups::groups;
use super::limit::limit;
use super::model::EvaluatedModel;
use super::results::TaskResults;
use super::score::batches;
use super::token_score::TokenScore;

pub use encoding::symbol_tokens;
pub(super) use measures::MEASURES;
pub(super) use token_file::{is_token_file, write as write_tokens};

/// Prefix of the names of files of the oracle language.
pub(super) const PREFIX: &str = "oracle:";

/// The rows of a file, whose tokens are predicted.
#[derive(Debug)]
pub(super) struct Oracle {
    name: String,
    rows: Vec<Sample>,
    documents: Vec<Document>,
    /// The model's token for each symbol.
    symbols: Vec<u32>,
    /// Number of tokens before a document's first symbol.
    leading: usize,
}

/// The scores of a file's predicted tokens.
pub(super) struct Scores<'a> {
    oracle: &'a Oracle,
    /// Row by row, in the order of the rows.
    rows: Vec<Vec<(Class, TokenScore)>>,
}

impl Oracle {
    /// Reads the file that `name` names after [`PREFIX`]. Documents longer than `longest` tokens are an error.
    pub(super) fn open(name: &str, options: &Options, tokenizer: &Tokenizer, longest: usize) -> Result<Self> {
        let path = Path::new(name.strip_prefix(PREFIX).unwrap_or(name));
        if !path.is_file() {
            let what = format!("there is no file `{}`; `tokensieve make oracle` writes one", path.display());
            return Err(Error::setting(format!("--suite {name}"), what));
        }
        let symbols = encoding::symbol_tokens(tokenizer)?;
        let mut rows = oracle::read(path).map_err(Error::other)?;
        limit(&mut rows, options);
        rows.sort_by_key(|row| row.row);
        let document = |row: &Sample| {
            let document = encoding::document(tokenizer, &symbols, row)?;
            let length = document.tokens.len();
            if length > longest {
                return Err(format!("has {length} tokens, more than the {longest} of the model's context"));
            }
            Ok(document)
        };
        let named = |row: &Sample| document(row).map_err(|what| Error::line(path, row.line, what));
        let documents = rows.iter().map(named).collect::<Result<_>>()?;
        Ok(Self { name: name.to_owned(), rows, documents, symbols, leading: tokenizer.leading().len() })
    }

    /// The name in a suite.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first position of a document that is predicted: nothing predicts the first token.
    fn first_position(&self) -> usize {
        self.leading.max(1)
    }

    /// Measures the model. `None`: interrupted.
    pub(super) fn measure(
        &self,
        evaluated: &mut EvaluatedModel<'_>,
        seed: u64,
    ) -> Result<Option<(TaskResults, Scores<'_>)>> {
        let began = Instant::now();
        let mut rows = Vec::with_capacity(self.rows.len());
        for batch in batches(self.documents.iter().map(|document| document.tokens.len())) {
            if evaluated.stopped() {
                return Ok(None);
            }
            rows.extend(self.score(evaluated, batch)?);
        }
        let seconds = began.elapsed().as_secs_f64();
        let ids = self.rows.iter().map(|row| row.id.clone()).collect();
        let tallies: Vec<_> = rows.iter().map(|tokens| measures::tally(tokens)).collect();
        let sha256 = self.rows.iter().map(|row| hash(&row.text)).collect();
        let mut results = TaskResults::new(MEASURES, ids, sha256, &tallies, seconds, seed);
        results.groups = groups(rows.iter().flatten().map(|(class, score)| (*class, score)));
        Ok(Some((results, Scores { oracle: self, rows })))
    }

    /// The scores of some rows' tokens, in one forward pass.
    fn score(
        &self,
        evaluated: &EvaluatedModel<'_>,
        batch: std::ops::Range<usize>,
    ) -> Result<Vec<Vec<(Class, TokenScore)>>> {
        let documents: Vec<&Document> = self.documents[batch.clone()].iter().collect();
        let rows = &self.rows[batch];
        let predictions: Vec<_> = rows.iter().map(Sample::predictions).collect();
        let mut scores: Vec<Vec<_>> = vec![Vec::new(); rows.len()];
        let pack = evaluated.scorer.pack(&documents);
        evaluated.scorer.logits(&pack, &mut |target, logits| {
            let (row, position) =
                (target.document as usize, self.first_position() + target.position as usize);
            let place = position - self.leading;
            let (prediction, written) = (&predictions[row][place], rows[row].tokens[place]);
            let score = TokenScore::new(logits, &self.symbols, prediction, written);
            if !score.is_finite() {
                return Err(Error::not_finite(format!("{}, token {position}", rows[row].id)));
            }
            scores[row].push((prediction.data.class, score));
            Ok(())
        })?;
        Ok(scores)
    }
}
