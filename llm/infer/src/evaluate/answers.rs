//! The file of answers, from which an interrupted evaluation continues.
//!
//! JSON lines: first the settings on which the answers depend, then one line per answer as soon as it is given. An
//! incomplete last line is dropped, and a question that has changed since is asked again.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokensieve_tasks::Answer;

use crate::header;
use tokensieve_base::files::read_line;
use tokensieve_documents::JsonlFile;
use tokensieve_model::weights::claim;
use tokensieve_model::{Error, Result};

/// Beginning of the line of settings.
const START: &[u8] = b"{\"header\":";

/// Ending of the name of a file of answers.
const ANSWERS: &str = "answers.jsonl";

/// The file of answers that belongs to a file of results: `x.answers.jsonl` beside `x.json`.
pub fn answers_path(out: &Path) -> PathBuf {
    beside(out, ANSWERS)
}

/// A file beside the results, with another ending in place of `.json`; any other ending of the results is kept.
pub(super) fn beside(out: &Path, ending: &str) -> PathBuf {
    let json = out.extension().is_some_and(|extension| extension == "json");
    let name = if json { out.file_stem() } else { out.file_name() };
    let mut name = name.unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    out.with_file_name(name)
}

/// A file of answers.
#[derive(Debug)]
pub struct Answers {
    lines: JsonlFile,
    known: HashMap<[String; 3], Line>,
    #[expect(dead_code, reason = "only held, so that no other process writes into the file")]
    claim: File,
}

/// One line of the file: a stored answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    task: String,
    id: String,
    /// SHA-256 of the question.
    sha256: String,
    /// Seconds since the previous answer.
    pub seconds: f64,
    /// The answer.
    pub answer: Value,
}

impl Answers {
    /// Opens or creates the file for answers that depend on `settings`. Stored answers are kept, unless `fresh`.
    pub fn open(path: &Path, settings: &Map<String, Value>, fresh: bool) -> Result<Self> {
        let claim = claim(path, "another evaluation is writing into it; wait, or give another --out")?;
        let mut input = BufReader::new(File::open(path).map_err(Error::io(path))?);
        let (mut text, mut whole, mut known) = (Vec::new(), 0, HashMap::new());
        for number in 1.. {
            read_line(&mut input, &mut text).map_err(|error| Error::line(path, number, error))?;
            // Text after the last line break is an incomplete line.
            if fresh || !text.ends_with(b"\n") {
                if number == 1 {
                    check_replaceable(path, &text)?;
                }
                break;
            }
            whole += text.len() as u64;
            if number == 1 {
                check_settings(path, &text, settings)?;
                continue;
            }
            let line: Line = serde_json::from_slice(&text).map_err(|error| {
                let what = format!("is not an answer ({error}); remove the line, or start over with --fresh");
                Error::line(path, number, what)
            })?;
            known.insert([line.task.clone(), line.id.clone(), line.sha256.clone()], line);
        }
        let mut lines = JsonlFile::open(path, whole)?;
        if whole == 0 {
            lines.push(&json!({ "header": settings }))?;
        }
        Ok(Self { lines, known, claim })
    }

    /// The stored answer to a question with this `content`.
    pub fn get(&self, task: &str, id: &str, content: &str) -> Option<&Line> {
        self.known.get(&[task.to_owned(), id.to_owned(), hash(content)])
    }

    /// Stores an answer.
    pub fn add(&mut self, task: &str, id: &str, content: &str, seconds: f64, answer: Value) -> Result<()> {
        let line = Line { task: task.to_owned(), id: id.to_owned(), sha256: hash(content), seconds, answer };
        self.lines.push(&json!(line))?;
        self.known.insert([line.task.clone(), line.id.clone(), line.sha256.clone()], line);
        Ok(())
    }
}

/// Whether a file is one of answers: its first line has the settings of an evaluation.
pub(super) fn is_one(path: &Path) -> Result<bool> {
    let (mut input, mut first) = (BufReader::new(File::open(path).map_err(Error::io(path))?), Vec::new());
    // Of a file with a longer line somebody else says what is wrong.
    Ok(read_line(&mut input, &mut first).is_ok() && header::settings(&first).is_some())
}

/// The replies to the questions of a task in the file of another evaluation, by the ids of the questions.
pub(super) fn replies(path: &Path, task: &str) -> Result<HashMap<String, String>> {
    let mut input = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let (mut text, mut replies) = (Vec::new(), HashMap::new());
    for number in 1.. {
        let wrong = |what: String| Error::line(path, number, what);
        read_line(&mut input, &mut text).map_err(|error| wrong(error.to_string()))?;
        if text.is_empty() {
            break;
        }
        if number == 1 {
            continue;
        }
        let line: Line =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("is not an answer ({error})")))?;
        if line.task == task
            && let Ok(answer) = serde_json::from_value::<Answer>(line.answer)
            && let Some(said) = answer.said()
        {
            replies.insert(line.id, said.to_owned());
        }
    }
    Ok(replies)
}

/// The first 16 digits of the SHA-256, enough to distinguish questions.
pub(super) fn hash(content: &str) -> String {
    format!("{:x}", Sha256::digest(content))[..16].to_owned()
}

/// Checks by its first line that a file of anything but answers is not discarded. A header whose writing was
/// interrupted counts.
fn check_replaceable(path: &Path, first: &[u8]) -> Result<()> {
    let is_cut = !first.ends_with(b"\n") && (first.starts_with(START) || START.starts_with(first));
    let Some(keys) = header::settings(first) else {
        return if is_cut { Ok(()) } else { Err(no_answers(path)) };
    };
    // Files of `generate` and `uncertainty` have a header, too.
    let is_others = ["seed", "posterior"].iter().any(|key| keys.contains_key(*key));
    if keys.contains_key("precision") && !is_others { Ok(()) } else { Err(no_answers(path)) }
}

