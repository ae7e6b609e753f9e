//! A reply that grows.

use rand_chacha::ChaCha8Rng;

use super::engine::Slot;
use super::text::Printer;
use super::{Reply, Request, Stop};
use tokensieve_base::streams::keyed;
use tokensieve_model::Result;
use tokensieve_model::text::Tokenizer;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Sequence<'a> {
    pub(super) index: usize,
    pub(super) request: &'a Request,
    context: usize,
    pub(super) random: ChaCha8Rng,
    /// Prompt and reply.
    pub(super) tokens: Vec<u32>,
    /// The log-probability of the reply so far.
    pub(super) log_probability: f64,
    pub(super) stop: Option<Stop>,
    slot: Slot,
    /// How many tokens the slot holds.
    read: usize,
    printer: Printer,
}

impl<'a> Sequence<'a> {
    /// A sequence whose slot holds the first `known` tokens of the prompt, in a model of so many tokens' context.
    pub(super) fn new(index: usize, request: &'a Request, slot: Slot, known: usize, context: usize) -> Self {
        let mut new = Self {
            index,
            request,
            context,
            random: keyed("generate", request.seed, 0),
            tokens: request.prompt.clone(),
            log_probability: 0.0,
            stop: None,
            slot,
            read: known,
            printer: Printer::new(request),
        };
        new.stop = new.full();
        new
    }

    /// Why no token may follow.
    fn full(&self) -> Option<Stop> {
        if self.tokens.len() - self.request.prompt.len() >= self.request.limit {
            return Some(Stop::Limit);
        }
        (self.tokens.len() >= self.context).then_some(Stop::Context)
    }

    /// The slot, and the tokens that it has yet to read.
    pub(super) fn piece(&mut self) -> (&mut Slot, &[u32]) {
        let unread = &self.tokens[self.read..];
        self.read = self.tokens.len();
        (&mut self.slot, unread)
    }

    /// Looks at the token just drawn: the text that it settles, and whether it is the last.
    pub(super) fn take_up(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let token = self.tokens[self.tokens.len() - 1];
        if tokenizer.eos().contains(&token) {
            self.stop = Some(Stop::EndOfTurn);
            return Ok(self.printer.rest());
        }
        let mut news = self.printer.push(tokenizer, token)?;
        if let Some(found) = self.printer.stopped() {
            self.stop = Some(Stop::Text(found.to_owned()));
        } else if let Some(full) = self.full() {
            self.stop = Some(full);
            news += &self.printer.rest();
        }
        Ok(news)
    }

    /// The tokens that the slot holds.
    pub(super) fn read(&self) -> Vec<u32> {
        self.tokens[..self.read].to_vec()
    }

    /// The request's index, the slot for another, and the reply.
    pub(super) fn finish(self) -> (usize, Slot, Reply) {
        let prompt_tokens = self.request.prompt.len();
        let reply = Reply {
            tokens: self.tokens[prompt_tokens..].to_vec(),
            text: self.printer.into_text(),
            log_probability: self.log_probability,
            prompt_tokens,
            stop: self.stop.unwrap_or(Stop::Limit),
        };
        (self.index, self.slot, reply)
    }
}
