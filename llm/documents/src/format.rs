//! The formats in which data sets store conversations.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use tokensieve_model::text::{Conversation, FIELDS, Message, Scores, Span, Weights, trained_turns};

/// The format of a row: under which keys it stores a conversation.
///
/// | format | keys | conversation |
/// |---|---|---|
/// | `messages` | `messages`: a list of `role`, `content` | the chat |
/// | `sharegpt` | `conversations`: a list of `from`, `value` | the chat; human is user, gpt is assistant, `function_call` an assistant's call of functions and observation a tool |
/// | `alpaca` | `instruction`, `input` (optional), `output` | a user message (instruction and input, separated by a blank line) and its answer |
/// | `gsm8k` | `question`, `answer` | a user message and its answer |
/// | `prompt-completion` | `prompt`, `completion` | strings: prompt, completion and the end-of-text token, without a chat template; lists of messages: the chat |
/// | `text` | `text` | the text and the end-of-text token, without a chat template; every token is trained on |
///
/// Aliases: `context` and `response` for Alpaca's `input` and `output`, as in Dolly. A row with two texts for one of them is a
/// bad row, and so is one of `gsm8k` with a `context`, which would be lost.
///
/// Weights of a response:
/// - `weight`: one number for all its tokens;
/// - `weights`: one number per token;
/// - `spans`: a list of `start`, `end` (in characters of the response) and `weight`.
///
/// A message of a chat has its own weights beside its text. Weights in the row itself apply to its only response; a
/// `weight` of a row may also apply to several responses, as the default for those that have no weights of their own.
///
/// Scores of a response, for objectives that read them, stand where weights may stand and follow the same rules:
/// - `token_scores`: one number for all its tokens, or a list with one per token, that of the end of the turn included.
///
/// Other keys of a row:
/// - `advantage`: a number of either sign, for objectives that read it;
/// - `system`: text of a system message before the others, in formats that use the chat template;
/// - `tools`: a list of JSON schemas, or that list as JSON text, passed to the chat template;
/// - `label` beside `prompt` and `completion`: a completion that it calls false needs a weight.
///
/// All other keys of a message are passed to the chat template as well; a message with `tool_calls` needs no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenAI`'s `messages`.
    Messages,
    /// `ShareGPT`'s `conversations`.
    Sharegpt,
    /// Stanford Alpaca's `instruction`, `input`, `output`.
    Alpaca,
    /// GSM8K's `question`, `answer`.
    Gsm8k,
    /// `prompt` and `completion`.
    PromptCompletion,
    /// `text`.
    Text,
}

/// Every format with its name and the keys by which it is recognised.
const FORMATS: [(Format, &str, &[&str]); 6] = [
    (Format::Messages, "messages", &["messages"]),
    (Format::Sharegpt, "sharegpt", &["conversations"]),
    (Format::Alpaca, "alpaca", &["instruction"]),
    (Format::PromptCompletion, "prompt-completion", &["prompt", "completion"]),
    (Format::Gsm8k, "gsm8k", &["question", "answer"]),
    // Last, because tables often have the whole text beside its parts.
    (Format::Text, "text", &["text"]),
];

/// Whether any format reads this key of a row.
pub(super) fn reads_row_key(key: &str) -> bool {
    const OTHERS: [&str; 11] = [
        "input",
        "context",
        "output",
        "response",
        "system",
        "tools",
        "weight",
        "weights",
        "spans",
        "token_scores",
        "advantage",
    ];
    OTHERS.contains(&key) || FORMATS.iter().any(|(_, _, keys)| keys.contains(&key))
}

/// The error of a row that says, as those for KTO do, that its completion is a bad one.
const REJECTED: &str = "`label` is false: its completion was rejected, and would be trained on all the same; leave out \
                        such rows, or give them a `weight`";

/// The error of a row with a question about a text, of which the model would not see the text.
const CONTEXT: &str = "`context` would be lost: this format reads `question` and `answer`; write it into `question`, or name the \
                       keys `instruction`, `context` and `response`";

/// The predecessor of `tool_calls` in `OpenAI`'s format: a single call.
const OLD_CALL: &str = "function_call";

