//! The most probable tokens of a reference, computed once for a data set: a safetensors file.
//!
//! | tensor | type, shape | what |
//! |---|---|---|
//! | `rows` | i64 `[M]` | the documents, by their rows in the data set; those of one row in their order |
//! | `starts` | i64 `[M + 1]` | where each document's predicted tokens begin |
//! | `labels` | i32 `[N]` | the predicted tokens |
//! | `label_log_probs` | f32 `[N]` | their log-probabilities |
//! | `ids` | i32 `[N, k]` | the k most probable tokens, most probable first |
//! | `log_probs` | f32 `[N, k]` | their log-probabilities under the whole distribution |
//! | `tail_log_probs` | f32 `[N]` | the log-probability of all other tokens together, −∞ where nothing is left |
//!
//! Older files have no `tail_log_probs`: what is missing to 1 takes their place.
//!
//! The metadata say what made it: `format`, `model` (a hash, or the name of a language), `adapter` (a hash, or nothing),
//! `precision` (its name, or nothing for a language), `data` (a hash), `vocabulary`. Older files do not say which adapter
//! and precision.
#![allow(unsafe_code)] // Memory-mapping.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::Result;
use crate::head::Top;
use crate::weights::metadata;

/// What `format` says.
pub(super) const FORMAT: &str = "tokensieve-topk-1";

/// The tensor that older files lack.
pub(super) const TAILS: &str = "tail_log_probs";

/// A predicted token.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its document's row in the data set.
    pub row: usize,
    /// Which of the row's documents that is.
    pub part: usize,
    /// Its place among the document's predicted tokens, counted from 0.
    pub position: usize,
    /// The token.
    pub label: u32,
}

/// A file of a reference's most probable tokens, memory-mapped.
#[derive(Debug)]
pub struct TopFile {
    path: PathBuf,
    map: Mmap,
    k: usize,
    vocabulary: i64,
    /// Hash of the checkpoint that it was made with, or the name of the language whose distribution it is.
    pub model: String,
    /// Hash of the adapter on that checkpoint, empty if there was none; `None` in an older file, which does not say.
    pub adapter: Option<String>,
    /// Name of the precision that it was computed in, empty for a language; `None` in an older file.
    pub precision: Option<String>,
    /// Hash of the data set that it was made for.
    pub data: String,
    /// Where the tokens of each row's documents lie, the row's first one's first.
    rows: HashMap<usize, Vec<Range<usize>>>,
    labels: Range<usize>,
    label_log_probs: Range<usize>,
    ids: Range<usize>,
    log_probs: Range<usize>,
    tail_log_probs: Option<Range<usize>>,
}

impl TopFile {
    /// Whether a file is one, of whatever model and data.
    pub fn is_one(path: &Path) -> bool {
        let metadata = metadata(path).unwrap_or_default();
        metadata.get("format").is_some_and(|format| format == FORMAT)
    }

