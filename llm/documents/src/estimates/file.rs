//! A file of estimates in JSON lines: a header with everything that the numbers depend on, then one line per document, in
//! order. An interrupted run continues after the last complete line.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::header::Header;
use super::record::DocumentRecord;
use tokensieve_base::files::read_line;
use tokensieve_model::weights::claim;
use tokensieve_model::{Error, Result};

/// Error of a second run that opens the file.
const BUSY: &str = "another run is writing its estimates into it; wait for it, or give another --out";

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    header: Header,
}

/// Appends documents to a file of estimates.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    done: usize,
}

impl Writer {
    /// Opens or creates the file. A file with another header is an error and stays unchanged, as does a file that another
    /// process is writing.
    pub fn open(path: &Path, header: &Header) -> Result<Self> {
        let file = claim(path, BUSY)?;
        if !is_empty(path)? {
            let mut reader = Reader::open(path)?;
            if let Some(difference) = difference(reader.header(), header)? {
                let what = format!(
                    "holds estimates with other settings: {difference}; choose another file with --out, or delete this one"
                );
                return Err(Error::file(path, what));
            }
            let mut done = 0;
            while reader.next_document()?.is_some() {
                done += 1;
            }
            // Drops the incomplete line of an interrupted run.
            file.set_len(reader.end).map_err(Error::io(path))?;
            return Ok(Self { path: path.to_owned(), file, done });
        }
        // The file may hold an incomplete first line.
        file.set_len(0).map_err(Error::io(path))?;
        let mut writer = Self { path: path.to_owned(), file, done: 0 };
        writer.line(&HeaderLine { header: header.clone() })?;
        Ok(writer)
    }

    /// Number of documents in the file when it was opened.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Appends a document and syncs the file to disk.
    pub fn write(&mut self, document: &DocumentRecord) -> Result<()> {
        self.line(document)
    }

    fn line(&mut self, of: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(of).map_err(|error| Error::file(&self.path, error))?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(Error::io(&self.path))
    }
}

/// Whether the file has no complete line: it is empty, or holds an incomplete header.
fn is_empty(path: &Path) -> Result<bool> {
    let mut first = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    read_line(&mut BufReader::new(file), &mut first).map_err(|error| Error::line(path, 1, error))?;
    let start = b"{\"header\"";
    let torn = first.last() != Some(&b'\n') && (first.starts_with(start) || start.starts_with(&first));
    Ok(first.is_empty() || torn)
}

/// Describes the first setting in which two headers differ.
fn difference(found: &Header, wanted: &Header) -> Result<Option<String>> {
    let table = |header: &Header| match serde_json::to_value(header) {
        Ok(serde_json::Value::Object(table)) => Ok(table),
        Ok(_) => unreachable!("a struct is an object"),
        Err(error) => Err(Error::Run(error.to_string())),
    };
    let (found, wanted) = (table(found)?, table(wanted)?);
    let differing = wanted.iter().find(|(key, value)| found.get(*key) != Some(value));
    Ok(differing.map(|(key, value)| {
        format!("{key} is {} in the file but {value} now", found.get(key).unwrap_or(&serde_json::Value::Null))
    }))
}

/// Reads documents one by one, without an incomplete last line, which an interrupted run may leave.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    lines: BufReader<File>,
    header: Header,
    number: usize,
    /// Length in bytes of the complete lines read so far.
    end: u64,
}

impl Reader {
    /// Opens a file and reads its first line.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let mut lines = BufReader::with_capacity(1 << 20, file);
        let mut text = Vec::new();
        read_line(&mut lines, &mut text).map_err(|error| Error::line(path, 1, error))?;
        let HeaderLine { header } = serde_json::from_slice(&text).map_err(|error| {
            Error::line(path, 1, format!("is not the header of a file of `tokensieve uncertainty`: {error}"))
        })?;
        Ok(Self { path: path.to_owned(), lines, header, number: 1, end: text.len() as u64 })
    }

    /// Everything that the numbers of the file depend on.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next document; `None` at the end of the file.
    pub fn next_document(&mut self) -> Result<Option<DocumentRecord>> {
        let mut text = Vec::new();
        let number = self.number + 1;
        read_line(&mut self.lines, &mut text).map_err(|error| Error::line(&self.path, number, error))?;
        if text.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.number = number;
        self.end += text.len() as u64;
        let document = serde_json::from_slice(&text);
        document.map(Some).map_err(|error| Error::line(&self.path, self.number, error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::TokenRecord;
    use super::*;

    fn record(row: usize) -> DocumentRecord {
        let token = TokenRecord { id: 3, text: "ä\n".into(), loss: Some(0.25), ..TokenRecord::default() };
        DocumentRecord { row, tokens: vec![token; 2] }
    }

    #[test]
    fn a_torn_line_is_written_again_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.jsonl");
        let mut writer = Writer::open(&path, &Header::example(5)).unwrap();
        assert_eq!(writer.done(), 0);
        (0..2).for_each(|row| writer.write(&record(row)).unwrap());
        let busy = Writer::open(&path, &Header::example(5)).unwrap_err().to_string();
        assert!(busy.contains("u.jsonl: another run is writing"), "{busy}");
        drop(writer);
        let whole = std::fs::read(&path).unwrap();
        let second = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
        // Torn anywhere: in the header, in the first document, in the second.
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let mut writer = Writer::open(&path, &Header::example(5)).unwrap();
            assert_eq!(writer.done(), usize::from(length >= second), "{length}");
            (writer.done()..2).for_each(|row| writer.write(&record(row)).unwrap());
            drop(writer);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{length}");
        }
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.header(), &Header::example(5));
        assert_eq!(reader.next_document().unwrap(), Some(record(0)));
        assert_eq!(reader.next_document().unwrap(), Some(record(1)));
        assert_eq!(reader.next_document().unwrap(), None);
    }

    #[test]
    fn other_estimates_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.jsonl");
        Writer::open(&path, &Header::example(5)).unwrap().write(&record(0)).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = Writer::open(&path, &Header::example(4)).unwrap_err().to_string();
        assert!(
            error.contains("u.jsonl: holds estimates with other settings: top is 5 in the file but 4 now"),
            "{error}"
        );
        std::fs::write(&path, "something else\n").unwrap();
        let error = Writer::open(&path, &Header::example(4)).unwrap_err().to_string();
        assert!(
            error.contains("u.jsonl:1: is not the header of a file of `tokensieve uncertainty`"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"something else\n");
        assert!(!before.is_empty());
    }
}
