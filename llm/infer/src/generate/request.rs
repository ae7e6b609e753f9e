//! A request for a reply, and the reply.

use super::sampling::Sampling;
use tokensieve_base::status;
use tokensieve_model::Error;

/// Default maximum length of a reply to one of many prompts, in tokens (choice).
pub const REPLY_LIMIT: usize = 512;

/// Default maximum length of an answer in a chat, in tokens (choice).
pub const CHAT_LIMIT: usize = 1024;

/// One text to continue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The tokens of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// Whether the reply continues the prompt's text, so that a blank between the two is a part of the reply. An answer in a
    /// chat begins a text of its own.
    pub plain: bool,
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

/// A request that has no reply, and why.
#[derive(Debug)]
pub struct Failure {
    /// Index of the request.
    pub index: usize,
    /// What is wrong with it.
    pub error: Error,
}

/// Says how many of the `asked` prompts or questions of `name` leave no room for a reply in the model's context, if some do.
pub fn report_too_long(name: &str, (too_long, asked): (usize, usize), what: &str, context: usize) {
    if too_long > 0 {
        status!(
            "{name}: {too_long} of {asked} {what} are too long for the model's context of {context} tokens"
        );
    }
}
