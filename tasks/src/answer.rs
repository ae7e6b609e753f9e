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

/// What begins and ends a block of reasoning in the replies of models that write one.
pub const REASONING: [&str; 2] = ["<think>", "</think>"];

impl Answer {
    /// What a text reply says once the reasoning that it may begin with has ended: nothing, where that has not.
    pub fn said(&self) -> Option<&str> {
        let Self::Reply { text, .. } = self else { return None };
        let [begin, end] = REASONING;
        Some(match text.rfind(end) {
            Some(at) => text[at + end.len()..].trim_start(),
            None if text.trim_start().starts_with(begin) => "",
            None => text,
        })
    }

    /// [`Answer::said`] of the answer to a question that asks for a reply.
    pub(crate) fn text(&self) -> Result<&str> {
        match self {
            Self::Reply { .. } => Ok(self.said().unwrap_or_default()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_not_a_part_of_the_answer() {
        let said = |text: &str| {
            let reply = Answer::Reply { text: text.into(), tokens: 1, ended: true };
            reply.text().unwrap().to_owned()
        };
        for text in ["9", "<think>\n\n</think>\n\n9", "<think>7</think>9", "7 </think> 9"] {
            assert_eq!(said(text), "9", "{text}");
        }
        assert_eq!(said("<think>\nIt is 7. No: 9"), "");
        assert_eq!(said("A <think> of HTML\n"), "A <think> of HTML\n");
        assert!(Answer::Likelihood { probabilities: vec![] }.text().is_err());
    }
}