/// Whose turn calls functions in `ShareGPT`'s format, with the calls as its text; `observation` is who answers.
const CALL: &str = OLD_CALL;

/// The keys of a message that are not passed to the chat template under their own names.
const OWN: [&str; 8] = ["role", "from", "content", "value", "weight", "weights", "spans", "token_scores"];

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = FORMATS.iter().find(|(_, known, _)| *known == name).map(|(format, ..)| *format);
        let names = || FORMATS.map(|(_, name, _)| name).join(", ");
        found.ok_or_else(|| format!("unknown format `{name}`; the formats are {}", names()))
    }
}

impl Format {
    /// Its name.
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(format, ..)| *format == self).map_or("", |(_, name, _)| name)
    }

    /// The format that is recognised by the keys of a row.
    pub(super) fn of(row: &Map<String, Value>) -> Result<Self, String> {
        let has = |(_, _, keys): &&(Self, &str, &[&str])| keys.iter().all(|key| row.contains_key(*key));
        FORMATS.iter().find(has).map(|(format, ..)| *format).ok_or_else(|| {
            let keys: Vec<&str> = row.keys().map(String::as_str).collect();
            let known = FORMATS.map(|(_, name, keys)| format!("{name} ({})", keys.join(", "))).join("; ");
            match keys[..] {
                [] => format!("has no keys; the formats are {known}"),
                _ => format!("no format has the keys {}; the formats are {known}", keys.join(", ")),
            }
        })
    }

    /// What is wrong with a row of a file whose first row has this format; it says so where this one has another.
    pub(super) fn mixed(self, row: &Map<String, Value>, what: String) -> String {
        match Self::of(row) {
            Ok(other) if other != self => format!(
                "{what}; it has the keys of `{}`, but the first row made the file `{}`: use one format for all rows",
                other.name(),
                self.name()
            ),
            _ => what,
        }
    }

    /// The conversation of a row.
    pub(super) fn conversation(self, row: &Map<String, Value>) -> Result<Conversation, String> {
        match self {
            Self::Messages => chat(row, turns(row, "messages")?),
            Self::Sharegpt => chat(row, turns(row, "conversations")?),
            Self::Alpaca => {
                let mut prompt = text(row, "instruction")?.to_owned();
                if let Some(input) =
                    optional(row, either(row, "input", "context")?)?.filter(|input| !input.is_empty())
                {
                    prompt = format!("{prompt}\n\n{input}");
                }
                let answer = either(row, "output", "response")?;
                if !row.contains_key(answer) {
                    return Err("`output` (or `response`) is missing".to_owned());
                }
                exchange(row, &prompt, answer)
            }
            Self::Gsm8k if is_given(row, "context") => Err(CONTEXT.to_owned()),
            Self::Gsm8k => exchange(row, text(row, "question")?, "answer"),
            Self::PromptCompletion => {
                if row.get("label") == Some(&Value::Bool(false)) && weights(row)?.is_none() {
                    return Err(REJECTED.to_owned());
                }
                if let (Some(Value::Array(_)), Some(Value::Array(_))) =
                    (row.get("prompt"), row.get("completion"))
                {
                    let mut all = turns(row, "prompt")?;
                    // The prompt is not trained on, not even its assistant messages.
                    for turn in &mut all {
                        turn.weights = Some(Weights::All(0.0));
                    }
                    all.extend(turns(row, "completion")?);
                    return chat(row, all);
                }
                plain(row, text(row, "prompt")?, "completion")
            }
            Self::Text => plain(row, "", "text"),
        }
    }
}

/// A user message and its answer.
fn exchange(row: &Map<String, Value>, prompt: &str, answer: &str) -> Result<Conversation, String> {
    let messages = vec![Message::new("user", prompt), response(row, answer)?];
    Ok(Conversation::Chat { messages: with_system(row, messages)?, tools: tools(row)? })
}

/// The messages after the row's `system` text, if it has one.
fn with_system(row: &Map<String, Value>, mut messages: Vec<Message>) -> Result<Vec<Message>, String> {
    let Some(system) = optional(row, "system")?.filter(|text| !text.trim().is_empty()) else {
        return Ok(messages);
    };
    match messages.first() {
        Some(first) if first.role == "system" && first.text() == system => {}
        Some(first) if first.role == "system" => {
            return Err(
                "`system` of the row differs from its system message; give only one of them".to_owned()
            );
        }
        _ => messages.insert(0, Message::new("system", system)),
    }
    Ok(messages)
}

