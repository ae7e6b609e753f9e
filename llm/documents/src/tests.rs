//! Rows of every format, good and bad, in every kind of file.

// Weights are those that were given, to the bit.
#![allow(clippy::float_cmp)]

mod template;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use super::{DataSet, DataSource, Format, Truncate, load, prompts};
use tokensieve_model::Result;
use tokensieve_model::text::{Moment, Tokenizer};

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    let folder = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tokenizer");
    TOKENIZER.get_or_init(|| Tokenizer::from_folder(folder(), None, Moment::default()).unwrap())
}

struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("rows");
        std::fs::write(&path, content).unwrap();
        path
    }

    fn source(&self, content: impl AsRef<[u8]>) -> DataSource {
        DataSource::new(self.file(content).to_str().unwrap())
    }

    fn load(&self, content: impl AsRef<[u8]>) -> Result<DataSet> {
        load(&self.source(content), tokenizer())
    }

    fn error(&self, content: impl AsRef<[u8]>) -> String {
        self.load(content).unwrap_err().to_string()
    }
}

/// All texts of a set, with what is trained on in brackets.
fn shown(set: &DataSet) -> Vec<String> {
    let tokenizer = tokenizer();
    let text = |document: &tokensieve_model::Document| {
        let runs = document.weights.chunk_by(|a, b| (*a == 0.0) == (*b == 0.0));
        let mut at = 0;
        runs.map(|run| {
            let text = tokenizer.decode(&document.tokens[at..at + run.len()]).unwrap();
            at += run.len();
            if run[0] == 0.0 { text } else { format!("[{text}]") }
        })
        .collect()
    };
    set.documents.iter().map(text).collect()
}

const EXCHANGE: &str = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n[A<|im_end|>]";

