//! Looks at the headers of Parquet files before the library reads them: it takes every count at its word, and a few bytes that
//! promise billions of elements keep it busy for minutes.
//!
//! The headers are structs in Thrift's compact protocol.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use parquet::errors::{ParquetError, Result};

/// How deep what is in a struct may be nested; the library goes no deeper.
const DEPTH: u32 = 64;
/// The footer's length and the mark that ends every file.
const END: u64 = 8;
/// Which field of a page's header says how many bytes follow it.
const COMPRESSED_SIZE: i64 = 3;

const BOOLEANS: [u8; 2] = [1, 2];
const STRUCT: u8 = 12;

/// Checks the footer, which ends a file.
pub(super) fn check_footer(mut file: &File) -> Result<()> {
    let size = file.metadata()?.len();
    let Some(end) = size.checked_sub(END) else { return Ok(()) };
    file.seek(SeekFrom::Start(end))?;
    let mut last = [0; END as usize];
    file.read_exact(&mut last)?;
    let [a, b, c, d, mark @ ..] = last;
    // What is wrong with a footer that is not there, the library says.
    match end.checked_sub(u32::from_le_bytes([a, b, c, d]).into()) {
        Some(start) if start < end && mark == *b"PAR1" => {
            Headers::new(file, start..end)?.value(STRUCT, 0).map(drop)
        }
        _ => Ok(()),
    }
}

/// Checks the header of each page in a part of a file.
pub(super) fn check_pages(file: &File, part: Range<u64>) -> Result<()> {
    let mut headers = Headers::new(file, part)?;
    while headers.left > 0 {
        let size = headers.value(STRUCT, 0)?;
        headers.skip(u64::try_from(size).map_err(|_| wrong("says that its page has a negative size"))?)?;
    }
    Ok(())
}

struct Headers<'a> {
    input: BufReader<&'a File>,
    /// Bytes that are left.
    left: u64,
}

impl<'a> Headers<'a> {
    fn new(mut file: &'a File, part: Range<u64>) -> Result<Self> {
        file.seek(SeekFrom::Start(part.start))?;
        Ok(Self { input: BufReader::new(file), left: part.end.saturating_sub(part.start) })
    }

    /// Passes over a value; of a struct, returns [`COMPRESSED_SIZE`] if it has that.
    fn value(&mut self, kind: u8, depth: u32) -> Result<i64> {
        if depth > DEPTH {
            return Err(wrong("nests values too deep"));
        }
        match kind {
            // What a boolean is, its kind says.
            1 | 2 => {}
            3 => self.skip(1)?,
            // Integers of 16, 32, and 64 bits.
            4..=6 => return self.number().map(signed),
            // A float, and an identifier.
            7 => self.skip(8)?,
            13 => self.skip(16)?,
            // Bytes.
            8 => {
                let length = self.number()?;
                self.skip(length)?;
            }
            // A list, and a set.
            9 | 10 => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.number()? } else { u64::from(header >> 4) };
                self.elements(count, &[header & 15], depth)?;
            }
            // A map.
            11 => {
                let count = self.number()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                self.elements(count, &[kinds >> 4, kinds & 15], depth)?;
            }
            STRUCT => return self.fields(depth),
            _ => return Err(wrong("has a value of an unknown kind")),
        }
        Ok(0)
    }

    fn fields(&mut self, depth: u32) -> Result<i64> {
        let (mut field, mut size) = (0_i64, 0);
        loop {
            let header = self.byte()?;
            let kind = header & 15;
            if kind == 0 {
                return Ok(size);
            }
            field = if header >> 4 == 0 {
                signed(self.number()?)
            } else {
                field.wrapping_add((header >> 4).into())
            };
            let value = self.value(kind, depth + 1)?;
            if field == COMPRESSED_SIZE {
                size = value;
            }
        }
    }

    /// Passes over the elements of a collection, of which none takes less than a byte. The library passes over booleans as if
    /// they took none; no header has a collection of them.
    fn elements(&mut self, count: u64, kinds: &[u8], depth: u32) -> Result<()> {
        if count > self.left || count > 0 && kinds.iter().any(|kind| BOOLEANS.contains(kind)) {
            return Err(wrong("promises more values than it has bytes"));
        }
        for _ in 0..count {
            for kind in kinds {
                self.value(*kind, depth + 1)?;
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.left = self.left.checked_sub(1).ok_or_else(|| wrong("is cut off"))?;
        self.input.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// An integer of seven bits a byte, the lowest first.
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(wrong("has an integer of more than 64 bits"))
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| wrong("is cut off"))?;
        self.input.seek_relative(i64::try_from(bytes).map_err(|_| wrong("is cut off"))?)?;
        Ok(())
    }
}

/// An integer whose lowest bit is its sign.
fn signed(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn wrong(what: &str) -> ParquetError {
    ParquetError::General(format!("a header {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn checked(header: &[u8]) -> Result<()> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(header).unwrap();
        check_pages(&file, 0..header.len() as u64)
    }

    #[test]
    fn no_more_is_read_than_there_is() {
        // Field 3 says that two bytes follow.
        checked(&[0x35, 4, 0, 9, 9, 0x35, 0, 0]).unwrap();
        // An empty list, one of two bytes, a map from bytes to structs, a set of lists, and field 9 by its own number.
        checked(&[0x19, 0, 0x19, 0x23, 7, 7, 0x1b, 1, 0x3c, 5, 0, 0x1a, 0x19, 0, 0x05, 18, 0, 0]).unwrap();
        let most = [0xff, 0xff, 0xff, 0xff, 7];
        let refused = |header: &[u8], expected: &str| {
            let error = checked(header).unwrap_err().to_string();
            assert_eq!(error, format!("Parquet error: a header {expected}"), "{header:x?}");
        };
        for kind in [1, 2, 3, 7, 8, 9, 11, 12, 13] {
            let list = [&[0x99, 0xf0 | kind], &most[..], &[0; 99]].concat();
            refused(&list, "promises more values than it has bytes");
        }
        refused(&[&[0x9b], &most[..], &[0x11, 0]].concat(), "promises more values than it has bytes");
        refused(&[0x99, 0x21, 1, 1, 0], "promises more values than it has bytes");
        refused(&[&[0x98], &most[..]].concat(), "is cut off");
        refused(&[0x35, 4, 0, 9], "is cut off");
        refused(&[0x35, 3, 0], "says that its page has a negative size");
        refused(&[0x1c; 99], "nests values too deep");
        refused(&[0x1e, 0], "has a value of an unknown kind");
        refused(&[&[0x15], &[0xff; 11][..]].concat(), "has an integer of more than 64 bits");
    }
}
