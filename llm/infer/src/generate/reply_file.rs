//! A file of replies in JSON lines: the settings, then one line per reply as soon as it is complete. An interrupted run
//! continues where the file ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::request::Reply;
use crate::header;
use tokensieve_base::files::{read_line, write_atomically_with};
use tokensieve_model::weights::claim;
use tokensieve_model::{Error, Result};

/// Error of a second run that opens the file.
const BUSY: &str = "another run is writing its replies into it; wait for it, or give another --out";

/// Beginning of the line of settings.
const START: &[u8] = b"{\"header\":";

/// A file of replies open for appending.
#[derive(Debug)]
pub struct ReplyFile {
    path: PathBuf,
    file: File,
    header: String,
    lines: BTreeMap<usize, String>,
}

/// A reply as a line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplyLine {
    /// Row of the prompt.
    pub row: usize,
    /// SHA-256 of the prompt's tokens, by which a reply to another prompt is recognised.
    pub prompt_sha256: String,
    /// Text of the reply.
    pub text: String,
    /// Number of tokens of the reply, including the one that ended the turn.
    pub tokens: usize,
    /// Number of tokens of the prompt.
    pub prompt_tokens: usize,
    /// Log-probability of all tokens of the reply.
    pub log_probability: f64,
    /// Why the reply ended: `end-of-turn`, `text`, `limit`, `context`.
    pub stop: String,
}

impl ReplyLine {
    /// The line of a reply.
    pub fn new(row: usize, prompt_sha256: String, reply: &Reply) -> Self {
        Self {
            row,
            prompt_sha256,
            text: reply.text.clone(),
            tokens: reply.tokens.len(),
            prompt_tokens: reply.prompt_tokens,
            log_probability: reply.log_probability,
            stop: reply.stop.name().to_owned(),
        }
    }
}

impl ReplyFile {
    /// Opens or creates a file for replies with these settings; `prompts` has the hash of each row's prompt.
    ///
    /// Replies in the file are kept if they were made with these settings from these prompts; other replies are an error,
    /// or are removed with `fresh`. A file of anything else is an error and stays unchanged, as does a file that another
    /// process is writing.
    pub fn open(path: &Path, settings: &Map<String, Value>, prompts: &[String], fresh: bool) -> Result<Self> {
        let mut header = json!({ "header": settings }).to_string();
        let mut file = claim(path, BUSY)?;
        let mut input = BufReader::new(File::open(path).map_err(Error::io(path))?);
        let (mut bytes, mut whole, mut lines) = (Vec::new(), 0, BTreeMap::new());
        for number in 1.. {
            read_line(&mut input, &mut bytes).map_err(|error| Error::line(path, number, error))?;
            if fresh {
                check_replaceable(path, &bytes)?;
                break;
            }
            // A last line without a line break was interrupted, perhaps within a character.
            if !bytes.ends_with(b"\n") {
                if number == 1 && !header.as_bytes().starts_with(&bytes) {
                    return Err(Error::file(path, "is not a file of replies; choose another file"));
                }
                break;
            }
            whole += bytes.len() as u64;
            let line = str::from_utf8(&bytes).map(str::trim_ascii_end);
            if number == 1 {
                line.unwrap_or_default().clone_into(&mut header);
                check_settings(path, &header, settings)?;
                continue;
            }
            let no_reply = |why: &dyn Display| Error::line(path, number, format!("is not a reply: {why}"));
            let line = line.map_err(|error| no_reply(&error))?;
            let reply: ReplyLine = serde_json::from_str(line).map_err(|error| no_reply(&error))?;
            match prompts.get(reply.row) {
                Some(hash) if *hash == reply.prompt_sha256 => {}
                // A row beyond the current limit.
                None => {}
                Some(_) => {
                    let what = format!(
                        "is a reply to another prompt than row {} has now; --fresh starts over",
                        reply.row
                    );
                    return Err(Error::line(path, number, what));
                }
            }
            lines.insert(reply.row, line.to_owned());
        }
        // The file is only changed after all checks have passed.
        let begun = file.set_len(whole).and_then(|()| {
            if whole == 0 { file.write_all(format!("{header}\n").as_bytes()) } else { Ok(()) }
        });
        begun.map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file, header, lines })
    }

    /// The rows that have a reply.
    pub fn rows(&self) -> BTreeSet<usize> {
        self.lines.keys().copied().collect()
    }

    /// Appends a reply.
    pub fn push(&mut self, reply: &ReplyLine) -> Result<()> {
        let line = serde_json::to_string(reply).map_err(|error| Error::file(&self.path, error))?;
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io(&self.path))?;
        self.lines.insert(reply.row, line);
        Ok(())
    }

    /// Sorts the replies by row.
    pub fn sort(self) -> Result<()> {
        write_atomically_with(&self.path, |out| {
            let lines = std::iter::once(&self.header).chain(self.lines.values());
            lines.into_iter().try_for_each(|line| writeln!(out, "{line}")).map_err(Error::io(&self.path))
        })
    }
}

/// Checks by its first line that `--fresh` does not overwrite a file of anything but replies: of prompts, for example.
fn check_replaceable(path: &Path, first: &[u8]) -> Result<()> {
    let replies = if first.ends_with(b"\n") {
        // Files of `evaluate` and `uncertainty` have a header too, but without a seed.
        header::settings(first).is_some_and(|settings| settings.contains_key("seed"))
    } else {
        // An interrupted first line.
        first.starts_with(START) || START.starts_with(first)
    };
    if replies {
        return Ok(());
    }
    let what =
        "does not begin with the settings of replies, and --fresh only replaces replies; choose another file";
    Err(Error::line(path, 1, what))
}

/// Checks that the replies were made with the same settings.
fn check_settings(path: &Path, line: &str, settings: &Map<String, Value>) -> Result<()> {
    let Some(before) = header::settings(line.as_bytes()) else {
        let what = "does not begin with the settings of replies; choose another file";
        return Err(Error::line(path, 1, what));
    };
    let Some(differences) = header::differences(&before, settings) else { return Ok(()) };
    let what = format!(
        "was made with other settings:\n  {differences}\n--fresh starts over; another --out keeps this file"
    );
    Err(Error::file(path, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_tokenizer_is_another_setting_and_older_files_have_none() {
        let check = |line: &str| {
            let settings = serde_json::from_str(r#"{"seed": 1, "tokenizer": "b"}"#).unwrap();
            check_settings(Path::new("a.jsonl"), line, &settings).map_err(|error| error.to_string())
        };
        check(r#"{"header": {"seed": 1}}"#).unwrap();
        let error = check(r#"{"header": {"seed": 1, "tokenizer": "a"}}"#).unwrap_err();
        assert!(error.contains("tokenizer: \"a\" in the file, \"b\" now"), "{error}");
    }
}
