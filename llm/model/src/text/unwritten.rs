//! What a chat template would leave out of a conversation: the model would neither read nor learn it, and nobody would
//! notice.

use minijinja::Value;
use serde_json::{Map, Value as Json, json};

use super::conversation::{CALLS, Message, REASONING, function_of};
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
        let marked: Vec<Message> = messages.iter().enumerate().map(with_marks).collect();
        let of_marks = text(&self.values(&marked, tools)?, tools).unwrap_or_default();
        let is_marked =
            |turn: usize, part: Part| part.mark(turn).is_some_and(|mark| of_marks.contains(&mark));
        let mut doubts = Vec::new();
        for (turn, message) in messages.iter().enumerate() {
            doubts.extend(
                parts(message).into_iter().filter(|part| !is_marked(turn, *part)).map(|part| (turn, part)),
            );
        }
        if tools.is_empty() && doubts.is_empty() {
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
        let is_same_with = |turn: usize, other: &Message| {
            let mut others = whole.clone();
            others[turn] = self.values(std::slice::from_ref(other), tools)?.remove(0);
            let same = beginning(&whole[..=turn]) == beginning(&others[..=turn])
                && text(&others, tools).is_ok_and(|text| text == written);
            Ok::<_, String>(same)
        };
        for (turn, part) in doubts {
            let message = &messages[turn];
            let without = part.removed_from(message, turn);
            if !is_same_with(turn, &without)? {
                continue;
            }
            let is_text = matches!(part, Part::Text);
            if is_text && !(0..messages.len()).any(|turn| is_marked(turn, part)) {
                return Err("the chat template writes the text of no turn; use another template".into());
            }
            let mut remedy = if is_text {
                "move it to a turn that the template writes, or use another template".to_owned()
            } else {
                "remove it, or write it into the content".to_owned()
            };
            for (name, renamed) in part.renamed(message, &without) {
                if !is_same_with(turn, &renamed)? {
                    remedy = format!("rename it to `{name}`, which it reads");
                    break;
                }
            }
            let (number, what) = (turn + 1, part.name(message));
            return Err(format!("message {number}: the chat template ignores {what}; {remedy}"));
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

/// What the model has to read of a turn.
#[derive(Clone, Copy)]
enum Part {
    Text,
    /// One of its calls of tools.
    Call(usize),
    /// The arguments of one.
    Arguments(usize),
    /// Reasoning under one of its names.
    Reasoning(&'static str),
}

fn parts(message: &Message) -> Vec<Part> {
    let calls = calls_of(message).iter().enumerate().flat_map(|(index, call)| {
        let arguments = call.get("function").unwrap_or(call).get("arguments").and_then(emptied);
        [Some(Part::Call(index)), arguments.map(|_| Part::Arguments(index))].into_iter().flatten()
    });
    let is_reasoning =
        |key: &&str| message.fields.get(*key).is_some_and(|value| value.is_string() || value.is_array());
    let reasoning = REASONING.into_iter().filter(is_reasoning).map(Part::Reasoning);
    let text = (!message.text().trim().is_empty()).then_some(Part::Text);
    text.into_iter().chain(calls).chain(reasoning).collect()
}

impl Part {
    /// The word that takes its place to see whether the template writes it; none for reasoning, which templates leave out
    /// of earlier turns.
    fn mark(self, turn: usize) -> Option<String> {
        match self {
            Self::Text => Some(format!("tokensieve-turn-{turn}-")),
            Self::Call(index) => Some(format!("tokensieve-call-{turn}-{index}-")),
            Self::Arguments(index) => Some(format!("tokensieve-arguments-{turn}-{index}-")),
            Self::Reasoning(_) => None,
        }
    }

    /// Puts its mark in its place.
    fn mark_in(self, message: &mut Message, turn: usize) {
        let Some(mark) = self.mark(turn) else { return };
        match self {
            Self::Text => message.content = Some(mark),
            Self::Call(index) => {
                if let Some(name) = of_call(message, index, "name") {
                    *name = mark.into();
                }
            }
            Self::Arguments(index) => {
                if let Some(arguments) = of_call(message, index, "arguments") {
                    let marked = json!({mark: 1});
                    *arguments = if arguments.is_string() { marked.to_string().into() } else { marked };
                }
            }
            Self::Reasoning(_) => {}
        }
    }

    /// The turn without it, or with another text.
    fn removed_from(self, message: &Message, turn: usize) -> Message {
        let mut without = message.clone();
        match self {
            Self::Text => self.mark_in(&mut without, turn),
            Self::Call(index) => {
                if let Some(calls) = calls_in(&mut without) {
                    calls.remove(index);
                }
                if calls_of(&without).is_empty() {
                    without.fields.shift_remove(CALLS);
                }
            }
            Self::Arguments(index) => {
                if let Some(arguments) = of_call(&mut without, index, "arguments")
                    && let Some(none) = emptied(arguments)
                {
                    *arguments = none;
                }
            }
            // Some servers write it under two names, of which templates take one.
            Self::Reasoning(key) => {
                let reasoning = &message.fields[key];
                without
                    .fields
                    .retain(|key, value| !(REASONING.contains(&key.as_str()) && value == reasoning));
            }
        }
        without
    }

    /// The turn with reasoning under each of the other names that it has in templates.
    fn renamed(self, message: &Message, without: &Message) -> Vec<(&'static str, Message)> {
        let Self::Reasoning(key) = self else { return Vec::new() };
        let others = REASONING.into_iter().filter(|other| !message.fields.contains_key(*other));
        let renamed = others.map(|other| {
            let mut renamed = without.clone();
            renamed.fields.insert(other.to_owned(), message.fields[key].clone());
            (other, renamed)
        });
        renamed.collect()
    }

    /// What an error calls it.
    fn name(self, message: &Message) -> String {
        let call = |index: usize| match calls_of(message) {
            [_] => format!("`{CALLS}`"),
            _ => format!("call {} of `{CALLS}`", index + 1),
        };
        match self {
            Self::Text => format!("the content of this `{}` turn", message.role),
            Self::Call(index) => call(index),
            Self::Arguments(index) => format!("the arguments of {}", call(index)),
            Self::Reasoning(key) => format!("`{key}`"),
        }
    }
}

/// A turn with marks in the place of its parts.
fn with_marks((turn, message): (usize, &Message)) -> Message {
    let mut marked = message.clone();
    for part in parts(message) {
        part.mark_in(&mut marked, turn);
    }
    marked
}

fn calls_of(message: &Message) -> &[Json] {
    message.fields.get(CALLS).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn calls_in(message: &mut Message) -> Option<&mut Vec<Json>> {
    message.fields.get_mut(CALLS)?.as_array_mut()
}

/// A key of what one of a turn's calls says.
fn of_call<'m>(message: &'m mut Message, index: usize, key: &str) -> Option<&'m mut Json> {
    function_of(calls_in(message)?.get_mut(index)?).get_mut(key)
}

/// No arguments in the place of some; `None` if there are none.
fn emptied(arguments: &Json) -> Option<Json> {
    match arguments {
        Json::Object(all) if !all.is_empty() => Some(Json::Object(Map::new())),
        Json::String(text) if !["", "{}"].contains(&text.trim()) => Some("{}".into()),
        _ => None,
    }
}
