//! A data set, read and tokenised.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokensieve_data::Catalogue;

use super::format::{self, Format};
use super::read;
use tokensieve_model::Document;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::text::{Conversation, Tokenizer};

/// Where rows come from and what to do with those that do not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSource {
    /// A file, or the name of a data set in data.toml: `gsm8k`, or with its split `gsm8k/test`.
    pub source: String,
    /// Which file of a named data set; `train` if not given, or the only one.
    pub split: Option<String>,
    /// How rows are written; found by the first row's keys if not given.
    pub format: Option<Format>,
    /// Leaves out bad rows, counts and lists them. Otherwise the first is an error.
    pub skip_bad: bool,
    /// What to do with documents of more than `max_length` tokens.
    pub truncate: Truncate,
    /// The most tokens that a document may have.
    pub max_length: Option<usize>,
    /// Leaves out so many rows at the beginning, whatever they hold.
    pub skip: usize,
    /// Only so many rows, from the first that is not left out.
    pub limit: Option<usize>,
}

/// What to do with a document that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncate {
    /// It is a bad row.
    #[default]
    Never,
    /// Its last tokens are cut off, and the document counted.
    End,
}

/// Documents of a data set, in the order of its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataSet {
    /// What is trained on.
    pub documents: Vec<Document>,
    /// Rows read, bad ones included, those left out at the beginning not.
    pub rows: usize,
    /// Rows left out.
    pub skipped: Vec<Skipped>,
    /// Documents cut to `max_length`.
    pub truncated: usize,
    /// The file read.
    pub path: PathBuf,
    /// Why the catalogue handed out another set than the one asked for, if it did.
    pub substitution: Option<String>,
    /// SHA-256 of the documents, in hex: what results depend on.
    pub hash: String,
}

/// A bad row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its number in the data set, from 0.
    pub row: usize,
    /// Its line in the file, from 1; for Parquet, its number from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Rows that are tokenised at a time: enough that threads find work, few enough that memory holds two forms of a small
/// part of the data only (choice).
const PORTION: usize = 2048;

impl DataSource {
    /// All of a file or named data set, every row good and of any length.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), ..Self::default() }
    }
}

/// Reads and tokenises a data set.
pub fn load(source: &DataSource, tokenizer: &Tokenizer) -> Result<DataSet> {
    let (path, substitution) = find(source)?;
    let mut reading = Reading {
        source,
        tokenizer,
        format: source.format,
        to_skip: source.skip,
        portion: Vec::new(),
        set: DataSet { path: path.clone(), substitution, ..DataSet::default() },
    };
    if source.limit != Some(0) {
        read::rows(&path, &mut |line, row| reading.take(line, row))?;
    }
    reading.tokenise()?;
    let mut set = reading.set;
    if set.documents.is_empty() {
        let first =
            set.skipped.first().map_or(String::new(), |bad| format!("; line {}: {}", bad.line, bad.reason));
        let left = if source.skip == 0 { String::new() } else { format!(" after the first {}", source.skip) };
        return Err(Error::file(&path, format!("none of its {} rows{left} can be used{first}", set.rows)));
    }
    set.hash = hash(&set.documents);
    Ok(set)
}

/// Where a source's rows lie.
#[derive(Debug)]
pub enum Place {
    /// In this file.
    File(PathBuf),
    /// In a set of the catalogue.
    Set {
        /// Its name.
        name: String,
        /// Which of its files.
        key: String,
    },
}

/// What is wrong with how rows are named.
#[derive(Debug)]
pub enum Misnamed {
    /// Neither a file nor a data set by name.
    Source(String),
    /// A split that the data set does not have.
    Split(String),
}

impl DataSource {
    /// Where its rows lie; nothing is fetched.
    pub fn place(&self, catalogue: &Catalogue) -> Result<Place, Misnamed> {
        let name = &self.source;
        let path = Path::new(name);
        // A pipe is as good as a file.
        if path.exists() && !path.is_dir() {
            return match &self.split {
                None => Ok(Place::File(path.to_owned())),
                Some(split) => {
                    Err(Misnamed::Split(format!("`{name}` is one file, without a split `{split}`")))
                }
            };
        }
        if path.exists() {
            return Err(Misnamed::Source(format!("`{name}` is a folder; name a file in it")));
        }
        let (set_name, split) = self.named(catalogue)?;
        let Ok(set) = catalogue.set(set_name) else {
            let what = format!("there is no file `{name}`, and no data set of that name in data.toml");
            return Err(Misnamed::Source(what));
        };
        let keys: Vec<&str> = set.files.keys().map(String::as_str).collect();
        let key = match (split, keys.as_slice()) {
            (None, [only]) => only,
            (split, _) => split.unwrap_or("train"),
        };
        if !keys.contains(&key) {
            let what = format!("the data set `{set_name}` has no split `{key}`, only {}", keys.join(", "));
            return Err(Misnamed::Split(what));
        }
        Ok(Place::Set { name: set_name.to_owned(), key: key.to_owned() })
    }