/// A prompt and its completion, without a chat template, which alone could write what the row says beside them.
fn plain(row: &Map<String, Value>, prompt: &str, completion: &str) -> Result<Conversation, String> {
    let system = optional(row, "system")?.is_some_and(|text| !text.trim().is_empty());
    for (key, given) in [("system", system), ("tools", !tools(row)?.is_empty())] {
        if given {
            return Err(format!(
                "`{key}` would be lost: this format has no chat template; remove it, or write `messages`"
            ));
        }
    }
    Ok(Conversation::Plain { prompt: prompt.to_owned(), completion: response(row, completion)? })
}

/// The response of a row, with the row's weights and scores.
fn response(row: &Map<String, Value>, key: &str) -> Result<Message, String> {
    let (weights, scores) = (weights(row)?.unwrap_or_default(), scores(row)?);
    Ok(Message { weights, scores, ..Message::new("assistant", text(row, key)?) })
}

/// A message as the row has it.
struct Turn {
    role: String,
    content: Option<String>,
    fields: Map<String, Value>,
    /// `None`: the message has no weights of its own.
    weights: Option<Weights>,
    /// `None`: the message has no scores of its own.
    scores: Option<Scores>,
}

/// The chat of a row. A message without weights of its own has the row's; the row's weights per token or span apply to its
/// only response. Scores likewise.
fn chat(row: &Map<String, Value>, turns: Vec<Turn>) -> Result<Conversation, String> {
    let of_row = weights(row)?;
    let whole = of_row.clone().filter(|weights| matches!(weights, Weights::All(_))).unwrap_or_default();
    let scores_of_row = scores(row)?;
    let score = scores_of_row.clone().filter(|scores| matches!(scores, Scores::All(_)));
    let weighted: Vec<bool> = turns.iter().map(|turn| turn.weights.is_some()).collect();
    let scored: Vec<bool> = turns.iter().map(|turn| turn.scores.is_some()).collect();
    let message = |Turn { role, content, fields, weights, scores }| {
        let weights = weights.unwrap_or_else(|| whole.clone());
        Message { role, content, fields, weights, scores: scores.or_else(|| score.clone()) }
    };
    let mut messages: Vec<Message> = turns.into_iter().map(message).collect();
    if let Some(detailed @ (Weights::Tokens(_) | Weights::Spans(_))) = of_row {
        let key = if matches!(detailed, Weights::Tokens(_)) { "weights" } else { "spans" };
        let only = only_response(&messages, &weighted, key)?;
        messages[only].weights = detailed;
    }
    if let Some(detailed @ Scores::Tokens(_)) = scores_of_row {
        let only = only_response(&messages, &scored, "token_scores")?;
        messages[only].scores = Some(detailed);
    }
    Ok(Conversation::Chat { messages: with_system(row, messages)?, tools: tools(row)? })
}

/// The index of the only response, which the row's value of this key is for; it may not have one of its own.
fn only_response(messages: &[Message], has_own: &[bool], key: &str) -> Result<usize, String> {
    match trained_turns(messages).collect::<Vec<_>>()[..] {
        [index] if has_own[index] => {
            let number = index + 1;
            Err(format!("the row and its message {number} both have `{key}`; give only one of them"))
        }
        [index] => Ok(index),
        ref several => Err(format!(
            "`{key}` of a row belong to its only response, but this row has {} responses; write `{key}` into the messages",
            several.len()
        )),
    }
}

/// The functions that may be called. Tables often store them as JSON text.
fn tools(row: &Map<String, Value>) -> Result<Vec<Value>, String> {
    let list = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Some(Vec::new()),
        // Schemas differ, so that tables may store each of them as text.
        Some(Value::Array(list)) => list.iter().map(function).collect(),
        Some(_) => None,
    };
    let found = match row.get("tools") {
        Some(Value::String(text)) if text.is_empty() => Some(Vec::new()),
        Some(Value::String(text)) => serde_json::from_str(text).ok().and_then(|value| list(Some(&value))),
        value => list(value),
    };
    found.ok_or_else(|| "`tools` must be a list of functions, or such a list as JSON text".to_owned())
}

