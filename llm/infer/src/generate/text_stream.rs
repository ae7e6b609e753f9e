//! Decodes tokens to text as they are sampled: whole characters only, and nothing that may be the beginning of a stop text.

use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Error, Result};
use tokensieve_tasks::REASONING;

/// What tokenizers write for bytes that are not (yet) a character.
const UNFINISHED: char = '\u{fffd}';

/// Most tokens of one character: one for each of its bytes.
const CHARACTER: usize = 4;

/// The text of a growing reply.
#[derive(Debug)]
pub(super) struct TextStream {
    stops: Vec<String>,
    /// The latest tokens. The first `decoded` of them are in the text already, or end the prompt, and stay as context,
    /// because some tokenizers decode a token differently at the start of a text.
    tokens: Vec<u32>,
    decoded: usize,
    /// The part of `tokens` that is not in the text yet: the beginning of a character.
    unfinished: String,
    text: String,
    /// Number of bytes of the text that have been returned.
    returned: usize,
    /// Index of the stop text that was found.
    found: Option<usize>,
}

impl TextStream {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self {
            stops,
            tokens: Vec::new(),
            decoded: 0,
            unfinished: String::new(),
            text: String::new(),
            returned: 0,
            found: None,
        }
    }

    /// Lets the text, which is still empty, continue that of a prompt, so that a blank between the two is a part of it.
    pub(super) fn continues(self, tokenizer: &Tokenizer, prompt: &[u32]) -> Result<Self> {
        for start in (prompt.len().saturating_sub(CHARACTER)..prompt.len()).rev() {
            let context = decode(tokenizer, &prompt[start..])?;
            // Special tokens have no text, and a part of a character would spoil the bytes behind it.
            if !context.is_empty() && !context.contains(UNFINISHED) {
                let tokens = prompt[start..].to_vec();
                return Ok(Self { decoded: tokens.len(), tokens, ..self });
            }
        }
        Ok(self)
    }

    /// Adds a token; returns the text that is now final.
    pub(super) fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Result<String> {
        // For some tokenizers they are special tokens, for others not; without them, reasoning could not be told from an answer.
        if let Some(mark) = REASONING.iter().find(|mark| tokenizer.special_token(mark) == Some(token)) {
            self.text.push_str(&std::mem::take(&mut self.unfinished));
            self.text.push_str(mark);
            self.tokens.clear();
            self.decoded = 0;
            return Ok(self.next_text());
        }
        let before = decode(tokenizer, &self.tokens[..self.decoded])?;
        self.tokens.push(token);
        let after = decode(tokenizer, &self.tokens)?;
        let new_text = match after.strip_prefix(&before) {
            Some(new_text) => new_text.to_owned(),
            // One byte that is no part of a character spoils all bytes beside it, also those whose text is final.
            None => decode(tokenizer, &self.tokens[self.decoded..])?,
        };
        // A character is added when it is complete.
        if new_text.ends_with(UNFINISHED) {
            self.unfinished = new_text;
            return Ok(String::new());
        }
        self.unfinished.clear();
        self.text.push_str(&new_text);
        if !new_text.is_empty() {
            self.tokens.drain(..self.decoded);
            self.decoded = self.tokens.len();
        }
        Ok(self.next_text())
    }

    /// The final text that has not been returned yet.
    fn next_text(&mut self) -> String {
        // A stop text may begin in the text that was held back.
        let from = self.returned;
        let found = self.stops.iter().enumerate();
        let found =
            found.filter_map(|(index, stop)| Some((self.text[from..].find(stop)? + from, index))).min();
        let end = match found {
            Some((at, index)) => {
                self.found = Some(index);
                self.text.truncate(at);
                at
            }
            None => self.text.len() - self.held_back(),
        };
        self.returned = end;
        self.text[from..end].to_owned()
    }

    /// Number of bytes at the end of the text that may be the beginning of a stop text.
    fn held_back(&self) -> usize {
        let pending = &self.text[self.returned..];
        let begins = |stop: &String| {
            (1..=stop.len().min(pending.len()))
                .rev()
                .find(|n| pending.as_bytes().ends_with(&stop.as_bytes()[..*n]))
        };
        self.stops.iter().filter_map(begins).max().unwrap_or(0)
    }

    /// The stop text that was found.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.found.map(|index| self.stops[index].as_str())
    }

    /// The text that was held back, for when no token follows.
    pub(super) fn rest(&mut self) -> String {
        self.text.push_str(&std::mem::take(&mut self.unfinished));
        let from = std::mem::replace(&mut self.returned, self.text.len());
        self.text[from..].to_owned()
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// The text of tokens, without special tokens.
fn decode(tokenizer: &Tokenizer, tokens: &[u32]) -> Result<String> {
    tokenizer.inner().decode(tokens, true).map_err(|error| Error::file(tokenizer.path(), error))
}