fn no_answers(path: &Path) -> Error {
    let what = "is not the header of a file of answers; choose another --out, or remove the file";
    Error::line(path, 1, what)
}

/// Checks that the stored answers depend on the same settings.
fn check_settings(path: &Path, first: &[u8], now: &Map<String, Value>) -> Result<()> {
    let Some(then) = header::settings(first) else { return Err(no_answers(path)) };
    let Some(differences) = header::differences(&then, now) else { return Ok(()) };
    let what = format!(
        "holds answers with other settings:\n  {differences}\n--fresh removes them and starts over; another --out keeps them"
    );
    Err(Error::file(path, what))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::header::TOKENIZER;

    fn settings(precision: &str) -> Map<String, Value> {
        let Value::Object(map) = json!({ "model_sha256": "ab", "precision": precision }) else {
            unreachable!()
        };
        map
    }

    #[test]
    fn answers_come_back_and_torn_lines_do_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.answers.jsonl");
        let mut answers = Answers::open(&path, &settings("f32"), false).unwrap();
        answers.add("t", "1", "question one", 0.5, json!("one")).unwrap();
        answers.add("t", "2", "question two", 0.25, json!("two")).unwrap();
        let busy = Answers::open(&path, &settings("f32"), false).unwrap_err().to_string();
        assert!(busy.contains("another evaluation"), "{busy}");
        drop(answers);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut answers = Answers::open(&path, &settings("f32"), false).unwrap();
        assert_eq!(answers.get("t", "1", "question one").unwrap().answer, json!("one"));
        assert!(answers.get("t", "1", "another question").is_none());
        assert!(answers.get("t", "2", "question two").is_none());
        answers.add("t", "2", "question two", 0.25, json!("two")).unwrap();
        drop(answers);
        assert_eq!(fs::read(&path).unwrap(), text);
    }

    #[test]
    fn replies_of_another_evaluation_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.answers.jsonl");
        let mut answers = Answers::open(&path, &settings("f32"), false).unwrap();
        let reply = |text: &str| json!(Answer::Reply { text: text.into(), tokens: 1, ended: true });
        answers.add("t", "7", "q", 0.5, reply("seven")).unwrap();
        answers.add("u", "7", "q", 0.5, reply("another task's")).unwrap();
        drop(answers);
        assert_eq!(replies(&path, "t").unwrap(), HashMap::from([("7".to_owned(), "seven".to_owned())]));
        fs::write(&path, "{\"header\":{}}\n{\"task\"").unwrap();
        assert!(replies(&path, "t").unwrap_err().to_string().contains("jsonl:2"));
    }

    #[test]
    fn other_settings_are_refused_with_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.answers.jsonl");
        let mut answers = Answers::open(&path, &settings("f32"), false).unwrap();
        answers.add("t", "1", "q", 0.5, json!("one")).unwrap();
        drop(answers);
        let error = Answers::open(&path, &settings("bf16"), false).unwrap_err().to_string();
        assert!(
            error.contains("precision: \"f32\" in the file, \"bf16\" now") && !error.contains("model"),
            "{error}"
        );
        let fresh = Answers::open(&path, &settings("bf16"), true).unwrap();
        assert!(fresh.get("t", "1", "q").is_none());
        drop(fresh);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_file_from_before_the_tokenizers_hash_stays_valid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.answers.jsonl");
        let with = |hash: &str| {
            let mut settings = settings("f32");
            settings.insert(TOKENIZER.to_owned(), json!(hash));
            settings
        };
        let mut answers = Answers::open(&path, &settings("f32"), false).unwrap();
        answers.add("t", "1", "q", 0.5, json!("one")).unwrap();
        drop(answers);
        assert!(Answers::open(&path, &with("ab"), false).unwrap().get("t", "1", "q").is_some());
        drop(Answers::open(&path, &with("ab"), true).unwrap());
        let error = Answers::open(&path, &with("cd"), false).unwrap_err().to_string();
        assert!(error.contains("tokenizer: \"ab\" in the file, \"cd\" now"), "{error}");
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.answers.jsonl");
        let fresh = settings("f32");
        let of_replies = "{\"header\":{\"precision\":\"f32\",\"seed\":0}}\n";
        for (text, fresh, complaint) in [
            ("{\"question\":1}\n", None, "jsonl:1: is not the header of a file of answers"),
            ("{\"question\":1}\n", Some(&fresh), "jsonl:1: is not the header of a file of answers"),
            ("one line", None, "or remove the file"),
            ("one line", Some(&fresh), "or remove the file"),
            (of_replies, Some(&fresh), "or remove the file"),
            ("{\"header\":{}}\n{}\n", None, "jsonl:2"),
        ] {
            fs::write(&path, text).unwrap();
            let none = Map::new();
            let opened = Answers::open(&path, fresh.unwrap_or(&none), fresh.is_some());
            let error = opened.unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        // The header of a run that was killed while it wrote.
        fs::write(&path, "{\"head").unwrap();
        Answers::open(&path, &fresh, true).unwrap();
    }

    #[test]
    fn results_of_other_names_have_other_answers() {
        for (out, answers) in [
            ("a/r.json", "a/r.answers.jsonl"),
            ("r.v1", "r.v1.answers.jsonl"),
            ("r.v2.json", "r.v2.answers.jsonl"),
            ("r", "r.answers.jsonl"),
        ] {
            assert_eq!(answers_path(Path::new(out)), Path::new(answers));
        }
    }
}
