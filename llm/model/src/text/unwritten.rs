//! What a chat template would leave out of a conversation: the model would neither read nor learn it, and nobody would
//! notice.

use minijinja::Value;
use serde_json::Value as Json;

use super::conversation::{Message, READ_BY_MODEL};
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
        let text = |messages: &[Value], tools: &[Json]| {
            self.render_source(source, messages.to_vec(), tools, add_generation_prompt)
        };
        let marked: Vec<Message> = messages.iter().enumerate().map(with_mark).collect();
        let marked = self.values(&marked, tools)?;
        let of_marks = text(&marked, tools).unwrap_or_default();
        let reads = |message: &Message| READ_BY_MODEL.iter().any(|key| message.fields.contains_key(*key));
        let is_unmarked = |index: usize| has_text(&messages[index]) && !of_marks.contains(&mark(index));
        if tools.is_empty() && !messages.iter().any(reads) && !(0..messages.len()).any(is_unmarked) {
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
        let ignores = |index: usize, other: &Value| {
            let mut others = whole.clone();
            others[index] = other.clone();
            text(&whole[..=index], tools) == text(&others[..=index], tools)
                && text(&others, tools).is_ok_and(|text| text == written)
        };
        for (index, message) in messages.iter().enumerate() {
            let (number, role) = (index + 1, &message.role);
            if is_unmarked(index) && ignores(index, &marked[index]) {
                return Err(format!(
                    "message {number}: the chat template ignores the content of this `{role}` turn; move it to a turn \
                     that the template writes, or use another template"
                ));
            }
            for key in READ_BY_MODEL.into_iter().filter(|key| message.fields.contains_key(*key)) {
                let mut without = message.clone();
                without.fields.shift_remove(key);
                if ignores(index, &self.values(&[without], tools)?[0]) {
                    return Err(format!(
                        "message {number}: the chat template ignores `{key}`; remove it, or write it into the content"
                    ));
                }
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

/// Whether a template wrote a text, be it as a JSON string. White space does not count, which templates trim.
pub(super) fn is_written(text: &str, within: &str) -> bool {
    let text = text.trim();
    if within.contains(text) {
        return true;
    }
    let bare = |text: &str| text.chars().filter(|c| !is_space(*c)).collect::<String>();
    let (within, quoted) = (bare(within), Json::from(text).to_string());
    [text, &quoted[1..quoted.len() - 1]].into_iter().any(|form| within.contains(&bare(form)))
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
