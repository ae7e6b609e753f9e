use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use super::Error;

/// Reads a text of at most so many bytes: a path that leads to something else, `/dev/zero` for one, must not fill the
/// memory.
pub fn read_text(path: &Path, most: u64) -> Result<String, Error> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            let what = format!("has more than {most} bytes, which no such file needs; is it the right one?");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            io::Error::new(ErrorKind::InvalidData, format!("is not text: byte {at} is not UTF-8"))
        })
    };
    read().map_err(Error::at(path))
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
        assert_eq!(read_text(Path::new("/dev/zero"), 4).unwrap_err().error.to_string(), long);
    }
}
