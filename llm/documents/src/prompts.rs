//! Rows as prompts: what stands before the answer, or all there is.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::format::Format;
use super::read;
use super::set::{DataSource, find};
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::text::{Conversation, Message, Tokenizer};

/// One row's prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its number in the file, from 0.
    pub row: usize,
    /// Its tokens.
    pub tokens: Vec<u32>,
}

/// The prompts of a file, or of a data set by name, with its split after a slash if it has several (`gsm8k/test`).
///
/// A row with a text under `prompt` is that text, without a template. One with `messages`, or in any format that training
/// reads, is the conversation up to its last answer, as the chat template writes it.
pub fn prompts(source: &str, limit: Option<usize>, tokenizer: &Tokenizer) -> Result<(PathBuf, Vec<Prompt>)> {
    let (path, substitution) = find(&DataSource::new(source))?;
    if let Some(why) = substitution {
        tokensieve_model::status!("note: {why}");
    }
    let mut prompts = Vec::new();
    let full = |prompts: &[Prompt]| limit.is_some_and(|limit| prompts.len() >= limit);
    let mut take = |line: usize, row: read::Row| {
        if full(&prompts) {
            return Ok(ControlFlow::Break(()));
        }
        let tokens = row.and_then(|row| tokens(&row, tokenizer));
        let tokens = tokens.map_err(|what| Error::line(&path, line, what))?;
        prompts.push(Prompt { row: prompts.len(), tokens });
        Ok(if full(&prompts) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    read::rows(&path, &mut take)?;
    Ok((path, prompts))
}

fn tokens(row: &Map<String, Value>, tokenizer: &Tokenizer) -> Result<Vec<u32>, String> {
    let tokens = match (row.get("prompt"), row.get("completion")) {
        (Some(Value::String(text)), None) => tokenizer.plain_prompt(text),
        _ => match Format::of(row)?.conversation(row)? {
            Conversation::Chat { messages, tools } => {
                tokenizer.chat_prompt(before_the_answer(&messages), &tools)
            }
            Conversation::Plain { prompt, .. } => tokenizer.plain_prompt(&prompt),
        },
    };
    match tokens {
        Ok(tokens) if tokens.is_empty() => Err("the prompt is empty".to_owned()),
        Ok(tokens) => Ok(tokens),
        Err(error) => Err(error.to_string()),
    }
}

/// The messages without the answers at their end.
fn before_the_answer(messages: &[Message]) -> &[Message] {
    let answers = messages.iter().rev().take_while(|message| message.role == "assistant").count();
    &messages[..messages.len() - answers]
}
