//! The file of tokens: every predicted token of the oracle language with its scores.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokensieve_base::files::{read_line, write_atomically_with};
use tokensieve_model::{Error, Result};
use tokensieve_tasks::oracle::Class;

use super::super::token_score::TokenScore;
use super::Scores;

/// A row of the file: columns with an entry per predicted token. f32 has digits enough, and half of the bytes.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    suite: Cow<'a, str>,
    row: usize,
    id: Cow<'a, str>,
    position: Vec<usize>,
    class: Vec<String>,
    kl: Vec<f32>,
    kl_data: Vec<f32>,
    entropy: Vec<f32>,
    entropy_data: Vec<f32>,
    loss: Vec<f32>,
    model_entropy: Vec<f32>,
    p: Vec<f32>,
    wrong: Vec<u8>,
}

/// Whether a file's first line is one of these.
pub(in super::super) fn is_token_file(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| read_line(&mut BufReader::new(file), &mut first));
    read.is_ok() && serde_json::from_slice::<Line>(&first).is_ok()
}

/// Writes the scores of all files in JSON lines, one line per row, atomically.
pub(in super::super) fn write(path: &Path, files: &[Scores<'_>]) -> Result<()> {
    write_atomically_with(path, |out| {
        for Scores { oracle, rows } in files {
            for (row, tokens) in oracle.rows.iter().zip(rows) {
                let first = oracle.first_position();
                let line = Line {
                    suite: Cow::Borrowed(&oracle.name),
                    row: row.row,
                    id: Cow::Borrowed(&row.id),
                    position: (first..first + tokens.len()).collect(),
                    class: tokens.iter().map(|(class, _)| class.full_name()).collect(),
                    kl: column(tokens, |score| score.kl),
                    kl_data: column(tokens, |score| score.kl_data),
                    entropy: column(tokens, |score| score.entropy),
                    entropy_data: column(tokens, |score| score.entropy_data),
                    loss: column(tokens, |score| score.loss),
                    model_entropy: column(tokens, |score| score.model_entropy),
                    p: column(tokens, |score| (-score.loss).exp()),
                    wrong: tokens.iter().map(|(_, score)| u8::from(score.wrong)).collect(),
                };
                serde_json::to_writer(&mut *out, &line).map_err(|error| Error::file(path, error))?;
                writeln!(out).map_err(Error::io(path))?;
            }
        }
        Ok(())
    })
}

fn column(tokens: &[(Class, TokenScore)], of: fn(&TokenScore) -> f64) -> Vec<f32> {
    tokens.iter().map(|(_, score)| of(score) as f32).collect()
}
