//! What a chat template would leave out of a conversation: the model would neither read nor learn it, and nobody would
//! notice.

use minijinja::Value;
use serde_json::{Map, Value as Json};

use super::conversation::{CALLS, Message, REASONING, arguments_of};
use super::python::is_space;
use super::template::Template;

impl Template {
    /// Checks that the template ignores nothing of what the model has to read: the tools, and of each turn the text, the
    /// calls and the reasoning. What is changed in a turn must change the text when it is the last turn, or in the whole
    /// conversation (templates leave out earlier thinking).
    pub(super) fn check(
        &self,
        messages: &[Message],
        tools: &[Json],
        add_generation_prompt: bool,
    ) -> Result<(), String> {
        let source = self.source(tools)?;
        let beginning = |messages: &[Value]| self.render_source(source, messages.to_vec(), tools, false);
        let text = |messages: &[Value], tools: &[Json]| {
            self.render_source(source, messages.to_vec(), tools, add_generation_prompt)
        };
        let marked: Vec<Message> = messages.iter().enumerate().map(with_mark).collect();
        let marked = self.values(&marked, tools)?;
        let of_marks = text(&marked, tools).unwrap_or_default();
        let is_unmarked = |index: usize| has_text(&messages[index]) && !of_marks.contains(&mark(index));
        let parts: Vec<Vec<Part>> = messages.iter().map(parts).collect();
        if tools.is_empty() && parts.iter().all(Vec::is_empty) && !(0..messages.len()).any(is_unmarked) {
            return Ok(());
        }
        let whole = self.values(messages, tools)?;
        // What it refuses, it does not ignore.
        let written = text(&whole, tools)
            .map_err(|what| self.refused(messages, tools, add_generation_prompt, &what))?;
        if !tools.is_empty() && text(&whole, &[]).is_ok_and(|without| without == written) {
            return Err(
                "the chat template ignores `tools`; remove them, or use a model whose template has them"
                    .into(),
            );
        }
        let same_with = |index: usize, other: &Value| {
            let mut others = whole.clone();
            others[index] = other.clone();
            beginning(&whole[..=index]) == beginning(&others[..=index])
                && text(&others, tools).is_ok_and(|text| text == written)
        };
        let same = |index: usize, other: &Message| {
            self.values(std::slice::from_ref(other), tools).is_ok_and(|values| same_with(index, &values[0]))
        };
        for (index, message) in messages.iter().enumerate() {
            let (number, role) = (index + 1, &message.role);
            if is_unmarked(index) && same_with(index, &marked[index]) {
                if (0..messages.len()).all(|turn| !has_text(&messages[turn]) || is_unmarked(turn)) {
                    return Err("the chat template writes the text of no turn; use another template".into());
                }
                return Err(format!(
                    "message {number}: the chat template ignores the content of this `{role}` turn; move it to a turn \
                     that the template writes, or use another template"
                ));
            }
            for Part { name, without, renamed } in &parts[index] {
                if !same(index, without) {
                    continue;
                }
                let read = renamed.iter().find(|(_, renamed)| !same(index, renamed));
                let remedy = match read {
                    Some((other, _)) => format!("rename it to `{other}`, which it reads"),
                    None => "remove it, or write it into the content".to_owned(),
                };
                return Err(format!("message {number}: the chat template ignores {name}; {remedy}"));
            }
        }
        Ok(())
    }

    /// The error of a conversation that the template refuses for a reason; it names the system message if that is what
    /// is missing.
    pub(super) fn refused(
        &self,
        messages: &[Message],
        tools: &[Json],
        add_generation_prompt: bool,
        what: &str,
    ) -> String {
        let with = [&[Message::new("system", "S")], messages].concat();
        let needs_system = messages.iter().all(|message| message.role != "system")
            && self.render(&with, tools, add_generation_prompt).is_ok();
        let remedy = if needs_system {
            "; it needs a system message: the row's `system`, a first message of the role `system`, or --system of chat"
        } else {
            ""
        };
        format!("the chat template refuses it: {what}{remedy}")
    }
}

