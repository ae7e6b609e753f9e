//! The answers of a service, kept on disk: one line each, appended as they come. What is kept is never asked again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tokensieve_base::files;

use super::reply::Reply;
use crate::{Error, Result};

/// Beginning of a line.
const START: &[u8] = b"{\"key\":";

pub(super) struct Cache {
    path: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Locked as long as it is open: two processes would ask everything twice.
    file: File,
    replies: HashMap<String, Reply>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(flatten)]
    reply: Reply,
}

impl Cache {
    /// Reads what is there. A last line that was not finished is cut off: it holds no answer.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |error: std::io::Error| Error::file(path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let busy = || Error::file(path, "in use by another process; wait for it, or give another file");
        let file = files::claim(path).map_err(|error| io(error.error))?.ok_or_else(busy)?;
        let mut input = BufReader::new(File::open(path).map_err(io)?);
        let (mut text, mut whole, mut replies) = (Vec::new(), 0, HashMap::new());
        for number in 1.. {
            files::read_line(&mut input, &mut text).map_err(|error| Error::line(path, number, error))?;
            if !text.ends_with(b"\n") {
                if number == 1 && !text.starts_with(START) && !START.starts_with(&text) {
                    return Err(Error::line(path, 1, "not a kept answer; give another file, or remove it"));
                }
                break;
            }
            whole += text.len() as u64;
            if text == b"\n" {
                continue;
            }
            let Line { key, reply } = serde_json::from_slice(&text).map_err(|error| {
                let what = format!("not a kept answer ({error}); delete the line to ask again");
                Error::line(path, number, what)
            })?;
            replies.insert(key, reply);
        }
        // Only once all of it has been recognised.
        file.set_len(whole).map_err(io)?;
        Ok(Self { path: path.to_owned(), inner: Mutex::new(Inner { file, replies }) })
    }

    pub(super) fn get(&self, key: &str) -> Option<Reply> {
        self.inner().replies.get(key).cloned()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.inner().replies.contains_key(key)
    }

    /// Keeps an answer: on the disk when this returns.
    pub(super) fn put(&self, key: String, reply: Reply) -> Result<()> {
        let line = Line { key, reply };
        let mut text = serde_json::to_vec(&line).map_err(|error| Error::file(&self.path, error))?;
        text.push(b'\n');
        let mut inner = self.inner();
        inner
            .file
            .write_all(&text)
            .and_then(|()| inner.file.sync_data())
            .map_err(|error| Error::file(&self.path, error))?;
        inner.replies.insert(line.key, line.reply);
        Ok(())
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply { text: text.into(), tokens: vec![("M".into(), -0.25)] }
    }

    #[test]
    fn answers_outlive_the_process_and_a_torn_line_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/answers.jsonl");
        let cache = Cache::open(&path).unwrap();
        cache.put("a".into(), reply("one\nline")).unwrap();
        assert!(Cache::open(&path).err().unwrap().to_string().contains("in use by another process"));
        drop(cache);

        let mut text = fs::read(&path).unwrap();
        let whole = text.len();
        text.extend(&text.clone()[..20]);
        fs::write(&path, &text).unwrap();
        let cache = Cache::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), whole as u64);
        assert_eq!(cache.get("a"), Some(reply("one\nline")));
        cache.put("b".into(), reply("two")).unwrap();
        drop(cache);
        let cache = Cache::open(&path).unwrap();
        assert!(cache.has("a") && cache.has("b") && !cache.has("c"));
    }

    #[test]
    fn another_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        for foreign in ["one line of something else", "{\"a\":1}\nhalf a li"] {
            fs::write(&path, foreign).unwrap();
            assert!(Cache::open(&path).err().unwrap().to_string().contains("not a kept answer"));
            assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
        }
        fs::write(&path, "{\"ke").unwrap();
        Cache::open(&path).unwrap();
    }

    #[test]
    fn a_line_that_is_no_answer_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        fs::write(&path, "{\"key\":\"a\",\"text\":\"m\",\"tokens\":[]}\nnonsense\n").unwrap();
        let error = Cache::open(&path).err().unwrap().to_string();
        assert!(error.contains("answers.jsonl:2") && error.contains("delete the line"), "{error}");
    }
}