/// A function that may be called: an object, or one as JSON text.
fn function(value: &Value) -> Option<Value> {
    match value {
        Value::Object(_) => Some(value.clone()),
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    }
}

/// The fields of a message for the chat template. Null and empty values, which tables have in every row, count as missing.
fn fields(turn: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    if is_given(turn, OLD_CALL) {
        return Err(format!("`{OLD_CALL}` is not supported; write the call as `tool_calls`"));
    }
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let given = |(key, value): &(&String, &Value)| !OWN.contains(&key.as_str()) && !is_empty(value);
    let field = |(key, value): (&String, &Value)| match (key.as_str(), value) {
        ("tool_calls", Value::Array(calls)) if calls.iter().all(Value::is_object) => {
            Ok((key.clone(), value.clone()))
        }
        ("tool_calls", _) => Err("`tool_calls` must be a list of objects".to_owned()),
        (known, value) if FIELDS.contains(&known) && !value.is_string() => {
            Err(format!("`{key}` must be a string"))
        }
        _ => Ok((key.clone(), value.clone())),
    };
    turn.iter().filter(given).map(field).collect()
}

/// A list of messages, with the keys and roles of any format.
fn turns(row: &Map<String, Value>, key: &str) -> Result<Vec<Turn>, String> {
    let Some(Value::Array(turns)) = row.get(key) else {
        return Err(format!("`{key}` must be a list of messages"));
    };
    let turn = |turn: &Value| -> Result<Turn, String> {
        let turn = turn.as_object().ok_or("is not an object")?;
        // Of two names the one that is there, else the format's own.
        let named = |one: &'static str, other: &'static str| {
            let is_there = |name| turn.contains_key(name);
            if is_there(one) || (key == "messages" && !is_there(other)) { one } else { other }
        };
        let given = text(turn, named("role", "from"))?;
        let role = match given.to_lowercase().as_str() {
            "user" | "human" | "prompter" => "user",
            "assistant" | "gpt" | "chatgpt" | "bot" | "model" | CALL => "assistant",
            "system" => "system",
            "tool" | "observation" => "tool",
            _ => given,
        };
        let mut fields = fields(turn)?;
        let key = named("content", "value");
        let content = match turn.get(key) {
            Some(value) if given.eq_ignore_ascii_case(CALL) => {
                fields.insert("tool_calls".to_owned(), calls(value)?);
                fields.insert("content".to_owned(), Value::Null);
                None
            }
            Some(Value::Array(parts)) => Some(joined(parts)?),
            Some(Value::Null) if fields.contains_key("tool_calls") => {
                fields.insert("content".to_owned(), Value::Null);
                None
            }
            None if fields.contains_key("tool_calls") => None,
            _ => Some(text(turn, key)?.to_owned()),
        };
        let (weights, scores) = (weights(turn)?, scores(turn)?);
        // A weight of 0 says what is so.
        let weighs = weights.as_ref().is_some_and(|weights| *weights != Weights::All(0.0));
        if role != "assistant" && (weighs || scores.is_some()) {
            let key = if weighs { "a weight" } else { "`token_scores`" };
            return Err(format!("has {key}, but only the assistant's messages are trained on"));
        }
        Ok(Turn { role: role.to_owned(), content, fields, weights, scores })
    };
    (1..)
        .zip(turns)
        .map(|(number, one)| turn(one).map_err(|what| format!("message {number}: {what}")))
        .collect()
}

/// What a turn of [`CALL`] calls, as `tool_calls`.
fn calls(value: &Value) -> Result<Value, String> {
    let parsed = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    let calls = match parsed {
        Some(Value::Array(calls)) => calls,
        Some(call) => vec![call],
        None => vec![],
    };
    if calls.is_empty() || !calls.iter().all(|call| call.get("name").is_some_and(Value::is_string)) {
        return Err(format!(
            "`{CALL}` must be the JSON text of an object with `name` and `arguments`, or of a list of them"
        ));
    }
    Ok(calls.into_iter().map(|call| json!({"type": "function", "function": call})).collect())
}

