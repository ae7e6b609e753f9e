//! One row of a data set, independent of the format that it was read from.

use serde_json::{Map, Value};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `system`, `user`, `assistant`, or another role of the chat template.
    pub role: String,
    /// The text. `None`: the chat template finds no `content`, unless there is one among the fields.
    pub content: Option<String>,
    /// Further fields, all passed to the chat template, such as [`FIELDS`]. A turn without a text may have a `content` of
    /// null among them.
    pub fields: Map<String, Value>,
    /// Training weights of its tokens, if it is an assistant's turn.
    pub weights: Weights,
    /// Scores of its tokens for objectives that read them, if it is an assistant's turn that has them.
    pub scores: Option<Scores>,
}

/// The fields besides role and text that most templates know. A turn can have others, which some template may read.
pub const FIELDS: [&str; 4] = ["tool_calls", "tool_call_id", "name", "reasoning_content"];

/// The field with a turn's calls of tools.
pub(super) const CALLS: &str = "tool_calls";

/// The names that a turn's reasoning has in chat templates.
pub(super) const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// What a call says, be it in its `function` or by itself.
pub(super) fn function_of(call: &mut Value) -> &mut Value {
    if call.get("function").is_some() { &mut call["function"] } else { call }
}

/// Training weights of a response's tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// One weight for all tokens. The default is 1; 0 excludes the turn from training.
    All(f32),
    /// 1 for the tokens of the text, 0 for what the template writes before it and for the end of the turn.
    OwnWords,
    /// One weight per token of the response. If the list has none for the end-of-turn token, that is 1.
    Tokens(Vec<f32>),
    /// Weights of spans of the text. Tokens outside all spans, and the end-of-turn token, have weight 1.
    Spans(Vec<Span>),
}

/// Scores of a response's tokens: numbers of either sign.
#[derive(Clone, Debug, PartialEq)]
pub enum Scores {
    /// One score for all tokens.
    All(f64),
    /// One score per token of the response, the end-of-turn token included.
    Tokens(Vec<f64>),
}

/// A span of a response, in characters (Unicode code points) counted from 0. A token belongs to the span that contains
/// its first character, leading spaces not counted because tokens include the space before a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The first character.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
    /// Weight of its tokens.
    pub weight: f32,
}

/// One row of a data set.
#[derive(Clone, Debug, PartialEq)]
pub enum Conversation {
    /// Turns, which the chat template turns into text.
    Chat {
        /// The turns.
        messages: Vec<Message>,
        /// The functions that the model can call, as JSON schemas.
        tools: Vec<Value>,
    },
    /// A text and its continuation, without a template.
    Plain {
        /// The given text.
        prompt: String,
        /// The continuation; its role has no meaning.
        completion: Message,
    },
}

impl Message {
    /// A turn whose tokens all have weight 1.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        let (role, content) = (role.into(), Some(content.into()));
        Self { role, content, fields: Map::new(), weights: Weights::default(), scores: None }
    }

    /// Its text, empty if it has none.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }

    /// Whether it has neither text nor calls.
    pub(super) fn is_empty(&self) -> bool {
        self.text().trim().is_empty() && !self.fields.contains_key(CALLS)
    }

    /// With the arguments of its calls as objects, where they are JSON text; `None` if none are.
    pub(super) fn with_parsed_arguments(&self) -> Option<Self> {
        let mut calls = self.fields.get(CALLS)?.clone();
        let mut is_changed = false;
        for call in calls.as_array_mut()?.iter_mut().map(function_of) {
            let Some(arguments) = call.get_mut("arguments") else { continue };
            let Some(text) = arguments.as_str() else { continue };
            let text = if text.trim().is_empty() { "{}" } else { text };
            let Ok(parsed) = serde_json::from_str::<Map<String, Value>>(text) else { continue };
            *arguments = parsed.into();
            is_changed = true;
        }
        is_changed.then(|| {
            let mut message = self.clone();
            message.fields.insert(CALLS.to_owned(), calls);
            message
        })
    }

    /// Whether any of its tokens can be trained on.
    fn is_trained(&self) -> bool {
        self.role == "assistant" && self.weights != Weights::All(0.0)
    }
}

/// The indices of the turns that are trained on. An assistant's turn before the first question is context.
pub fn trained_turns(messages: &[Message]) -> impl Iterator<Item = usize> {
    (first_question(messages)..messages.len()).filter(|index| messages[*index].is_trained())
}

/// Whether an assistant answers a question, whatever the weights.
pub(super) fn has_answer(messages: &[Message]) -> bool {
    messages[first_question(messages)..].iter().any(|message| message.role == "assistant")
}

/// The index of the first turn that is neither the system's nor an assistant's.
fn first_question(messages: &[Message]) -> usize {
    let first = messages.iter().position(|message| !["system", "assistant"].contains(&message.role.as_str()));
    first.unwrap_or(messages.len())
}

impl Default for Weights {
    fn default() -> Self {
        Self::All(1.0)
    }
}

impl Conversation {
    /// A question and its answer.
    pub fn exchange(user: impl Into<String>, assistant: impl Into<String>) -> Self {
        Self::chat(vec![Message::new("user", user), Message::new("assistant", assistant)])
    }

    /// Turns without tools.
    pub fn chat(messages: Vec<Message>) -> Self {
        Self::Chat { messages, tools: Vec::new() }
    }
}
