//! Questions to a model, and its answers.

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
    /// Its name within the task, which does not depend on the subset that is asked.
    pub id: String,
    /// The conversation so far, for the model's chat template; it ends with the user's turn.
    pub messages: Vec<Message>,
    /// The kind of answer that is asked for.
    pub ask: Ask,
}

/// The kind of answer that a question asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ask {
    /// A text reply.
    Reply {
        /// Maximum number of new tokens.
        limit: usize,
        /// Texts at which generation stops; they are not part of the reply.
        stop: Vec<String>,
    },
    /// The likelihood of each of these replies.
    Likelihood {
        /// The replies, each a whole turn of the assistant.
        replies: Vec<String>,
    },
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Answer {
    /// A text reply.
    Reply {
        /// The text, without special tokens.
        text: String,
        /// Number of its tokens, the end-of-turn token included.
        tokens: usize,
        /// Whether the model ended it, rather than the limit.
        ended: bool,
    },
    /// The likelihoods of the replies asked about.
    Likelihood {
        /// For each reply the probabilities of its tokens, in order, without the end-of-turn token.
        probabilities: Vec<Vec<f32>>,
    },
}
