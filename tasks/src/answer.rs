//! What is asked of a model, and what it gives back.

use serde::{Deserialize, Serialize};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A user's turn.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".into(), content: content.into() }
    }

    /// An assistant's turn.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: "assistant".into(), content: content.into() }
    }
}

/// One question of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its name within the task; stays the same whatever subset is asked.
    pub id: String,
    /// The conversation so far, to be written out by the model's chat template; it ends with the user's turn.
    pub messages: Vec<Message>,
    /// What is wanted of the model.
    pub ask: Ask,
}

/// What is wanted of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ask {
    /// Its reply in words.
    Reply {
        /// At most this many new tokens.
        limit: usize,
        /// Texts at which it stops, which are cut off.
        stop: Vec<String>,
    },
    /// How likely it finds each of these replies.
    Likelihood {
        /// The replies, each as the assistant's whole turn.
        replies: Vec<String>,
    },
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Answer {
    /// A reply in words.
    Reply {
        /// The text, without special tokens.
        text: String,
        /// Tokens of it, the end-of-turn token included.
        tokens: usize,
        /// Whether it ended by itself, and not at the limit.
        ended: bool,
    },
    /// For each reply that was given.
    Likelihood {
        /// Its label tokens' probabilities, in order; the end-of-turn token is not among them.
        probabilities: Vec<Vec<f32>>,
    },
}
