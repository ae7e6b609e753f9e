//! Reads what `tokensieve make oracle` wrote.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;
use tokensieve_base::files::read_line;

use super::{Language, Prediction, Token, settings, symbols, tokens};
use crate::{Error, Result};

/// How far a stored probability may be from the language's: rounding, but no other language.
const TOLERANCE: f64 = 1e-9;

/// A document of a file, with the language that it was drawn from.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its place among the rows of the file, from 0, as data sets count them.
    pub row: usize,
    /// Its line in the file, from 1.
    pub line: usize,
    /// `oracle/SPLIT/SEED/INDEX`.
    pub id: String,
    /// The document.
    pub text: String,
    /// Its tokens, one per character.
    pub tokens: Vec<Token>,
    language: Rc<Language>,
}

impl Sample {
    /// The exact distributions of each token.
    ///
    /// # Panics
    /// Never: [`read`] has checked that the document is one of the language.
    pub fn predictions(&self) -> Vec<Prediction> {
        self.language.predictions(&self.tokens).expect("checked when read")
    }
}

/// A row as the file has it.
#[derive(Deserialize)]
struct Stored {
    id: Option<String>,
    text: Option<String>,
    tokens: Option<Columns>,
}

#[derive(Deserialize)]
struct Columns {
    p: Option<Vec<f64>>,
}

/// Reads all rows of a file in JSON lines. Each must have an `id` and a `text` that is a document of the language of
/// this id; where the row has probabilities, they must be this language's.
pub fn read(path: &Path) -> Result<Vec<Sample>> {
    let file = File::open(path).map_err(|error| Error::file(path, error))?;
    let mut languages = HashMap::new();
    let mut rows = Vec::new();
    let (mut input, mut bytes) = (BufReader::new(file), Vec::new());
    for line in 1.. {
        read_line(&mut input, &mut bytes).map_err(|error| Error::line(path, line, error))?;
        if bytes.is_empty() {
            break;
        }
        let text = str::from_utf8(&bytes).map_err(|error| Error::line(path, line, error))?;
        if text.trim().is_empty() {
            continue;
        }
        let row = row(text, &mut languages).map_err(|what| Error::line(path, line, what))?;
        rows.push(Sample { row: rows.len(), line, ..row });
    }
    if rows.is_empty() {
        return Err(Error::file(path, "has no rows; `tokensieve make oracle` writes some"));
    }
    Ok(rows)
}

/// The language of each split and seed.
type Languages = HashMap<(String, u64), Rc<Language>>;

fn row(line: &str, languages: &mut Languages) -> Result<Sample, String> {
    let stored: Stored = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let id = stored.id.ok_or("has no `id`; `tokensieve make oracle` writes oracle/SPLIT/SEED/INDEX")?;
    let text = stored.text.ok_or("has no `text`")?;
    let language = language(&id, languages)?;
    let tokens = tokens(&text).ok_or_else(|| {
        let unknown = text.chars().find(|c| !symbols().contains(c)).unwrap_or_default();
        format!("`{unknown}` is not a symbol of the language")
    })?;
    let predictions = language.predictions(&tokens).map_err(|place| outside(&id, &text, place))?;
    if let Some(stored) = stored.tokens.and_then(|columns| columns.p) {
        let p: Vec<f64> = tokens.iter().zip(&predictions).map(|(token, next)| next.data.p(*token)).collect();
        if stored.len() != p.len() || stored.iter().zip(&p).any(|(a, b)| (a - b).abs() > TOLERANCE) {
            let what = "its probabilities `p` are not those of the language of its `id`; make the file again";
            return Err(what.to_owned());
        }
    }
    Ok(Sample { row: 0, line: 0, id, text, tokens, language })
}

/// The language of a row's id.
fn language(id: &str, languages: &mut Languages) -> Result<Rc<Language>, String> {
    let ["oracle", split, seed, _] = id.split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("`id` must be oracle/SPLIT/SEED/INDEX, not `{id}`"));
    };
    let seed = seed.parse().map_err(|_| format!("the seed in the id `{id}` must be a whole number"))?;
    let key = (split.to_owned(), seed);
    if let Some(known) = languages.get(&key) {
        return Ok(Rc::clone(known));
    }
    let language = Rc::new(Language::new(seed, settings(split).map_err(|error| error.to_string())?));
    languages.insert(key, Rc::clone(&language));
    Ok(language)
}

/// Why a text is not a document: what stands where nothing like it can stand.
fn outside(id: &str, text: &str, place: usize) -> String {
    let before: String = text.chars().take(place).collect();
    match text.chars().nth(place) {
        Some(symbol) => format!("`{symbol}` cannot follow `{before}` in the language of {id}"),
        None => format!("`{before}` does not end as a document of the language of {id} does"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::oracle;

    fn read_text(text: &str) -> Result<Vec<Sample>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn made_rows_come_back_with_their_language() {
        let made = |split: &str, seed, index| {
            oracle::row(&Language::new(seed, settings(split).unwrap()), seed, split, index)
        };
        let rows = [made("test", 1, 0), made("uniform-20", 2, 5), made("test", 1, 3)];
        let text = format!("{}\n\n{}\n{}\n", rows[0], rows[1], rows[2]);
        let read = read_text(&text).unwrap();
        assert_eq!(read.iter().map(|row| (row.row, row.line)).collect::<Vec<_>>(), [(0, 1), (1, 3), (2, 4)]);
        for (row, made) in read.iter().zip(&rows) {
            assert_eq!(
                (row.id.as_str(), row.text.as_str()),
                (made["id"].as_str().unwrap(), made["text"].as_str().unwrap())
            );
            let stored = made["tokens"]["entropy"].as_array().unwrap();
            let entropies: Vec<Value> =
                row.predictions().iter().map(|next| next.data.entropy().into()).collect();
            assert_eq!(entropies, *stored);
        }
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_line() {
        let good = "{\"id\": \"oracle/test/0/0\", \"text\": \"{C1|1.$\"}\n";
        assert_eq!(read_text(good).unwrap().len(), 1);
        for (bad, why) in [
            ("{\"text\": \"{C1|1.$\"}", "has no `id`"),
            ("{\"id\": \"oracle/test/0/0\"}", "has no `text`"),
            ("{\"id\": \"gsm8k/1\", \"text\": \"x\"}", "must be oracle/SPLIT/SEED/INDEX, not `gsm8k/1`"),
            ("{\"id\": \"oracle/dev/0/0\", \"text\": \"x\"}", "no split is called `dev`"),
            ("{\"id\": \"oracle/test/x/0\", \"text\": \"x\"}", "must be a whole number"),
            ("{\"id\": \"oracle/test/0/0\", \"text\": \"{C1|!.$\"}", "`!` is not a symbol"),
            ("{\"id\": \"oracle/test/0/0\", \"text\": \"{C1|2.$\"}", "`2` cannot follow `{C1|`"),
            ("{\"id\": \"oracle/test/0/0\", \"text\": \"{C1|1.\"}", "`{C1|1.` does not end"),
            (
                "{\"id\": \"oracle/test/0/0\", \"text\": \"{C1|1.$\", \"tokens\": {\"p\": [1.0]}}",
                "`p` are not those",
            ),
            ("{\"id\": ", "EOF"),
        ] {
            let error = read_text(&format!("{good}\n{bad}\n")).unwrap_err().to_string();
            assert!(error.contains(":3: ") && error.contains(why), "{bad}: {error}");
        }
        assert!(read_text("\n").unwrap_err().to_string().contains("has no rows"));
    }
}