    /// Opens a file for a model of this vocabulary and a data set of this hash.
    pub fn open(path: &Path, vocabulary: i64, data: &str) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        // SAFETY: as long as nobody truncates the file meanwhile, which no reader of a mapped file can prevent.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        let wrong = |what: String| Error::file(path, format!("{what}; `tokensieve topk` makes such files"));
        let (_, header) = SafeTensors::read_metadata(&map)
            .map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
        let tensors = SafeTensors::deserialize(&map)
            .map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        if entry("format") != FORMAT {
            return Err(wrong(format!("its format is `{}`, not `{FORMAT}`", entry("format"))));
        }
        let place = |name: &str, dtype: Dtype, per_token: &dyn Fn(&[usize]) -> bool| {
            let tensor = tensors.tensor(name).map_err(|_| wrong(format!("has no tensor {name}")))?;
            if tensor.dtype() != dtype || !per_token(tensor.shape()) {
                return Err(wrong(format!("{name} is {:?} {:?}", tensor.dtype(), tensor.shape())));
            }
            let start = tensor.data().as_ptr() as usize - map.as_ptr() as usize;
            Ok(start..start + tensor.data().len())
        };
        let any = |shape: &[usize]| shape.len() == 1;
        let numbers = |range: Range<usize>| -> Vec<usize> {
            let words = map[range].chunks_exact(8);
            words
                .map(|b| {
                    let word = b.try_into().map_or(-1, i64::from_le_bytes);
                    usize::try_from(word).unwrap_or(usize::MAX)
                })
                .collect()
        };
        let of_document = numbers(place("rows", Dtype::I64, &any)?);
        let starts = numbers(place("starts", Dtype::I64, &any)?);
        let n = starts.last().copied().unwrap_or(0);
        if starts.len() != of_document.len() + 1 || starts.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(wrong("its documents do not follow one another".to_owned()));
        }
        let mut rows: HashMap<usize, Vec<Range<usize>>> = HashMap::new();
        for (row, pair) in of_document.into_iter().zip(starts.windows(2)) {
            rows.entry(row).or_default().push(pair[0]..pair[1]);
        }
        let k = tensors.tensor("ids").ok().and_then(|ids| ids.shape().get(1).copied()).unwrap_or(0);
        let (one, many) = (|shape: &[usize]| shape == [n], |shape: &[usize]| shape == [n, k] && k > 0);
        let has_tails = tensors.names().contains(&TAILS);
        let opened = Self {
            k,
            vocabulary: entry("vocabulary").parse().unwrap_or(0),
            model: entry("model"),
            adapter: metadata.get("adapter").cloned(),
            precision: metadata.get("precision").cloned(),
            data: entry("data"),
            rows,
            labels: place("labels", Dtype::I32, &one)?,
            label_log_probs: place("label_log_probs", Dtype::F32, &one)?,
            ids: place("ids", Dtype::I32, &many)?,
            log_probs: place("log_probs", Dtype::F32, &many)?,
            tail_log_probs: has_tails.then(|| place(TAILS, Dtype::F32, &one)).transpose()?,
            path: path.to_owned(),
            map,
        };
        if opened.vocabulary != vocabulary {
            let what =
                format!("was made with a vocabulary of {}, the model's has {vocabulary}", opened.vocabulary);
            return Err(wrong(what));
        }
        if opened.data != data {
            return Err(wrong(format!("was made for other data ({}, not {data})", opened.data)));
        }
        Ok(opened)
    }

    /// How many tokens of each prediction it has.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary as usize
    }

    /// Whether it holds the distribution of an artificial language, complete, instead of a model's prediction.
    pub fn is_exact(&self) -> bool {
        self.model.contains('/')
    }

    /// SHA-256 of all of it, in hex.
    pub fn hash(&self) -> String {
        format!("{:x}", Sha256::digest(&self.map))
    }

    fn word(&self, part: &Range<usize>, i: usize) -> [u8; 4] {
        let start = part.start + 4 * i;
        self.map[start..start + 4].try_into().expect("four bytes")
    }

    /// Where a token lies, checked against what was predicted then.
    fn token(&self, Place { row, part, position, label }: Place) -> Result<usize> {
        let Some(document) = self.rows.get(&row).and_then(|documents| documents.get(part)) else {
            let what = format!(
                "holds nothing of row {row}'s document {part} (from 0); make it for the whole data set"
            );
            return Err(Error::file(&self.path, what));
        };
        let i = document.start + position;
        if !document.contains(&i) || u32::from_le_bytes(self.word(&self.labels, i)) != label {
            let what = format!(
                "row {row} was tokenised otherwise when it was made (token {position}); make it again"
            );
            return Err(Error::file(&self.path, what));
        }
        Ok(i)
    }

    /// The k most probable tokens, or as many as there are.
    pub fn top(&self, tokens: &[Place], k: usize) -> Result<Top> {
        let k = k.min(self.k);
        let mut top = Top::of(k);
        for token in tokens {
            let token = self.token(*token)?;
            let first = token * self.k;
            for i in first..first + k {
                let id = u32::from_le_bytes(self.word(&self.ids, i));
                if i64::from(id) >= self.vocabulary {
                    return Err(Error::file(&self.path, format!("token {id} lies outside the vocabulary")));
                }
                top.ids.push(id);
                top.probabilities.push(self.probability(&self.log_probs, i));
            }
            let left_out = (first + k..first + self.k).map(|i| self.probability(&self.log_probs, i));
            top.tails.push((left_out.map(f64::from).sum::<f64>() + self.tail(token)) as f32);
        }
        Ok(top)
    }

    /// The probability that its tokens have of a prediction, on average.
    pub fn share(&self) -> f64 {
        let tokens = self.labels.len() / 4;
        1.0 - (0..tokens).map(|token| self.tail(token)).sum::<f64>() / tokens.max(1) as f64
    }

    fn probability(&self, log_probs: &Range<usize>, i: usize) -> f32 {
        f32::from_le_bytes(self.word(log_probs, i)).exp()
    }

    /// The probability of all tokens that the file does not have of a prediction.
    fn tail(&self, token: usize) -> f64 {
        match &self.tail_log_probs {
            Some(tails) => f64::from(self.probability(tails, token)),
            None if self.is_exact() || self.k == self.vocabulary() => 0.0,
            None => {
                let all = token * self.k..(token + 1) * self.k;
                let sum: f64 = all.map(|i| f64::from(self.probability(&self.log_probs, i))).sum();
                (1.0 - sum).max(0.0)
            }
        }
    }

    /// The labels' losses, in nats.
    pub fn losses(&self, tokens: &[Place]) -> Result<Vec<f64>> {
        let loss = |i: usize| -f64::from(f32::from_le_bytes(self.word(&self.label_log_probs, i)));
        tokens.iter().map(|token| self.token(*token).map(loss)).collect()
    }
}