/// The text of `OpenAI`'s list of parts, all of which must be text.
fn joined(parts: &[Value]) -> Result<String, String> {
    let part = |part: &Value| match (part.get("type").and_then(Value::as_str), part.get("text")) {
        (Some("text") | None, Some(Value::String(text))) => Ok(text.clone()),
        _ => Err("`content` has a part that is not text".to_owned()),
    };
    parts.iter().map(part).collect()
}

/// Whether a row has something under a key. Null and empty values, which tables have in every row, count as missing.
fn is_given(row: &Map<String, Value>, key: &str) -> bool {
    match row.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    }
}

/// The one of two keys for the same thing that a row uses.
fn either<'k>(row: &Map<String, Value>, one: &'k str, other: &'k str) -> Result<&'k str, String> {
    match (is_given(row, one), is_given(row, other)) {
        (true, true) if row.get(one) != row.get(other) => {
            Err(format!("`{other}` would be lost beside `{one}`; give only one of them"))
        }
        (false, true) => Ok(other),
        (false, false) if !row.contains_key(one) => Ok(other),
        _ => Ok(one),
    }
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    optional(row, key)?.ok_or_else(|| format!("`{key}` is missing"))
}

fn optional<'a>(row: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match row.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` must be a string")),
    }
}

/// The advantage of a row: how much better its response is than expected.
pub(super) fn advantage(row: &Map<String, Value>) -> Result<Option<f64>, String> {
    match row.get("advantage") {
        None | Some(Value::Null) => Ok(None),
        // Numbers in JSON are finite.
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(other) => Err(format!("`advantage` must be a number, not {other}")),
    }
}

/// The scores given in a row or message.
fn scores(row: &Map<String, Value>) -> Result<Option<Scores>, String> {
    // Numbers in JSON are finite.
    let one = |value: &Value| {
        value
            .as_f64()
            .ok_or_else(|| format!("`token_scores` takes a number or a list of numbers, not {value}"))
    };
    match row.get("token_scores") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(Scores::Tokens(list.iter().map(one).collect::<Result<_, _>>()?))),
        Some(score) => Ok(Some(Scores::All(one(score)?))),
    }
}

/// The weights given in a row or message.
fn weights(row: &Map<String, Value>) -> Result<Option<Weights>, String> {
    let given: Vec<&str> = ["weight", "weights", "spans"]
        .into_iter()
        .filter(|key| row.get(*key).is_some_and(|value| !value.is_null()))
        .collect();
    let list = |key: &str| row[key].as_array().ok_or_else(|| format!("`{key}` must be a list"));
    match given.as_slice() {
        [] => Ok(None),
        ["weight"] => Ok(Some(Weights::All(number(&row["weight"], "weight")?))),
        ["weights"] => {
            let weights = list("weights")?.iter().map(|value| number(value, "weights"));
            Ok(Some(Weights::Tokens(weights.collect::<Result<_, _>>()?)))
        }
        ["spans"] => {
            let spans = list("spans")?.iter().map(span).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(Weights::Spans(spans)))
        }
        several => Err(format!("only one of {} may be given", several.join(", "))),
    }
}

fn span(value: &Value) -> Result<Span, String> {
    let place = |key: &str| {
        let place = value.get(key).and_then(Value::as_u64);
        place
            .map(|place| place as usize)
            .ok_or_else(|| format!("`{key}` of a span must be an integer of at least 0"))
    };
    let weight = number(value.get("weight").unwrap_or(&Value::Null), "weight")?;
    Ok(Span { start: place("start")?, end: place("end")?, weight })
}

/// A weight: finite and not negative, as every objective requires.
fn number(value: &Value, key: &str) -> Result<f32, String> {
    let number = match value {
        Value::Bool(yes) => Some(f32::from(u8::from(*yes))),
        other => other.as_f64().map(|number| number as f32),
    };
    number
        .filter(|number| *number >= 0.0 && number.is_finite())
        .ok_or_else(|| format!("`{key}` takes finite numbers of at least 0, not {value}"))
}
