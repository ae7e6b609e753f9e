//! Reads and tokenises a data set.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;

use sha2::{Digest, Sha256};

use crate::format::{self, Format};
use crate::read;
use crate::row::Row;
use crate::source::{DataSource, Truncate, fetch};
use tokensieve_base::terminal::printable;
use tokensieve_model::text::{Conversation, Tokenizer};
use tokensieve_model::{Document, Error, Result};

/// Documents of a data set, in the order of its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataSet {
    /// The tokenised rows; a row can become several documents.
    pub documents: Vec<Document>,
    /// Number of rows read, bad rows included, rows ignored at the beginning excluded.
    pub rows: usize,
    /// Whether the source has rows after those read.
    pub more: bool,
    /// The bad rows.
    pub skipped: Vec<Skipped>,
    /// Number of documents cut to `max_length`, including those of which no response is left.
    pub truncated: usize,
    /// The rows of those documents, bad rows excluded.
    pub cut_rows: Vec<usize>,
    /// The file that was read.
    pub path: PathBuf,
    /// Why the catalogue provided another data set than the requested one, if it did.
    pub substitution: Option<String>,
    /// SHA-256 of the documents, in hex. Results depend on the data only through what is hashed here.
    pub hash: String,
}

/// A bad row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Number of the row in the data set, from 0.
    pub row: usize,
    /// Line of the row in the file, from 1; for Parquet, number of the row, from 1.
    pub line: usize,
    /// What is wrong with the row.
    pub reason: String,
}

/// Number of rows that are tokenised at a time (choice): enough to occupy all threads, few enough that only a small part
/// of the data is in memory as text and as tokens at once.
const BATCH: usize = 2048;

/// Reads and tokenises a data set.
pub fn load(source: &DataSource, tokenizer: &Tokenizer) -> Result<DataSet> {
    let (path, substitution) = fetch(source)?;
    let mut reading = Reading {
        source,
        tokenizer,
        format: source.format,
        to_skip: source.skip,
        batch: Vec::new(),
        is_full: false,
        set: DataSet { path: path.clone(), substitution, ..DataSet::default() },
    };
    if source.limit != Some(0) {
        match read::rows(&path, &mut |line, row| reading.take(line, row)) {
            // Whatever is wrong comes after the rows that were asked for.
            Err(_) if reading.is_full => reading.set.more = true,
            outcome => outcome?,
        }
    }
    reading.tokenise()?;
    let mut set = reading.set;
    if set.documents.is_empty() {
        let first =
            set.skipped.first().map_or(String::new(), |bad| format!("; line {}: {}", bad.line, bad.reason));
        let after =
            if source.skip == 0 { String::new() } else { format!(" after the first {}", source.skip) };
        return Err(Error::file(&path, format!("none of its {} rows{after} can be used{first}", set.rows)));
    }
    set.hash = hash(&set.documents);
    Ok(set)
}

/// A row waiting to be tokenised, or to be reported as bad when its turn comes.
struct Pending {
    row: usize,
    line: usize,
    /// The conversation and the advantage of the row.
    content: Result<(Conversation, Option<f64>), String>,
}

struct Reading<'a> {
    source: &'a DataSource,
    tokenizer: &'a Tokenizer,
    format: Option<Format>,
    /// Number of rows at the beginning that are still to be ignored.
    to_skip: usize,
    batch: Vec<Pending>,
    /// Whether the rows that were asked for are read, so that the next one only says that there are more.
    is_full: bool,
    set: DataSet,
}

impl Reading<'_> {
    fn take(&mut self, line: usize, row: Row) -> Result<ControlFlow<()>> {
        if self.is_full {
            self.set.more = true;
            return Ok(ControlFlow::Break(()));
        }
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        let number = self.source.skip + self.set.rows;
        self.set.rows += 1;
        let content = row.and_then(|row| {
            let format = self.format.map_or_else(|| Format::of(&row), Ok)?;
            self.format = Some(format);
            let mixed = |what| if self.source.format.is_none() { format.mixed(&row, what) } else { what };
            Ok((format.conversation(&row).map_err(mixed)?, format::advantage(&row)?))
        });
        let last = content.is_err() && !self.source.skip_bad;
        self.batch.push(Pending { row: number, line, content });
        if last || self.batch.len() >= BATCH {
            self.tokenise()?;
        }
        self.is_full = self.source.limit.is_some_and(|limit| self.set.rows >= limit);
        Ok(ControlFlow::Continue(()))
    }

    /// Lists a bad row, or fails with its reason.
    fn report(&mut self, bad: Skipped) -> Result<()> {
        if !self.source.skip_bad {
            let what = format!("{} (--skip-bad or data.skip_bad skips such rows)", bad.reason);
            return Err(Error::line(&self.set.path, bad.line, what));
        }
        self.set.skipped.push(bad);
        Ok(())
    }

    /// Turns the waiting rows into documents, on all cores and in their order.
    fn tokenise(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let each = batch.len().div_ceil(threads).max(1);
        let tokenizer = self.tokenizer;
        let documents = |rows: &[Pending]| -> Vec<_> {
            let document = |pending: &Pending| {
                let (conversation, advantage) = pending.content.as_ref().map_err(String::clone)?;
                let mut documents = tokenizer.try_documents(conversation, pending.row)?;
                for document in &mut documents {
                    document.precomputed.advantage = *advantage;
                }
                Ok(documents)
            };
            rows.iter().map(document).collect()
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let parts: Vec<_> = batch.chunks(each).map(|rows| scope.spawn(|| documents(rows))).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for (pending, outcome) in batch.iter().zip(outcomes) {
            let fitted = outcome.and_then(|documents| self.fit(documents));
            match fitted {
                Ok((documents, cut)) => {
                    self.set.documents.extend(documents);
                    self.set.truncated += cut;
                    self.set.cut_rows.extend((cut > 0).then_some(pending.row));
                }
                // A reason may quote the row.
                Err(reason) => {
                    let reason = printable(&reason);
                    self.report(Skipped { row: pending.row, line: pending.line, reason })?;
                }
            }
        }
        Ok(())
    }

    /// The documents of a row, cut to `max_length`, and how many were cut. Of several, those that keep a part of their
    /// response are left.
    fn fit(&self, mut documents: Vec<Document>) -> Result<(Vec<Document>, usize), String> {
        let max = self.source.max_length.unwrap_or(usize::MAX);
        let mut cut = 0;
        for document in documents.iter_mut().filter(|document| document.tokens.len() > max) {
            if self.source.truncate == Truncate::Never {
                let length = document.tokens.len();
                return Err(format!(
                    "has {length} tokens, more than {max}; shorten it (`train` cuts it with `data.truncate = \"end\"`, \
                     `uncertainty` with --max-length)"
                ));
            }
            document.tokens.truncate(max);
            document.weights.truncate(max);
            cut += 1;
        }
        Document::keep_trained(&mut documents);
        if documents.is_empty() {
            return Err(format!("truncation to {max} tokens leaves nothing of the response"));
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
        if let Some(advantage) = document.precomputed.advantage {
            hash.update(advantage.to_le_bytes());
        }
        for score in document.precomputed.scores.iter().flatten() {
            hash.update(score.to_le_bytes());
        }
    }
    format!("{:x}", hash.finalize())
}
