//! The settings on the first line of a file that a later run continues.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Key of the tokenizer's hash. Files from before it existed do not have it and stay valid.
pub(crate) const TOKENIZER: &str = "tokenizer";

/// The settings on a file's first line.
pub(crate) fn settings(line: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Value>(line).ok()?.get_mut("header")?.take() {
        Value::Object(settings) => Some(settings),
        _ => None,
    }
}

/// How the settings in a file differ from those of a run, a line each; `None` if they do not.
pub(crate) fn differences(then: &Map<String, Value>, now: &Map<String, Value>) -> Option<String> {
    let is_older = |key: &str| key == TOKENIZER && !then.contains_key(key);
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let differing = keys.into_iter().filter(|key| then.get(*key) != now.get(*key) && !is_older(key));
    let lines: Vec<String> = differing
        .map(|key| format!("{key}: {} in the file, {} now", shown(then.get(key)), shown(now.get(key))))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n  "))
}