/// Whether a template wrote a response behind the first bytes of a text, its prompt, be it as a JSON string. The prompt may
/// have the response's beginning, such as `<think>`. White space does not count, which templates trim.
pub(super) fn is_written(response: &str, text: &str, prompt: usize) -> bool {
    let response = response.trim();
    if text[prompt..].contains(response) {
        return true;
    }
    let bare = |text: &str| text.chars().filter(|c| !is_space(*c)).collect::<String>();
    let (within, prompt) = (bare(text), bare(&text[..prompt]).len());
    let quoted = Json::from(response).to_string();
    let quoted = &quoted[1..quoted.len() - 1];
    [response, quoted, &ascii(quoted)].into_iter().any(|form| {
        let form = bare(form);
        within.rfind(&form).is_some_and(|at| at + form.len() > prompt)
    })
}

/// A JSON string with all but ASCII as escapes.
fn ascii(quoted: &str) -> String {
    let mut escaped = String::new();
    for c in quoted.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// What the model has to read of a turn besides its text.
struct Part {
    name: String,
    /// The turn without it.
    without: Message,
    /// The turn with it under each of the other names that it has in templates.
    renamed: Vec<(&'static str, Message)>,
}

/// The calls of a turn, their arguments, and its reasoning.
fn parts(message: &Message) -> Vec<Part> {
    let mut parts = Vec::new();
    let calls = message.fields.get(CALLS).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    for (index, call) in calls.iter().enumerate() {
        let (mut without, mut call) = (calls.to_vec(), call.clone());
        without.remove(index);
        let name =
            if calls.len() == 1 { format!("`{CALLS}`") } else { format!("call {} of `{CALLS}`", index + 1) };
        let mut part = |name, calls: Vec<Json>| {
            let mut without = message.clone();
            if calls.is_empty() {
                without.fields.shift_remove(CALLS);
            } else {
                without.fields.insert(CALLS.to_owned(), calls.into());
            }
            parts.push(Part { name, without, renamed: Vec::new() });
        };
        part(name.clone(), without);
        if let Some(arguments) = arguments_of(&mut call)
            && let Some(none) = emptied(arguments)
        {
            *arguments = none;
            let mut calls = calls.to_vec();
            calls[index] = call;
            part(format!("the arguments of {name}"), calls);
        }
    }
    for key in REASONING {
        let Some(reasoning) = message.fields.get(key).filter(|value| value.is_string() || value.is_array())
        else {
            continue;
        };
        // Some servers write it under two names, of which templates take one.
        let mut without = message.clone();
        without.fields.retain(|key, value| !(REASONING.contains(&key.as_str()) && value == reasoning));
        let renamed =
            REASONING.into_iter().filter(|other| !message.fields.contains_key(*other)).map(|other| {
                let mut renamed = without.clone();
                renamed.fields.insert(other.to_owned(), reasoning.clone());
                (other, renamed)
            });
        parts.push(Part { name: format!("`{key}`"), renamed: renamed.collect(), without });
    }
    parts
}

/// No arguments in the place of some; `None` if there are none.
fn emptied(arguments: &Json) -> Option<Json> {
    match arguments {
        Json::Object(all) if !all.is_empty() => Some(Json::Object(Map::new())),
        Json::String(text) if !["", "{}"].contains(&text.trim()) => Some("{}".into()),
        _ => None,
    }
}

fn has_text(message: &Message) -> bool {
    !message.content.trim().is_empty()
}

/// A turn with a mark in the place of its text.
fn with_mark((index, message): (usize, &Message)) -> Message {
    let content = if has_text(message) { mark(index) } else { message.content.clone() };
    Message { content, ..message.clone() }
}

fn mark(index: usize) -> String {
    format!("tokensieve-turn-{index}-")
}
