//! Text out of tokens as they come: whole characters only, and nothing that might turn out to be a stop text.

use super::Request;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::text::Tokenizer;

/// What a tokenizer writes for bytes that are no character (yet).
const UNFINISHED: char = '\u{fffd}';

/// The text of a growing reply.
#[derive(Debug)]
pub(super) struct Printer {
    stops: Vec<String>,
    /// The latest tokens. The first `settled` of them are in the text and stay as context: some tokenizers write a token
    /// differently at the start of a text.
    tokens: Vec<u32>,
    settled: usize,
    /// What `tokens` says that is not in the text: the beginning of a character.
    unfinished: String,
    text: String,
    /// How much of the text has been handed out.
    printed: usize,
    found: Option<usize>,
}

impl Printer {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            stops: request.stop.clone(),
            tokens: Vec::new(),
            settled: 0,
            unfinished: String::new(),
            text: String::new(),
            printed: 0,
            found: None,
        }
    }

    /// Takes a token; returns the text that is settled by it.
    pub(super) fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Result<String> {
        let decode = |tokens: &[u32]| {
            tokenizer.inner().decode(tokens, true).map_err(|error| Error::file(tokenizer.path(), error))
        };
        let before = decode(&self.tokens[..self.settled])?;
        self.tokens.push(token);
        let after = decode(&self.tokens)?;
        let news = after.strip_prefix(&before).unwrap_or_default();
        // Nothing of a character until it is whole.
        if news.ends_with(UNFINISHED) {
            news.clone_into(&mut self.unfinished);
            return Ok(String::new());
        }
        self.unfinished.clear();
        self.text.push_str(news);
        if !news.is_empty() {
            self.tokens.drain(..self.settled);
            self.settled = self.tokens.len();
        }
        Ok(self.hand_out())
    }

    /// The text that is settled beyond what was handed out.
    fn hand_out(&mut self) -> String {
        // A stop text may have begun in what was held back.
        let from = self.printed;
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
        self.printed = end;
        self.text[from..end].to_owned()
    }

    /// Bytes at the text's end with which a stop text begins.
    fn held_back(&self) -> usize {
        let unprinted = &self.text[self.printed..];
        let begins = |stop: &String| {
            (1..=stop.len().min(unprinted.len()))
                .rev()
                .find(|n| unprinted.as_bytes().ends_with(&stop.as_bytes()[..*n]))
        };
        self.stops.iter().filter_map(begins).max().unwrap_or(0)
    }

    /// The stop text that came.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.found.map(|index| self.stops[index].as_str())
    }

    /// What was held back, if nothing follows.
    pub(super) fn rest(&mut self) -> String {
        self.text.push_str(&std::mem::take(&mut self.unfinished));
        let from = std::mem::replace(&mut self.printed, self.text.len());
        self.text[from..].to_owned()
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
