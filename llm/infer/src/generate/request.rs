//! A request for a reply, and the reply.

use super::sampling::Sampling;

/// Default maximum length of a reply to one of many prompts, in tokens (choice).
pub const REPLY_LIMIT: usize = 512;

/// Default maximum length of an answer in a chat, in tokens (choice).
pub const CHAT_LIMIT: usize = 1024;

/// One text to continue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The tokens of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// Maximum number of new tokens.
    pub limit: usize,
    /// Stop texts: the reply ends before the first of them.
    pub stop: Vec<String>,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// Seed of the random numbers of this request.
    pub seed: u64,
}

/// Why a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model ended its turn.
    EndOfTurn,
    /// The reply reached one of the request's stop texts.
    Text(String),
    /// The reply has the maximum number of tokens.
    Limit,
    /// Prompt and reply fill the model's context.
    Context,
}

impl Stop {
    /// The reason in one word: `end-of-turn`, `text`, `limit`, `context`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EndOfTurn => "end-of-turn",
            Self::Text(_) => "text",
            Self::Limit => "limit",
            Self::Context => "context",
        }
    }
}

/// The reply of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Every sampled token, including the one that ended the turn.
    pub tokens: Vec<u32>,
    /// The text of the tokens, without special tokens and up to the stop text.
    pub text: String,
    /// Log-probability of all tokens under the model's own distribution, regardless of temperature and penalties.
    pub log_probability: f64,
    /// Number of tokens of the prompt.
    pub prompt_tokens: usize,
    /// Why the reply ended.
    pub stop: Stop,
}

/// Progress of a request.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The next part of the reply's text.
    Text(&'a str),
    /// The reply is complete.
    Done(&'a Reply),
}
