//! Replies as JSON lines: settings first, then a line per reply as it is done. A run that was stopped goes on where the
//! file ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Reply;
use tokensieve_base::files::write_atomically_with;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::weights::claim;

/// Said to a second run.
const BUSY: &str = "another run is writing its replies into it; wait for it, or give another --out";

/// How the settings begin.
const START: &str = "{\"header\":";

/// A file of replies that grows.
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
    /// The prompt's row.
    pub row: usize,
    /// Of the prompt's tokens, so that another prompt's reply is not taken for this one's.
    pub prompt_sha256: String,
    /// What the model said.
    pub text: String,
    /// How many tokens that were, the one that ended the turn included.
    pub tokens: usize,
    /// Tokens before them.
    pub prompt_tokens: usize,
    /// Of all its tokens together.
    pub log_probability: f64,
    /// Why it ended: `end-of-turn`, `text`, `limit`, `context`.
    pub stop: String,
}

impl ReplyLine {
    /// A reply's line.
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
    /// Opens a file for replies made with these settings; `prompts` has each prompt's hash, by row. What is in the file
    /// already stays, if it was made with the same settings from the same prompts; if `fresh`, replies of any settings go.
    /// What is no file of replies is left as it is, and refused; so is one that somebody else is writing.
    pub fn open(path: &Path, settings: &Map<String, Value>, prompts: &[String], fresh: bool) -> Result<Self> {
        let header = json!({ "header": settings }).to_string();
        let mut file = claim(path, BUSY)?;
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if fresh {
            replaceable(path, &text)?;
            text.clear();
        }
        // A line without its end was being written when the run was stopped.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole == 0 && !text.is_empty() && !header.starts_with(&text) {
            return Err(Error::file(path, "is no file of replies; name another"));
        }
        let mut lines = BTreeMap::new();
        for (number, line) in (1..).zip(text[..whole].lines()) {
            if number == 1 {
                same_settings(path, line, settings)?;
                continue;
            }
            let reply: ReplyLine = serde_json::from_str(line)
                .map_err(|error| Error::line(path, number, format!("is not a reply: {error}")))?;
            match prompts.get(reply.row) {
                Some(hash) if *hash == reply.prompt_sha256 => {}
                // More than is asked for now.
                None => {}
                Some(_) => {
                    let what =
                        format!("answers another prompt than row {} has now; --fresh starts over", reply.row);
                    return Err(Error::line(path, number, what));
                }
            }
            lines.insert(reply.row, line.to_owned());
        }
        // Only here, where all is well, is the file changed.
        let begun = file.set_len(whole as u64).and_then(|()| {
            if whole == 0 { file.write_all(format!("{header}\n").as_bytes()) } else { Ok(()) }
        });
        begun.map_err(Error::io(path))?;
        let header = if whole == 0 { header } else { text.lines().next().unwrap_or_default().to_owned() };
        Ok(Self { path: path.to_owned(), file, header, lines })
    }

    /// The rows that are answered.
    pub fn rows(&self) -> BTreeSet<usize> {
        self.lines.keys().copied().collect()
    }

    /// One more reply.
    pub fn push(&mut self, reply: &ReplyLine) -> Result<()> {
        let line = serde_json::to_string(reply).map_err(|error| Error::file(&self.path, error))?;
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io(&self.path))?;
        self.lines.insert(reply.row, line);
        Ok(())
    }

    /// Puts the replies in the order of their rows.
    pub fn sort(self) -> Result<()> {
        write_atomically_with(&self.path, |out| {
            let lines = std::iter::once(&self.header).chain(self.lines.values());
            lines.into_iter().try_for_each(|line| writeln!(out, "{line}")).map_err(Error::io(&self.path))
        })
    }
}

/// Refuses to start over in a file that is none of replies: prompts, say.
fn replaceable(path: &Path, text: &str) -> Result<()> {
    let replies = match text.split_once('\n') {
        // The first line was being written.
        None => text.starts_with(START) || START.starts_with(text),
        Some((line, _)) => {
            let header: Option<Value> = serde_json::from_str(line).ok();
            // Answers of `evaluate` and estimates of `uncertainty` have a header, too, but no seed there.
            header.is_some_and(|header| header["header"].get("seed").is_some())
        }
    };
    if replies {
        return Ok(());
    }
    let what =
        "does not begin with the settings of replies, and --fresh replaces replies only; name another file";
    Err(Error::line(path, 1, what))
}

fn same_settings(path: &Path, line: &str, settings: &Map<String, Value>) -> Result<()> {
    let header: Option<Value> = serde_json::from_str(line).ok();
    let Some(before) = header.as_ref().and_then(|header| header.get("header")?.as_object()) else {
        let what = "does not begin with the settings of replies; name another file";
        return Err(Error::line(path, 1, what));
    };
    let keys: BTreeSet<&String> = before.keys().chain(settings.keys()).collect();
    let differs = |key: &&String| before.get(*key) != settings.get(*key);
    let said = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    let differences: Vec<String> = keys
        .into_iter()
        .filter(differs)
        .map(|key| format!("{key}: {} there, {} now", said(before.get(key)), said(settings.get(key))))
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let what = format!(
        "was made with other settings:\n  {}\n--fresh starts over, --out another file leaves it",
        differences.join("\n  ")
    );
    Err(Error::file(path, what))
}
