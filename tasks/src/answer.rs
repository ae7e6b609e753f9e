//! Questions to a model, and its answers.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

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

impl Question {
    /// One that a user's turn alone asks, answered by a text.
    pub(crate) fn reply(id: String, prompt: impl Into<String>, limit: usize) -> Self {
        Self { id, messages: vec![Message::user(prompt)], ask: Ask::Reply { limit, stop: Vec::new() } }
    }
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

impl Answer {
    /// The reply's text.
    pub(crate) fn text(&self) -> Result<&str> {
        match self {
            Self::Reply { text, .. } => Ok(text),
            Self::Likelihood { .. } => Err(Error::Setting(
                "the question asks for a text reply, but the answer holds likelihoods".into(),
            )),
        }
    }

    /// The log-likelihood of each of `replies` replies.
    pub(crate) fn log_likelihoods(&self, replies: usize) -> Result<Vec<f64>> {
        // A probability that was rounded to 0 counts as the smallest positive number, not as impossible.
        let log = |p: &f32| f64::from(p.max(f32::MIN_POSITIVE)).ln();
        Ok(self.probabilities(replies)?.iter().map(|tokens| tokens.iter().map(log).sum()).collect())
    }

    /// The probabilities of each of `replies` replies' tokens.
    fn probabilities(&self, replies: usize) -> Result<&[Vec<f32>]> {
        match self {
            Self::Likelihood { probabilities } if probabilities.len() == replies => Ok(probabilities),
            Self::Likelihood { probabilities } => Err(Error::Setting(format!(
                "likelihoods of {} replies, where those of {replies} were asked for",
                probabilities.len()
            ))),
            Self::Reply { .. } => Err(Error::Setting(
                "the question asks for likelihoods, but the answer is a text reply".into(),
            )),
        }
    }
}