    /// The name of a set, and its split if one is asked for: apart, or after a slash.
    fn named(&self, catalogue: &Catalogue) -> Result<(&str, Option<&str>), Misnamed> {
        match (self.source.split_once('/'), self.split.as_deref()) {
            (Some((set, split)), None) => Ok((set, Some(split))),
            (Some((set, split)), Some(other)) if catalogue.set(set).is_ok() => {
                let what = format!("`{}` names its split, so that `{other}` cannot be another", self.source);
                if split == other { Ok((set, Some(split))) } else { Err(Misnamed::Split(what)) }
            }
            (_, split) => Ok((&self.source, split)),
        }
    }
}

/// The file, and why it is not the one asked for.
pub(super) fn find(source: &DataSource) -> Result<(PathBuf, Option<String>)> {
    let catalogue = Catalogue::load()?;
    let place = source.place(&catalogue).map_err(|wrong| {
        let (Misnamed::Source(what) | Misnamed::Split(what)) = wrong;
        Error::setting("data", what)
    })?;
    let (name, key) = match place {
        Place::File(path) => return Ok((path, None)),
        Place::Set { name, key } => (name, key),
    };
    let files = catalogue.fetch(&name)?;
    let why = files
        .substitution()
        .map(|why| format!("{} in place of {}: {}", files.title(), why.title, why.reason));
    Ok((files.path(&key).to_owned(), why))
}

/// A row waiting to be tokenised, or to be refused in its turn.
struct Pending {
    row: usize,
    line: usize,
    /// What it says, and its advantage.
    read: Result<(Conversation, Option<f64>), String>,
}

struct Reading<'a> {
    source: &'a DataSource,
    tokenizer: &'a Tokenizer,
    format: Option<Format>,
    /// Rows at the beginning that are still to be left out.
    to_skip: usize,
    portion: Vec<Pending>,
    set: DataSet,
}

impl Reading<'_> {
    fn take(&mut self, line: usize, row: read::Row) -> Result<ControlFlow<()>> {
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        let number = self.source.skip + self.set.rows;
        self.set.rows += 1;
        let read = row.and_then(|row| {
            let format = self.format.map_or_else(|| Format::of(&row), Ok)?;
            self.format = Some(format);
            Ok((format.conversation(&row)?, format::advantage(&row)?))
        });
        let last = read.is_err() && !self.source.skip_bad;
        self.portion.push(Pending { row: number, line, read });
        if last || self.portion.len() >= PORTION {
            self.tokenise()?;
        }
        let enough = self.source.limit.is_some_and(|limit| self.set.rows >= limit);
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn bad(&mut self, bad: Skipped) -> Result<()> {
        if !self.source.skip_bad {
            let what = format!("{} (--skip-bad or data.skip_bad leaves such rows out)", bad.reason);
            return Err(Error::line(&self.set.path, bad.line, what));
        }
        self.set.skipped.push(bad);
        Ok(())
    }

    /// The waiting rows as documents, on all cores, in their order.
    fn tokenise(&mut self) -> Result<()> {
        let portion = std::mem::take(&mut self.portion);
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let each = portion.len().div_ceil(threads).max(1);
        let tokenizer = self.tokenizer;
        let documents = |rows: &[Pending]| -> Vec<_> {
            let document = |pending: &Pending| {
                let (conversation, advantage) = pending.read.as_ref().map_err(String::clone)?;
                let mut documents = tokenizer.try_documents(conversation, pending.row)?;
                for document in &mut documents {
                    document.given.advantage = *advantage;
                }
                Ok(documents)
            };
            rows.iter().map(document).collect()
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let parts: Vec<_> = portion.chunks(each).map(|rows| scope.spawn(|| documents(rows))).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for (pending, outcome) in portion.iter().zip(outcomes) {
            let fitted = outcome.and_then(|documents| self.fit(documents));
            match fitted {
                Ok((documents, cut)) => {
                    self.set.documents.extend(documents);
                    self.set.truncated += cut;
                }
                Err(reason) => self.bad(Skipped { row: pending.row, line: pending.line, reason })?,
            }
        }
        Ok(())
    }

    /// A row's documents within `max_length`, and how many were cut.
    fn fit(&self, mut documents: Vec<Document>) -> Result<(Vec<Document>, usize), String> {
        let max = self.source.max_length.unwrap_or(usize::MAX);
        let mut cut = 0;
        for document in documents.iter_mut().filter(|document| document.tokens.len() > max) {
            if self.source.truncate == Truncate::Never {
                let length = document.tokens.len();
                return Err(format!("has {length} tokens, more than {max}; `truncate = \"end\"` cuts it"));
            }
            document.tokens.truncate(max);
            document.weights.truncate(max);
            cut += 1;
        }
        if documents.iter().any(|document| document.response_tokens() == 0) {
            return Err(format!("nothing of its response lies within its first {max} tokens"));
        }
        Ok((documents, cut))
    }
}

fn hash(documents: &[Document]) -> String {
    let mut hash = Sha256::new();
    for document in documents {
        hash.update((document.row as u64).to_le_bytes());
        hash.update((document.tokens.len() as u64).to_le_bytes());
        document.tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
        document.weights.iter().for_each(|weight| hash.update(weight.to_le_bytes()));
        if let Some(advantage) = document.given.advantage {
            hash.update(advantage.to_le_bytes());
        }
    }
    format!("{:x}", hash.finalize())
}