#[test]
fn every_format_says_the_same() {
    let sandbox = Sandbox::new();
    for row in [
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}"#,
        r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}, {"role": "assistant", "content": "A"}], "id": 3}"#,
        r#"{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}"#,
        r#"{"instruction": "Q", "input": "", "output": "A"}"#,
        r#"{"instruction": "Q", "context": null, "response": "A", "category": "open_qa"}"#,
        r#"{"question": "Q", "answer": "A"}"#,
        r#"{"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]}"#,
    ] {
        assert_eq!(shown(&sandbox.load(row).unwrap()), [EXCHANGE], "{row}");
    }
    let alpaca = sandbox.load(r#"{"instruction": "Q", "input": "I", "output": "A"}"#).unwrap();
    assert!(shown(&alpaca)[0].contains("user\nQ\n\nI<|im_end|>"));
    let plain = sandbox.load(r#"{"prompt": "Q", "completion": " A"}"#).unwrap();
    assert_eq!(shown(&plain), ["Q[ A<|im_end|>]"]);
    let chosen = sandbox.load(r#"{"prompt": "Q", "completion": " A", "label": true}"#).unwrap();
    assert_eq!(shown(&chosen), ["Q[ A<|im_end|>]"]);
    let text = sandbox.load(r#"{"text": "Q A"}"#).unwrap();
    // Nothing predicts the first token.
    assert_eq!(shown(&text), ["Q[ A<|im_end|>]"]);
    assert!(sandbox.error(r#"{"text": ""}"#).contains("rows:1: there is no text to train on"));
    let beside = r#"{"instruction": "Q", "input": "", "output": "A", "text": "Q A"}"#;
    assert_eq!(shown(&sandbox.load(beside).unwrap()), [EXCHANGE]);
    let given = r#"{"prompt": [{"role": "assistant", "content": "no"}, {"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]}"#;
    assert!(
        shown(&sandbox.load(given).unwrap())[0]
            .starts_with("<|im_start|>assistant\nno<|im_end|>\n<|im_start|>user")
    );
}

#[test]
fn roles_are_known_in_any_case() {
    let sandbox = Sandbox::new();
    for [user, assistant] in [["Human", "GPT"], ["User", "Assistant"], ["USER", "Bot"]] {
        let row = format!(
            r#"{{"conversations": [{{"from": "{user}", "value": "Q"}}, {{"from": "{assistant}", "value": "A"}}]}}"#
        );
        assert_eq!(shown(&sandbox.load(row).unwrap()), [EXCHANGE]);
    }
}

#[test]
fn a_row_s_system_text_is_the_first_turn() {
    let sandbox = Sandbox::new();
    for row in [
        r#"{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]"#,
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]"#,
        r#"{"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]"#,
        r#"{"instruction": "Q", "output": "A""#,
        r#"{"question": "Q", "answer": "A""#,
    ] {
        let found = shown(&sandbox.load(format!(r#"{row}, "system": "S"}}"#)).unwrap());
        assert_eq!(found, [format!("<|im_start|>system\nS<|im_end|>\n{EXCHANGE}")], "{row}");
        assert!(sandbox.error(format!(r#"{row}, "system": 3}}"#)).contains("`system` must be a string"));
    }
    let nothing = r#"{"instruction": "Q", "output": "A", "system": ""}"#;
    assert_eq!(shown(&sandbox.load(nothing).unwrap()), [EXCHANGE]);
    let two = r#"{"conversations": [{"from": "system", "value": "T"}, {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}], "system": "S"}"#;
    let error = sandbox.error(two);
    assert!(error.contains("rows:1: `system` of the row differs from its system message"), "{error}");
}

#[test]
fn a_completion_that_was_rejected_needs_a_weight() {
    let sandbox = Sandbox::new();
    let chat = r#"{"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]"#;
    for row in [r#"{"prompt": "Q", "completion": " A""#, chat] {
        let error = sandbox.error(format!(r#"{row}, "label": false}}"#));
        assert!(error.contains("rows:1: `label` is false: its completion was rejected"), "{error}");
        assert!(error.contains("leave out such rows, or give them a `weight`"), "{error}");
        sandbox.load(format!(r#"{row}, "label": false, "weight": 0.5}}"#)).unwrap();
        sandbox.load(format!(r#"{row}, "label": 0}}"#)).unwrap();
    }
    sandbox.load(r#"{"question": "Q", "answer": "A", "label": false}"#).unwrap();
}

#[test]
fn what_would_be_lost_makes_a_bad_row() {
    let sandbox = Sandbox::new();
    let tool = r#"{"name": "f", "parameters": {}}"#;
    for row in [r#"{"prompt": "Q", "completion": "A""#, r#"{"text": "Q A""#] {
        for (key, value) in [("system", r#""S""#), ("tools", &format!("[{tool}]")[..])] {
            let error = sandbox.error(format!(r#"{row}, "{key}": {value}}}"#));
            assert!(error.contains(&format!("rows:1: `{key}` would be lost")), "{row}: {error}");
        }
        for nothing in [r#""system": "", "tools": []"#, r#""system": null, "tools": null"#] {
            let without = sandbox.load(format!("{row}}}")).unwrap();
            assert_eq!(
                shown(&sandbox.load(format!("{row}, {nothing}}}")).unwrap()),
                shown(&without),
                "{row}"
            );
        }
    }
    let about = r#"{"question": "Q", "answer": "A""#;
    for context in [r#""C""#, r#"["C"]"#, r#"{"text": "C"}"#] {
        let error = sandbox.error(format!(r#"{about}, "context": {context}}}"#));
        assert!(
            error.contains("rows:1: `context` would be lost: ") && error.contains("into `question`"),
            "{error}"
        );
    }
    for nothing in ["null", r#"" ""#, "[]", "{}"] {
        let row = format!(r#"{about}, "context": {nothing}}}"#);
        assert_eq!(shown(&sandbox.load(row).unwrap()), [EXCHANGE]);
    }
    // Two names of one thing.
    for (keys, complaint) in [
        (r#""input": "I", "context": "C", "output": "A""#, Some("`context` would be lost beside `input`")),
        (r#""output": "A", "response": "B""#, Some("`response` would be lost beside `output`")),
        (r#""input": "", "output": null, "context": "", "response": "A""#, None),
        (r#""output": "A", "response": "A""#, None),
    ] {
        let row = format!(r#"{{"instruction": "Q", {keys}}}"#);
        match complaint {
            Some(complaint) => assert!(sandbox.error(&row).contains(complaint), "{row}"),
            None => assert_eq!(shown(&sandbox.load(&row).unwrap()), [EXCHANGE], "{row}"),
        }
    }
    // Rows that a template writes pass their tools to it; this one ignores them, which is an error, too.
    for row in [r#"{"instruction": "Q", "output": "A""#, r#"{"question": "Q", "answer": "A""#] {
        let error = sandbox.error(format!(r#"{row}, "tools": [{tool}]}}"#));
        assert!(error.contains("rows:1: the chat template ignores `tools`"), "{row}: {error}");
        // Each may be JSON text, too.
        let text = serde_json::to_string(tool).unwrap();
        assert_eq!(sandbox.error(format!(r#"{row}, "tools": [{text}]}}"#)), error);
        let wrong = sandbox.error(format!(r#"{row}, "tools": [5]}}"#));
        assert!(wrong.contains("`tools` must be a list of functions"), "{wrong}");
        assert_eq!(shown(&sandbox.load(format!(r#"{row}, "tools": null}}"#)).unwrap()), [EXCHANGE]);
    }
    let asked = |extra: &str| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": "Q", {extra}}}, {{"role": "assistant", "content": "A"}}]}}"#
        )
    };
    for extra in [r#""weight": 2"#, r#""weights": [0, 1]"#, r#""spans": []"#] {
        let error = sandbox.error(asked(extra));
        assert!(error.contains("rows:1: message 1: has a weight, but only the assistant's"), "{error}");
    }
    assert!(sandbox.error(asked(r#""token_scores": 1"#)).contains("message 1: has `token_scores`, but only"));
    for extra in [r#""weight": 0"#, r#""weight": null, "token_scores": null"#] {
        assert_eq!(shown(&sandbox.load(asked(extra)).unwrap()), [EXCHANGE]);
    }
}

#[test]
fn weights_come_along() {
    let sandbox = Sandbox::new();
    let weights = |row: &str| {
        let set = sandbox.load(row).unwrap();
        let found = set.documents[0].weights.iter().copied().filter(|weight| *weight != 0.0);
        found.collect::<Vec<f32>>()
    };
    assert_eq!(weights(r#"{"question": "Q", "answer": "A", "weight": 0.5}"#), [0.5, 0.5]);
    assert_eq!(weights(r#"{"question": "Q", "answer": "A", "weights": [2]}"#), [2.0, 1.0]);
    assert_eq!(weights(r#"{"question": "Q", "answer": "A", "weights": [2, 3]}"#), [2.0, 3.0]);
    assert_eq!(
        weights(r#"{"question": "Q", "answer": "A", "spans": [{"start": 0, "end": 1, "weight": 4}]}"#),
        [4.0, 1.0]
    );
    let turns = |extra: &str, of_row: &str| {
        weights(&format!(
            r#"{{"messages": [{{"role": "user", "content": "Q"}}, {{"role": "assistant", "content": "A"{extra}}},
            {{"role": "user", "content": "Q"}}, {{"role": "assistant", "content": "A"}}]{of_row}}}"#
        ).replace('\n', " "))
    };
    assert_eq!(turns(r#", "weight": 0"#, ""), [1.0, 1.0]);
    assert_eq!(turns(r#", "weight": 3"#, r#", "weight": 2"#), [3.0, 3.0, 2.0, 2.0]);
    assert_eq!(turns("", r#", "weight": null"#), [1.0; 4]);
}

#[test]
fn weights_of_a_row_are_of_its_one_response_in_every_format() {
    let sandbox = Sandbox::new();
    let rows = [
        r#"{"messages": [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]"#,
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "no", "weight": 0}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]"#,
        r#"{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]"#,
        r#"{"prompt": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]"#,
        r#"{"prompt": "Q\n", "completion": "A""#,
        r#"{"instruction": "Q", "output": "A""#,
        r#"{"question": "Q", "answer": "A""#,
    ];
    for row in rows {
        let weights = |given: &str| {
            let document = sandbox.load(format!("{row}, {given}}}")).unwrap().documents.remove(0);
            document.weights.into_iter().filter(|weight| *weight != 0.0).collect::<Vec<_>>()
        };
        assert_eq!(weights(r#""weight": 0.5"#), [0.5, 0.5], "{row}");
        assert_eq!(weights(r#""weights": [2, 3]"#), [2.0, 3.0], "{row}");
        let spans = r#""spans": [{"start": 0, "end": 1, "weight": 4}]"#;
        assert_eq!(weights(spans), [4.0, 1.0], "{row}");
        let refused = |given: &str| sandbox.error(format!("{row}, {given}}}"));
        assert!(refused(r#""weights": "garbage""#).contains("`weights` must be a list"), "{row}");
        assert!(refused(r#""weight": 1, "spans": []"#).contains("only one of weight, spans"), "{row}");
        assert!(refused(r#""weights": [1, 2, 3]"#).contains("`weights` has 3 entries"), "{row}");
    }
    let two = r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "spans": []}"#;
    let error = sandbox.error(two);
    assert!(
        error.contains("rows:1: `spans` of a row belong to its only response, but this row has 2"),
        "{error}"
    );
    let twice = r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 1}], "weights": [1]}"#;
    let error = sandbox.error(twice);
    assert!(error.contains("the row and its message 2 both have `weights`"), "{error}");
}

#[test]
fn rows_left_out_at_the_beginning_are_not_judged() {
    let sandbox = Sandbox::new();
    let row = r#"{"question": "Q", "answer": "A"}"#;
    let from =
        |skip, limit, text: &str| load(&DataSource { skip, limit, ..sandbox.source(text) }, tokenizer());
    let set = from(2, Some(2), &format!("{{\"bad\": 1}}\n{{\n{row}\n{row}\n{{\n")).unwrap();
    assert_eq!((set.rows, set.skipped.len(), set.more), (2, 0, true));
    // As many as were asked for, and all that there are; and a bad one among those that were.
    assert!(!from(0, Some(2), &format!("{row}\n{row}\n")).unwrap().more);
    assert!(from(0, Some(1), "{\n").is_err());
    assert_eq!(set.documents.iter().map(|document| document.row).collect::<Vec<_>>(), [2, 3]);
    let error = from(1, None, &format!("{row}\n{{\"bad\": 1}}\n")).unwrap_err().to_string();
    assert!(error.contains("rows:2: no format has the keys bad"), "{error}");
    let error = from(3, None, row).unwrap_err().to_string();
    assert!(error.contains("none of its 0 rows after the first 3 can be used"), "{error}");
}

#[test]
fn advantages_come_along() {
    let sandbox = Sandbox::new();
    let load = |advantage: &str| {
        sandbox.load(format!(r#"{{"question": "Q", "answer": "A", "advantage": {advantage}}}"#)).unwrap()
    };
    assert_eq!(load("-1.5").documents[0].precomputed.advantage, Some(-1.5));
    assert_eq!(load("null").documents[0].precomputed.advantage, None);
    assert_ne!(load("1").hash, load("2").hash);
}

#[test]
fn scores_come_along_with_the_tokens_that_are_predicted() {
    let sandbox = Sandbox::new();
    let scores = |row: &str| sandbox.load(row).unwrap().documents[0].precomputed.scores.clone();
    let exchange = |more: &str| format!(r#"{{"question": "Q", "answer": "A"{more}}}"#);
    assert_eq!(scores(&exchange("")), None);
    assert_eq!(scores(&exchange(r#", "token_scores": -0.5"#)), Some(vec![-0.5; 2]));
    assert_eq!(scores(&exchange(r#", "token_scores": [1, -2]"#)), Some(vec![1.0, -2.0]));
    // A token of weight 0 is not predicted.
    assert_eq!(scores(&exchange(r#", "token_scores": [1, -2], "weights": [0, 1]"#)), Some(vec![-2.0]));
    // Nothing predicts the first token of a text.
    assert_eq!(scores(r#"{"text": "Q", "token_scores": [7, 8]}"#), Some(vec![8.0]));
    let chat = |row: &str, first: &str, last: &str| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": "Q"}}, {{"role": "assistant", "content": "A"{first}}},
                {{"role": "user", "content": "Q"}}, {{"role": "assistant", "content": "B"{last}}}]{row}}}"#
        )
        .replace('\n', " ")
    };
    let (first, last) = (r#", "token_scores": [1, 2]"#, r#", "token_scores": 3"#);
    assert_eq!(scores(&chat("", first, last)), Some(vec![1.0, 2.0, 3.0, 3.0]));
    assert_eq!(scores(&chat(r#", "token_scores": 4"#, first, "")), Some(vec![1.0, 2.0, 4.0, 4.0]));
    // One response lacks them.
    assert_eq!(scores(&chat("", first, "")), None);
    assert!(
        sandbox.error(chat(first, "", "")).contains("`token_scores` of a row belong to its only response")
    );
    let hash = |more: &str| sandbox.load(exchange(more)).unwrap().hash;
    assert_ne!(hash(r#", "token_scores": 1"#), hash(r#", "token_scores": 2"#));
}

/// Weighted instruction tuning, as docs/objectives.md writes it.
#[test]
fn prompt_tokens_of_a_text_have_a_weight_of_their_own() {
    let sandbox = Sandbox::new();
    let row = r#"{"text": "Question: 2 + 3?\nAnswer: 5", "spans": [{"start": 0, "end": 24, "weight": 0.2}]}"#;
    let document = &sandbox.load(row).unwrap().documents[0];
    let prompt = document.weights.iter().position(|weight| *weight == 1.0).unwrap();
    let (before, response) = document.weights.split_at(prompt);
    assert_eq!(tokenizer().decode(&document.tokens[..prompt]).unwrap(), "Question: 2 + 3?\nAnswer:");
    assert!(before[0] == 0.0 && before[1..].iter().all(|weight| *weight == 0.2), "{before:?}");
    assert!(response.iter().all(|weight| *weight == 1.0), "{response:?}");
}

#[test]
fn bad_rows_are_named_by_file_line_and_reason() {
    let sandbox = Sandbox::new();
    let good = r#"{"question": "Q", "answer": "A"}"#;
    for (row, complaint) in [
        ("{\"question\": \"Q\",", "is not JSON: EOF while parsing a value (column"),
        ("[1]", "is not a JSON object"),
        ("{\"question\": \"\u{0}\"}", "is not JSON"),
        (r#"{"question": "Q"}"#, "`answer` is missing"),
        (r#"{"question": "Q", "answer": 3}"#, "`answer` must be a string"),
        (r#"{"question": "Q", "answer": " "}"#, "the response is empty"),
        (r#"{"question": "Q", "answer": "A", "weight": -1}"#, "at least 0, not -1"),
        (r#"{"question": "Q", "answer": "A", "weight": 1e300}"#, "finite"),
        (r#"{"question": "Q", "answer": "A", "weight": 1, "weights": [1]}"#, "only one of weight, weights"),
        (
            r#"{"question": "Q", "answer": "A", "spans": [{"start": -1, "end": 2, "weight": 1}]}"#,
            "`start` of a span must be",
        ),
        (r#"{"question": "Q", "answer": "A", "advantage": "high"}"#, "`advantage` must be a number, not"),
        (
            r#"{"question": "Q", "answer": "A", "token_scores": [1, "high"]}"#,
            "`token_scores` takes a number or a list of numbers, not \"high\"",
        ),
        (
            r#"{"question": "Q", "answer": "A", "token_scores": [1]}"#,
            "`token_scores` has 1 entries, but the response has 2 tokens with the end of the turn",
        ),
        (r#"{"question": "Q", "answer": "A", "weight": 0}"#, "all of its weights are 0"),
    ] {
        let error = sandbox.error(format!("{good}\n\n{row}\n{good}\n"));
        assert!(error.contains("rows:3: ") && error.contains(complaint), "{row}: {error}");
        let source = DataSource { skip_bad: true, ..sandbox.source(format!("{good}\n\n{row}\n{good}\n")) };
        let set = load(&source, tokenizer()).unwrap();
        assert_eq!((set.documents.len(), set.rows, set.skipped.len()), (2, 3, 1));
        assert_eq!((set.skipped[0].row, set.skipped[0].line), (1, 3));
        assert!(set.skipped[0].reason.contains(complaint));
        assert_eq!(set.documents[1].row, 2);
    }
    // What is quoted cannot control a terminal.
    let error = sandbox.error("{\"\\u001b[2J\": 1}\n");
    assert!(error.contains("no format has the keys \\u{1b}[2J; the formats are"), "{error}");
    let turn = |turn: &str| {
        sandbox.error(format!(r#"{{"messages": [{{"role": "user", "content": "Q"}}, {turn}]}}"#))
    };
    assert!(turn("3").contains("rows:1: message 2: is not an object"));
    assert!(turn(r#"{"content": "A"}"#).contains("message 2: `role` is missing"));
    let calls =
        |calls: &str| turn(&format!(r#"{{"role": "assistant", "content": null, "tool_calls": {calls}}}"#));
    assert!(calls("[]").contains("message 2: `content` is missing"));
    assert!(calls("[3]").contains("message 2: `tool_calls` must be a list of objects"));
    assert!(
        turn(r#"{"role": "tool", "content": "A", "name": 3}"#).contains("message 2: `name` must be a string")
    );
    assert!(turn(r#"{"role": "user", "content": [{"type": "image_url"}]}"#).contains("is not text"));
    assert!(
        sandbox
            .error(r#"{"txt": "x"}"#)
            .contains("no format has the keys txt; the formats are messages (messages); ")
    );
    assert!(sandbox.error(r#"{"messages": "x"}"#).contains("`messages` must be a list"));
    let mixed = format!("{{\"messages\": []}}\n{good}\n");
    let source = DataSource { skip_bad: true, ..sandbox.source(format!("{good}\n{mixed}")) };
    let mixed = load(&source, tokenizer()).unwrap();
    let reasons: Vec<&str> = mixed.skipped.iter().map(|bad| bad.reason.as_str()).collect();
    let wanted = "`question` is missing; it has the keys of `messages`, but the first row made the file `gsm8k`: use one \
                  format for all rows";
    assert_eq!(reasons, [wanted]);
    // Who names the format knows it.
    let named = DataSource { format: Some(Format::Gsm8k), ..source };
    assert_eq!(load(&named, tokenizer()).unwrap().skipped[0].reason, "`question` is missing");
    // Of two bad rows the first is told, though the second is found earlier.
    let rows = format!("{good}\n{}\n{{\n", r#"{"question": "Q", "answer": ""}"#);
    assert!(sandbox.error(rows).contains("rows:2: "));
}

#[test]
fn files_of_other_kinds_are_read_or_refused() {
    let sandbox = Sandbox::new();
    let row = r#"{"question": "Q", "answer": "A"}"#;
    assert_eq!(shown(&sandbox.load(format!("\u{feff}{row}\r\n  \r\n{row}")).unwrap()), [EXCHANGE; 2]);
    assert_eq!(shown(&sandbox.load(format!(" \n[{row}, \n{row}\n]\n")).unwrap()), [EXCHANGE; 2]);
    assert!(
        sandbox
            .error(format!("[{row},\n\n{{\"question\":\n 1}},\n{row}]"))
            .contains("rows:3: `question` must")
    );
    assert!(sandbox.error(format!("[{row},\n{row}")).contains("rows:2: is not JSON: EOF"));
    assert!(sandbox.error(format!("[{row}\n] x")).contains("rows:2: is not JSON: trailing"));
    assert!(sandbox.error("[]").contains("none of its 0 rows"));
    assert!(sandbox.error("").contains("none of its 0 rows"));
    assert!(sandbox.error([0x1f, 0x8b, 8, 0]).contains("is compressed with gzip; decompress it first"));
    assert!(
        sandbox.error([0x28, 0xb5, 0x2f, 0xfd, 4]).contains("is compressed with zstd; decompress it first")
    );
    for header in ["question,answer", "\"question\",\"answer\"", "question\tanswer", "Frage;Antwort"] {
        let error = sandbox.error(format!("{header}\nQ,A\n"));
        assert!(error.contains("rows:1: is not JSON: "), "{error}");
        assert!(
            error.contains("; if it is a table (CSV, TSV), convert it to JSON lines or Parquet"),
            "{error}"
        );
    }
    let error = sandbox.error(format!("{row},\n{row},\n"));
    assert!(
        error.contains("rows:1: is not JSON: trailing characters (column 33); in JSON lines no comma"),
        "{error}"
    );
    assert!(sandbox.error(b"PAR1 and no more").contains("Parquet"));
    let limited = DataSource { limit: Some(1), ..sandbox.source(format!("[{row},\n{{]")) };
    let set = load(&limited, tokenizer()).unwrap();
    assert_eq!((set.documents.len(), set.more), (1, true));
    let folder = DataSource::new(sandbox.0.path().to_str().unwrap());
    assert!(load(&folder, tokenizer()).unwrap_err().to_string().contains("is a folder"));
    let error = |name: &str, split: Option<&str>| {
        let source = DataSource { split: split.map(str::to_owned), ..DataSource::new(name) };
        load(&source, tokenizer()).unwrap_err().to_string()
    };
    assert!(error("no-such.jsonl", None).contains("no file `no-such.jsonl`"));
    assert!(error("gsm8k", Some("dev")).contains("no split `dev`, only test, train"));
    assert!(error("gsm8k/dev", None).contains("`gsm8k` has no split `dev`, only test, train"));
    assert!(
        error("gsm8k/test", Some("train"))
            .contains("`gsm8k/test` already names a split, which is not `train`")
    );
    assert!(error("no/such.jsonl", Some("train")).contains("no file `no/such.jsonl`"));
    assert!(error("no/such.jsonl", None).contains("no file `no/such.jsonl`"));
    assert_eq!("alpaca".parse(), Ok(Format::Alpaca));
    assert!("alpacca".parse::<Format>().unwrap_err().contains("messages, sharegpt"));
}

#[test]
fn rows_come_through_a_pipe_too() {
    let sandbox = Sandbox::new();
    let pipe = sandbox.0.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let into = pipe.clone();
    let writer = std::thread::spawn(move || std::fs::write(into, r#"{"question": "Q", "answer": "A"}"#));
    assert_eq!(shown(&load(&DataSource::new(pipe.to_str().unwrap()), tokenizer()).unwrap()), [EXCHANGE]);
    writer.join().unwrap().unwrap();
}

#[test]
fn too_long_is_an_error_unless_it_is_to_be_cut() {
    let sandbox = Sandbox::new();
    let source = sandbox.source(r#"{"question": "Q", "answer": "What is the answer?"}"#);
    let whole = load(&source, tokenizer()).unwrap().documents.remove(0);
    let n = whole.tokens.len();
    let cut = |max_length, truncate| {
        load(&DataSource { max_length: Some(max_length), truncate, ..source.clone() }, tokenizer())
    };
    for truncate in [Truncate::Never, Truncate::End] {
        let set = cut(n, truncate).unwrap();
        assert!(set.truncated == 0 && set.cut_rows.is_empty(), "{truncate:?}");
    }
    let error = cut(n - 1, Truncate::Never).unwrap_err().to_string();
    assert!(error.contains(&format!("rows:1: has {n} tokens, more than {}", n - 1)), "{error}");
    let set = cut(n - 2, Truncate::End).unwrap();
    assert_eq!((set.truncated, &set.documents[0].tokens[..]), (1, &whole.tokens[..n - 2]));
    assert_eq!(set.cut_rows, [0]);
    assert!(cut(2, Truncate::End).unwrap_err().to_string().contains("leaves nothing of the response"));
}

#[test]
fn parquet_rows_are_read_as_the_json_they_would_be() {
    let sandbox = Sandbox::new();
    let bytes = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/rows");
        std::fs::read(folder.join(name).with_extension("parquet")).unwrap()
    };
    let set = sandbox.load(bytes("messages")).unwrap();
    assert_eq!(shown(&set), [EXCHANGE; 2]);
    assert_eq!([0, 1].map(|i| *set.documents[i].weights.last().unwrap()), [0.5, 1.0]);
    for name in ["questions-zstd", "questions-gzip"] {
        let error = sandbox.error(bytes(name));
        assert!(error.contains("rows:3: `question` is missing"), "{error}");
        let set = load(&DataSource { skip_bad: true, ..sandbox.source(bytes(name)) }, tokenizer()).unwrap();
        assert_eq!(shown(&set), [EXCHANGE; 2]);
    }
    let error = sandbox.error(bytes("questions-lz4"));
    assert!(
        error.contains("compressed with lz4, which is not supported; supported are snappy, gzip, zstd"),
        "{error}"
    );
    // Cut or changed anywhere, it is refused or read; nothing panics.
    let whole = bytes("messages");
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        let _ = sandbox.load(&damaged);
        let _ = sandbox.load(&whole[..at]);
    }
    // A dictionary whose header promises 63 values, and the library sets memory aside for.
    let promised = (4..100).filter_map(|at| {
        let mut damaged = whole.clone();
        damaged[at] = 0x7e;
        sandbox.load(&damaged).err().map(|error| error.to_string())
    });
    let refused: Vec<String> = promised.filter(|error| error.contains("cannot hold 63 values")).collect();
    assert!(!refused.is_empty());
}

/// A Parquet file of one question and answer, with a number of this type.
fn with_number<T: DataType>(column: &str, value: T::T) -> Vec<u8> {
    let schema = format!(
        "message rows {{ required binary question (UTF8); required binary answer (UTF8); {column} }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for text in ["Q", "A"] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[text.into()], None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(&[value], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let error = Sandbox::new().error(with_number::<Int32Type>("required int32 answer;", 1));
    assert!(error.contains("rows: has two columns with the name `answer`"), "{error}");
}

#[test]
fn prompts_need_no_answers() {
    let sandbox = Sandbox::new();
    let prompt = |row: &str| {
        let path = sandbox.file(row);
        let (_, prompts) = prompts(path.to_str().unwrap(), None, tokenizer()).unwrap();
        (tokenizer().decode(&prompts[0].tokens).unwrap(), prompts[0].plain)
    };
    let asked = prompt(r#"{"question": "Q", "answer": "A"}"#);
    for row in [
        r#"{"question": "Q"}"#,
        r#"{"instruction": "Q", "input": "", "output": null}"#,
        r#"{"instruction": "Q"}"#,
        r#"{"prompt": [{"role": "user", "content": "Q"}], "completion": null}"#,
        r#"{"prompt": null, "text": null, "question": "Q", "answer": "A"}"#,
        r#"{"instruction": null, "question": "Q", "answer": null}"#,
        r#"{"prompt": "other", "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}"#,
    ] {
        assert_eq!(prompt(row), asked, "{row}");
    }
    for row in [
        r#"{"prompt": "Q"}"#,
        r#"{"prompt": "Q", "completion": null}"#,
        r#"{"prompt": "Q", "label": false}"#,
        r#"{"prompt": "Q", "completion": "A", "label": false}"#,
        r#"{"instruction": null, "prompt": "Q"}"#,
    ] {
        assert_eq!(prompt(row), ("Q".to_owned(), true), "{row}");
    }
}

#[test]
fn rows_are_counted_across_the_groups_of_a_parquet_file() {
    let schema = "message rows { required binary question (UTF8); required binary answer (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    for answers in [["A", "B"], ["C", "D"]] {
        let mut group = writer.next_row_group().unwrap();
        for texts in [["Q", "Q"], answers] {
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&texts.map(Into::into), None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    let sandbox = Sandbox::new();
    let set = sandbox.load(writer.into_inner().unwrap()).unwrap();
    let rows: Vec<_> = set.documents.iter().map(|document| document.row).collect();
    assert_eq!(rows, [rows[0], rows[0] + 1, rows[0] + 2, rows[0] + 3]);
}

#[test]
fn numbers_of_parquet_files_count_or_are_refused() {
    let sandbox = Sandbox::new();
    let weight = |bytes: Vec<u8>| *sandbox.load(bytes).unwrap().documents[0].weights.last().unwrap();
    let decimal = |bytes: &[u8]| ByteArray::from(bytes.to_vec());
    assert_eq!(weight(with_number::<DoubleType>("required double weight;", 0.25)), 0.25);
    assert_eq!(weight(with_number::<Int32Type>("required int32 weight (DECIMAL(5, 2));", 150)), 1.5);
    assert_eq!(weight(with_number::<Int64Type>("required int64 weight (DECIMAL(12, 0));", 3)), 3.0);
    let of_bytes = "required binary weight (DECIMAL(30, 3));";
    assert_eq!(weight(with_number::<ByteArrayType>(of_bytes, decimal(&[1, 244]))), 0.5);
    // What no format reads may be anything.
    assert_eq!(weight(with_number::<DoubleType>("required double score;", f64::NAN)), 1.0);
    assert_eq!(weight(with_number::<Int32Type>("required int32 day (DATE);", 1)), 1.0);
    let within = |column: &str| format!("required group {column} {{ required int32 day (DATE); }}");
    assert_eq!(weight(with_number::<Int32Type>(&within("extra"), 1)), 1.0);
    for (bytes, complaint) in [
        (
            with_number::<DoubleType>("required double weight;", f64::NAN),
            "`weight`: NaN is not a finite number",
        ),
        (
            with_number::<FloatType>("required float weight;", f32::INFINITY),
            "`weight`: inf is not a finite number",
        ),
        (
            with_number::<DoubleType>("required double advantage;", -f64::INFINITY),
            "`advantage`: -inf is not a",
        ),
        (
            with_number::<ByteArrayType>(of_bytes, decimal(&[255, 255])),
            "finite numbers of at least 0, not -0.001",
        ),
        (
            with_number::<ByteArrayType>(of_bytes, decimal(&[1; 17])),
            "`weight`: decimals of more than 128 bits",
        ),
        (
            with_number::<Int32Type>("required int32 weight (DATE);", 1),
            "`weight`: dates and times are not supported; write them as texts",
        ),
        // A template may read any key of a message.
        (
            with_number::<Int32Type>(&within("messages"), 1),
            "`messages`: `day`: dates and times are not supported",
        ),
        (
            with_number::<DoubleType>("required group tools { required double least; }", f64::NAN),
            "`tools`: `least`: NaN is not a finite number",
        ),
    ] {
        let error = sandbox.error(bytes);
        assert!(error.contains("rows:1: ") && error.contains(complaint), "{error}");
    }
}

#[test]
fn the_same_rows_have_the_same_hash() {
    let sandbox = Sandbox::new();
    let row = |answer: &str| format!("{{\"question\": \"Q\", \"answer\": \"{answer}\"}}\n");
    let many: String = (0..5000).map(|i| row(&i.to_string())).collect();
    let (a, b) = (sandbox.load(&many).unwrap(), sandbox.load(&many).unwrap());
    assert_eq!(a, b);
    assert!(a.documents.iter().enumerate().all(|(i, document)| document.row == i));
    assert_ne!(sandbox.load(row("A")).unwrap().hash, sandbox.load(row("B")).unwrap().hash);
}

/// JSON that looks like rows, and is mostly not.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let keys = "text|messages|conversations|tools|tool_calls|tool_call_id|name|reasoning_content|role|content|from|value|instruction|input|output|question|answer|prompt|completion|advantage|token_scores|weight|weights|spans|start|end";
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "user|assistant|system|text|A b|é".prop_map(Into::into),
        ".{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec((keys, inner), 0..5)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, head in "|\\[|\\{|PAR1|\u{feff}") {
        let _ = Sandbox::new().load([head.as_bytes(), &bytes].concat());
    }

    #[test]
    fn no_json_makes_a_reader_panic(rows in proptest::collection::vec(json(), 1..6), array: bool) {
        let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
        let text = if array { format!("[{}]", lines.join(",\n")) } else { lines.join("\n") };
        let sandbox = Sandbox::new();
        let source = DataSource { skip_bad: true, ..sandbox.source(text) };
        // A line that is a list, and the only one, is a file of rows.
        let count = match &rows[..] {
            [serde_json::Value::Array(only)] if !array => only.len(),
            rows => rows.len(),
        };
        if let Ok(set) = load(&source, tokenizer()) {
            prop_assert_eq!(set.rows, count);
            prop_assert_eq!(set.documents.len() + set.skipped.len(), count);
        }
    }
}
