use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read as _};
use std::path::Path;

use super::Error;

/// Bytes of the longest line, and of the largest text whose kind does not say otherwise (choice: far longer than any document
/// that a model reads).
pub const LARGEST: u64 = 256 << 20;

/// Reads a text of at most so many bytes: a path that leads to something else, `/dev/zero` for one, must not fill the
/// memory.
pub fn read_text(path: &Path, most: u64) -> Result<String, Error> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            let what =
                format!("has more than {}, which no such file needs; is it the right one?", size(most));
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            io::Error::new(ErrorKind::InvalidData, format!("is not text: byte {at} is not UTF-8"))
        })
    };
    read().map_err(Error::at(path))
}

/// Reads the next line, with its end, in place of what `line` holds; nothing at the end of the input. A line of more than
/// [`LARGEST`] bytes is an error, for the same reason.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    input.take(LARGEST + 1).read_until(b'\n', line)?;
    if line.len() as u64 > LARGEST {
        let what = format!("is longer than {}; is it the right file?", size(LARGEST));
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_of_that_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read_text(&path, 4).map_err(|error| error.error.to_string())
        };
        assert_eq!(read(b"four").unwrap(), "four");
        let long = "has more than 4 bytes, which no such file needs; is it the right one?";
        assert_eq!(read(b"five!").unwrap_err(), long);
        assert_eq!(read(b"ab\xff").unwrap_err(), "is not text: byte 2 is not UTF-8");
        let endless = |most| read_text(Path::new("/dev/zero"), most).unwrap_err().error.to_string();
        assert_eq!(endless(4), long);
        assert_eq!(endless(1 << 20), long.replace("4 bytes", "1 MiB"));
    }

    #[test]
    fn lines_come_one_by_one_and_one_without_an_end_is_refused() {
        let mut input = &b"one\n\ntwo"[..];
        let mut line = b"before".to_vec();
        for expected in [&b"one\n"[..], b"\n", b"two", b"", b""] {
            read_line(&mut input, &mut line).unwrap();
            assert_eq!(line, expected);
        }
        let error = read_line(&mut io::BufReader::new(io::repeat(b'x')), &mut line).unwrap_err();
        assert_eq!(error.to_string(), "is longer than 256 MiB; is it the right file?");
    }
}
