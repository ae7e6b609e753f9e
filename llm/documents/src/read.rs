//! Reads the rows of a file, one after the other: JSON lines, one JSON array, or Parquet.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use crate::parquet;
use crate::row::OnRow;
use crate::unique_keys::Object;
use tokensieve_model::{Error, Result};

/// Bytes of the longest line (choice: far longer than any document that a model reads).
const LONGEST: u64 = 256 << 20;

/// Passes the rows of a file to `take`. An invalid line is one bad row; an invalid file is an error.
pub(super) fn rows(path: &Path, take: &mut OnRow) -> Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io(path))?);
    let head = input.fill_buf().map_err(Error::io(path))?;
    match head {
        [b'P', b'A', b'R', b'1', ..] => return parquet::rows(path, take),
        [0x1f, 0x8b, ..] => return Err(Error::file(path, "is compressed with gzip; decompress it first")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Err(Error::file(path, "is compressed with zstd; decompress it first"));
        }
        [0xff, 0xfe, ..] | [b'{' | b'[', 0, ..] => return Err(utf_16(path, "LE")),
        [0xfe, 0xff, ..] | [0, b'{' | b'[', ..] => return Err(utf_16(path, "BE")),
        [0xef, 0xbb, 0xbf, ..] => input.consume(3),
        _ => {}
    }
    let head = input.fill_buf().map_err(Error::io(path))?;
    match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => array(path, input, take),
        _ => lines(path, input, take),
    }
}

fn utf_16(path: &Path, order: &str) -> Error {
    let what = format!("is UTF-16, but rows are read as UTF-8; convert it: iconv -f UTF-16{order} -t UTF-8");
    Error::file(path, what)
}

fn lines(path: &Path, mut input: impl BufRead, take: &mut OnRow) -> Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut input = (&mut input).take(LONGEST + 1);
        if input.read_until(b'\n', &mut line).map_err(Error::io(path))? == 0 {
            break;
        }
        if line.len() as u64 > LONGEST {
            let what = format!("is longer than {} MiB; is this a file of rows?", LONGEST >> 20);
            return Err(Error::line(path, number, what));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = serde_json::from_slice(&line).map_err(|error| line_error(number, &line, &error));
        if take(number, row.and_then(|Object(row)| row))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// What is wrong with a line that is not JSON, and the remedy where what it is instead is plain.
fn line_error(number: usize, line: &[u8], error: &serde_json::Error) -> String {
    let what = json_error(error);
    match line.trim_ascii() {
        [b'{', .., b'}', b','] => format!("{what}; in JSON lines no comma follows a row: remove it"),
        [b'"' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z', rest @ ..]
            if number == 1 && rest.iter().any(|byte| b",;\t".contains(byte)) =>
        {
            format!("{what}; if it is a table (CSV, TSV), convert it to JSON lines or Parquet first")
        }
        _ => what,
    }
}

/// The parser's error without its line number, which the caller reports.
fn json_error(error: &serde_json::Error) -> String {
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or(&what);
    format!("is not JSON: {what} (column {})", error.column())
}

fn array(path: &Path, input: impl BufRead, take: &mut OnRow) -> Result<()> {
    let line = Cell::new(1);
    let mut outcome = Ok(ControlFlow::Continue(()));
    let mut parser = serde_json::Deserializer::from_reader(LineCounter { input, line: &line });
    let elements = Elements { line: &line, take, outcome: &mut outcome };
    let parsed = parser.deserialize_seq(elements).and_then(|()| parser.end());
    match (outcome?, parsed) {
        (ControlFlow::Break(()), _) | (_, Ok(())) => Ok(()),
        (_, Err(error)) => Err(Error::line(path, error.line(), json_error(&error))),
    }
}

/// Counts the line breaks that the parser has read.
struct LineCounter<'a, R> {
    input: R,
    line: &'a Cell<usize>,
}

impl<R: Read> Read for LineCounter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        let breaks = buffer[..n].split(|byte| *byte == b'\n').count() - 1;
        self.line.set(self.line.get() + breaks);
        Ok(n)
    }
}

/// Passes on the elements of an array while the array is parsed.
struct Elements<'a, 't> {
    line: &'a Cell<usize>,
    take: &'a mut OnRow<'t>,
    outcome: &'a mut Result<ControlFlow<()>>,
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some((line, Object(row))) = elements.next_element_seed(Element(self.line))? {
            *self.outcome = (self.take)(line, row);
            if !matches!(self.outcome, Ok(ControlFlow::Continue(()))) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Parses an element and notes the line on which it begins.
struct Element<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = (usize, Object);

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        // So far, the parser has only peeked at the first byte of the element.
        let line = self.0.get();
        serde::Deserialize::deserialize(input).map(|row| (line, row))
    }
}
