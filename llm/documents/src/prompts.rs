//! Reads rows as prompts: the part before the answer, or the whole row if it has no answer.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::format::Format;
use crate::read;
use crate::row::Row;
use crate::source::{DataSource, fetch};
use tokensieve_model::text::{Conversation, Message, Tokenizer};
use tokensieve_model::{Error, Result};

/// The prompt of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Number of the row in the file, from 0.
    pub row: usize,
    /// The line of the file that errors name, from 1.
    pub line: usize,
    /// The tokens of the prompt.
    pub tokens: Vec<u32>,
    /// Whether it is a text to continue, written without a chat template.
    pub plain: bool,
}

/// Reads the prompts of a file, or of a named data set, with its split after a slash if it has several (`gsm8k/test`).
/// Returns the file that was read, too.
///
/// A row is in one of the formats that training reads: its prompt is the conversation before the last answer, written by the
/// chat template. The answer may be missing; a string under `prompt` without a `completion` is a text to continue, without a
/// chat template.
pub fn prompts(source: &str, limit: Option<usize>, tokenizer: &Tokenizer) -> Result<(PathBuf, Vec<Prompt>)> {
    let (path, substitution) = fetch(&DataSource::new(source))?;
    if let Some(substitution) = substitution {
        tokensieve_base::status!("note: {substitution}");
    }
    let mut prompts = Vec::new();
    let full = |prompts: &[Prompt]| limit.is_some_and(|limit| prompts.len() >= limit);
    let mut take = |line: usize, row: Row| {
        if full(&prompts) {
            return Ok(ControlFlow::Break(()));
        }
        let tokens = row.and_then(|row| tokens(&row, tokenizer));
        let (tokens, plain) = tokens.map_err(|what| Error::line(&path, line, what))?;
        prompts.push(Prompt { row: prompts.len(), line, tokens, plain });
        Ok(if full(&prompts) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    read::rows(&path, &mut take)?;
    Ok((path, prompts))
}

/// The tokens of a row's prompt, and whether it is a text to continue.
fn tokens(row: &Map<String, Value>, tokenizer: &Tokenizer) -> Result<(Vec<u32>, bool), String> {
    let asked = with_an_answer(row);
    // What is wrong with a row that no format has is said of the row as it is.
    let format = Format::of(&asked).or_else(|_| Format::of(row))?;
    let (tokens, plain) = match format.conversation(&asked)? {
        Conversation::Chat { messages, tools } => {
            (tokenizer.chat_prompt(before_the_answer(&messages), &tools), false)
        }
        Conversation::Plain { prompt, .. } => (tokenizer.plain_prompt(&prompt), true),
    };
    match tokens {
        Ok(tokens) if tokens.is_empty() => Err("the prompt is empty".to_owned()),
        Ok(tokens) => Ok((tokens, plain)),
        Err(error) => Err(error.to_string()),
    }
}

/// The row with an empty answer where it has a question and none. Columns without a value say nothing, and a label only
/// something about an answer.
fn with_an_answer(row: &Map<String, Value>) -> Map<String, Value> {
    let mut row = row.clone();
    row.retain(|key, value| !value.is_null() && key != "label");
    for (question, answers) in
        [("instruction", &["output", "response"][..]), ("question", &["answer"]), ("prompt", &["completion"])]
    {
        let is_answered = answers.iter().any(|key| row.contains_key(*key));
        if let Some(asked) = row.get(question).filter(|_| !is_answered) {
            let none = if asked.is_array() { Value::Array(vec![]) } else { Value::from("") };
            row.insert(answers[0].to_owned(), none);
        }
    }
    row
}

/// The messages without the trailing answers.
fn before_the_answer(messages: &[Message]) -> &[Message] {
    let answers = messages.iter().rev().take_while(|message| message.role == "assistant").count();
    &messages[..messages.len() - answers]
}
