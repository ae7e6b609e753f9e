//! Reading JSON files.

use std::path::Path;

use serde::de::DeserializeOwned;
use tokensieve_base::files::{LARGEST, read_text};

use crate::{Error, Result};

/// A byte order mark, which some editors begin a file with.
const MARK: char = '\u{feff}';

/// Reads a file with one JSON value per line.
pub(crate) fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let lines = text(path)?;
    let row = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| Error::line(path, index + 1, error))
    };
    lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

/// Reads a file that holds one JSON value.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&text(path)?).map_err(|error| Error::line(path, error.line(), error))
}

/// Reads a whole file, without a byte order mark.
pub(crate) fn text(path: &Path) -> Result<String> {
    let mut text = read_text(path, LARGEST).map_err(|error| Error::file(path, error.error))?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]\n\n[2]\nno\n").unwrap();
        let error = json_lines::<Vec<u32>>(file.path()).unwrap_err().to_string();
        assert!(error.contains(":4: "), "{error}");
        std::fs::write(file.path(), "[1]\n\n[2]\n").unwrap();
        assert_eq!(json_lines::<Vec<u32>>(file.path()).unwrap(), [vec![1], vec![2]]);
    }
}
