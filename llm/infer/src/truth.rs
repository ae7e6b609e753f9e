//! The exact distribution of the oracle language as a file for `reference.topk`.

use std::collections::HashMap;
use std::path::Path;

use crate::evaluate::symbol_tokens;
use tokensieve_documents::DataSet;
use tokensieve_model::head::{Origin, Top, TopTable};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Document, Error, Result};
use tokensieve_tasks::oracle::{self, Language, Token};

/// Writes the distribution, without noise, of every token that a data set predicts: rows of this split and seed of the
/// oracle language, for a model with so many tokens in its vocabulary. Returns the number of tokens of the largest support.
pub fn write(
    split: &str,
    seed: u64,
    tokenizer: &Tokenizer,
    set: &DataSet,
    vocabulary: i64,
    path: &Path,
) -> Result<usize> {
    let language = Language::new(seed, oracle::settings(split).map_err(Error::other)?);
    let symbols = Symbols::new(tokenizer)?;
    let truths = set.documents.iter().map(|document| {
        symbols.truth(&language, document).map_err(|what| {
            let what =
                format!("row {} (from 0) is not of split {split} and seed {seed}: {what}", document.row);
            Error::file(&set.path, what)
        })
    });
    let truths = truths.collect::<Result<Vec<_>>>()?;
    let k = truths.iter().flatten().map(|token| token.support.len()).max().unwrap_or(1);
    let mut table = TopTable::new(k);
    for (document, truth) in set.documents.iter().zip(&truths) {
        let labels: Vec<u32> = truth.iter().map(|token| token.label).collect();
        let losses = truth.iter().map(Truth::loss);
        let mut top = Top::of(k);
        for token in truth {
            token.append(&mut top);
        }
        table.push([(document.row, truth.len())], &labels, losses, &top);
    }
    let model = format!("oracle/{split}/{seed}");
    let origin = Origin { model: &model, adapter: None, precision: None, data: &set.hash };
    table.write(path, vocabulary, origin)?;
    Ok(k)
}

/// A predicted token and its distribution.
#[derive(Debug, PartialEq)]
struct Truth {
    label: u32,
    /// The tokens that can stand there, with their probabilities.
    support: Vec<(u32, f64)>,
}

/// The probability that stands for 0, whose logarithm is not finite: the least positive one of the file's type.
const NEVER: f32 = f32::MIN_POSITIVE;

impl Truth {
    fn certain(label: u32) -> Self {
        Self { label, support: vec![(label, 1.0)] }
    }

    /// −log of the label's probability.
    fn loss(&self) -> f64 {
        let found = self.support.iter().find(|(id, _)| *id == self.label);
        -found.map_or(f64::from(NEVER), |(_, p)| *p).ln()
    }

    /// Appends the support, most probable first, filled up to k with tokens that cannot stand there. Nothing is left for
    /// others.
    fn append(&self, top: &mut Top) {
        let mut support = self.support.clone();
        support.sort_by(|(_, p), (_, q)| q.total_cmp(p));
        let others = (0..).filter(|id| self.support.iter().all(|(own, _)| own != id));
        let all = support.into_iter().map(|(id, p)| (id, p as f32)).chain(others.map(|id| (id, NEVER)));
        for (id, p) in all.take(top.k) {
            top.ids.push(id);
            top.probabilities.push(p);
        }
        top.tails.push(0.0);
    }
}

/// The language's symbols as tokens of a model.
struct Symbols<'t> {
    tokenizer: &'t Tokenizer,
    ids: Vec<u32>,
    of_id: HashMap<u32, Token>,
}

impl<'t> Symbols<'t> {
    fn new(tokenizer: &'t Tokenizer) -> Result<Self> {
        let ids = symbol_tokens(tokenizer)?;
        let of_id = ids.iter().copied().zip((0..).map(Token)).collect();
        Ok(Self { tokenizer, ids, of_id })
    }

    /// The distributions of the tokens that a document predicts: those of its symbols, and the end-of-text token, which
    /// is certain.
    fn truth(&self, language: &Language, document: &Document) -> Result<Vec<Truth>, String> {
        let leading = self.tokenizer.leading();
        let body = document.tokens.strip_prefix(leading).unwrap_or(&document.tokens);
        let is_end = |id: &u32| self.tokenizer.eos().contains(id) && !self.of_id.contains_key(id);
        let (written, end) = match body.split_last() {
            Some((last, written)) if is_end(last) => (written, Some(*last)),
            _ => (body, None),
        };
        let symbol = |id: &u32| {
            let text = || self.tokenizer.inner().id_to_token(*id).unwrap_or_default();
            self.of_id.get(id).copied().ok_or_else(|| format!("its token `{}` is not a symbol", text()))
        };
        let tokens = written.iter().map(symbol).collect::<Result<Vec<_>, _>>()?;
        let predictions = language.predictions(&tokens).map_err(|place| match tokens.get(place) {
            Some(token) => {
                let [before, after] = [&tokens[..place], &[*token]].map(oracle::text);
                format!("`{after}` cannot follow `{before}`")
            }
            None => "its end is missing; the exact distribution needs whole documents".to_owned(),
        })?;
        let of_symbols = written.iter().zip(predictions).map(|(id, prediction)| Truth {
            label: *id,
            support: prediction
                .truth
                .tokens
                .iter()
                .map(|(token, p)| (self.ids[usize::from(token.0)], *p))
                .collect(),
        });
        let weights = &document.weights[document.tokens.len() - body.len()..];
        let all = of_symbols.chain(end.map(Truth::certain)).zip(weights);
        Ok(all.filter(|(_, weight)| **weight != 0.0).map(|(truth, _)| truth).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_support_comes_first_and_what_cannot_stand_there_fills_it_up() {
        let token = Truth { label: 1, support: vec![(5, 0.25), (1, 0.75)] };
        let mut top = Top::of(4);
        token.append(&mut top);
        assert_eq!((top.ids, top.probabilities), (vec![1, 5, 0, 2], vec![0.75, 0.25, NEVER, NEVER]));
        assert_eq!(top.tails, [0.0]);
        assert_eq!(token.loss(), -0.75_f64.ln());
        let wrong = Truth { label: 0, ..token };
        assert_eq!(wrong.loss(), -f64::from(NEVER).ln());
    }
}
