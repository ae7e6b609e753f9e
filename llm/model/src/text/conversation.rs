//! What one row of a data set says, whatever format it came in.

use serde_json::{Map, Value};

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `system`, `user`, `assistant`, or another that the chat template knows.
    pub role: String,
    /// The text.
    pub content: String,
    /// What else the chat template is told of it, by the names of [`FIELDS`]; a `content` among them stands in the
    /// text's place, for turns that have none.
    pub fields: Map<String, Value>,
    /// What its tokens count for, if it is an assistant's.
    pub weights: Weights,
}

/// What a turn may say besides its text.
pub const FIELDS: [&str; 4] = ["tool_calls", "tool_call_id", "name", "reasoning_content"];

/// Those of [`FIELDS`] that a model has to read: a chat template that writes none of one makes a bad row of it. The others
/// only say who or which.
pub(super) const READ_BY_MODEL: [&str; 2] = ["tool_calls", "reasoning_content"];

/// What the tokens of a response count for.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// All the same; the rule is 1, and 0 leaves the turn out of training.
    All(f32),
    /// One per token of the response. The end-of-turn token may be left out of the list and then counts 1.
    Tokens(Vec<f32>),
    /// By stretches of the text; tokens in none of them, the end-of-turn token too, count 1.
    Spans(Vec<Span>),
}

/// A stretch of a response, in characters (Unicode code points) counted from 0. A token belongs to the stretch in which
/// its first character lies; a space before it is not counted, for tokens take it along.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The first character.
    pub start: usize,
    /// The one after the last.
    pub end: usize,
    /// What its tokens count for.
    pub weight: f32,
}

/// One row of a data set.
#[derive(Clone, Debug, PartialEq)]
pub enum Conversation {
    /// To be written out by the model's chat template.
    Chat {
        /// The turns.
        messages: Vec<Message>,
        /// The functions that may be called, as JSON schemas.
        tools: Vec<Value>,
    },
    /// Text continued by text, without a template.
    Plain {
        /// What is given.
        prompt: String,
        /// What is to follow; its role has no meaning.
        completion: Message,
    },
}

impl Message {
    /// A turn of which every token counts 1.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        let (role, content) = (role.into(), content.into());
        Self { role, content, fields: Map::new(), weights: Weights::default() }
    }

    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.content.trim().is_empty() && !self.fields.contains_key("tool_calls")
    }

    /// Whether any of it can be trained on.
    fn is_trained(&self) -> bool {
        self.role == "assistant" && self.weights != Weights::All(0.0)
    }
}

/// The indices of the turns that are trained on. An assistant's turn before anybody has asked is context.
pub fn trained_turns(messages: &[Message]) -> impl Iterator<Item = usize> {
    (first_question(messages)..messages.len()).filter(|index| messages[*index].is_trained())
}

/// Whether an assistant answers, whatever that counts for.
pub(super) fn has_answer(messages: &[Message]) -> bool {
    messages[first_question(messages)..].iter().any(|message| message.role == "assistant")
}

/// The index of the first turn that asks.
fn first_question(messages: &[Message]) -> usize {
    let asked = messages.iter().position(|message| !["system", "assistant"].contains(&message.role.as_str()));
    asked.unwrap_or(messages.len())
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
