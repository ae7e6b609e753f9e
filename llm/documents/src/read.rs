//! Reads the rows of a file, one after the other: JSON lines, one JSON array, or Parquet.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use crate::parquet;
use crate::row::OnRow;
use crate::unique_keys::Object;
use tokensieve_base::files::{LARGEST, read_line};
use tokensieve_model::{Error, Result};

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
        Some(b'[') => array(path, input, LARGEST, take),
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
        read_line(&mut input, &mut line).map_err(|error| Error::line(path, number, error))?;
        if line.is_empty() {
            break;
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

/// `most`: bytes of the longest element.
fn array(path: &Path, input: impl BufRead, most: u64, take: &mut OnRow) -> Result<()> {
    let place = Place { line: Cell::new(1), bytes: Cell::new(0) };
    let mut outcome = Ok(ControlFlow::Continue(()));
    let mut parser = serde_json::Deserializer::from_reader(Counter { input, place: &place, most });
    let elements = Elements { place: &place, take, outcome: &mut outcome };
    let parsed = parser.deserialize_seq(elements).and_then(|()| parser.end());
    match (outcome?, parsed) {
        (ControlFlow::Break(()), _) | (_, Ok(())) => Ok(()),
        (_, Err(error)) if error.is_io() => Err(Error::line(path, place.line.get(), io::Error::from(error))),
        (_, Err(error)) => Err(Error::line(path, error.line(), json_error(&error))),
    }
}

/// How far the parser has read.
struct Place {
    line: Cell<usize>,
    /// Bytes since the beginning of an element.
    bytes: Cell<u64>,
}

/// Counts what the parser reads, and ends an element that has no end.
struct Counter<'a, R> {
    input: R,
    place: &'a Place,
    most: u64,
}

impl<R: Read> Read for Counter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        let breaks = buffer[..n].split(|byte| *byte == b'\n').count() - 1;
        let Place { line, bytes } = self.place;
        line.set(line.get() + breaks);
        bytes.set(bytes.get() + n as u64);
        if bytes.get() > self.most {
            let what = format!("belongs to a row longer than {} MiB; is it the right file?", self.most >> 20);
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Ok(n)
    }
}

/// Passes on the elements of an array while the array is parsed.
struct Elements<'a, 't> {
    place: &'a Place,
    take: &'a mut OnRow<'t>,
    outcome: &'a mut Result<ControlFlow<()>>,
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some((line, Object(row))) = elements.next_element_seed(Element(self.place))? {
            *self.outcome = (self.take)(line, row);
            if !matches!(self.outcome, Ok(ControlFlow::Continue(()))) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Parses an element and notes the line on which it begins.
struct Element<'a>(&'a Place);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = (usize, Object);

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        // So far, the parser has only peeked at the first byte of the element.
        let line = self.0.line.get();
        self.0.bytes.set(0);
        serde::Deserialize::deserialize(input).map(|row| (line, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_without_an_end_is_refused_and_many_short_ones_are_not() {
        let read = |text: &[u8], more: u64| {
            let mut rows = 0;
            let input = BufReader::new(text.chain(io::repeat(b'x').take(more)));
            let taken = array(Path::new("a.json"), input, 1 << 20, &mut |_, _| {
                rows += 1;
                Ok(ControlFlow::Continue(()))
            });
            (rows, taken.map_err(|error| error.to_string()))
        };
        let short =
            format!("[{}{{}}]", "{\"a\": \"0123456789012345678901234567890123456789\"},\n".repeat(30_000));
        assert!(short.len() > 1 << 20);
        assert_eq!(read(short.as_bytes(), 0), (30_001, Ok(())));
        let (rows, error) = read(b"[{},\n{\"a\": \"", u64::MAX);
        let what = "a.json:2: belongs to a row longer than 1 MiB; is it the right file?";
        assert_eq!((rows, error), (1, Err(what.to_owned())));
    }
}
