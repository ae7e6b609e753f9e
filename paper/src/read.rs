//! Reads whole files. An error names the file, and the line of one that has a value on each.

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;

/// The text of a file.
pub(crate) fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// The value in a JSON file.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&text(path)?).with_context(|| format!("reading {}", path.display()))
}

/// The values in a JSONL file.
pub(crate) fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let line = |(line, number): (&str, usize)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {number}", path.display()))
    };
    text(path)?.lines().zip(1..).map(line).collect()
}
