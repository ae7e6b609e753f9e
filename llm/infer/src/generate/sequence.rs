//! A request in progress.

use rand_chacha::ChaCha8Rng;

use super::engine::Slot;
use super::request::{Failure, Reply, Request, Stop};
use super::text_stream::TextStream;
use tokensieve_base::streams::keyed;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Error, Model, Result};

/// A request and its reply so far.
#[derive(Debug)]
pub(super) struct Sequence<'a> {
    pub(super) index: usize,
    pub(super) request: &'a Request,
    context: usize,
    pub(super) random: ChaCha8Rng,
    /// Tokens of prompt and reply.
    pub(super) tokens: Vec<u32>,
    /// The log-probability of the reply so far.
    pub(super) log_probability: f64,
    pub(super) stop: Option<Stop>,
    slot: Slot,
    /// Number of tokens in the slot.
    computed: usize,
    /// Longrope: number of tokens beyond which all of them have other angles.
    long_from: Option<usize>,
    text: TextStream,
}

impl<'a> Sequence<'a> {
    /// A sequence whose slot holds the first `cached` tokens of the prompt.
    pub(super) fn new(
        index: usize,
        request: &'a Request,
        (slot, cached): (Slot, usize),
        (model, tokenizer): (&Model, &Tokenizer),
    ) -> Result<Self> {
        let text = TextStream::new(request.stop.clone());
        let text = if request.plain { text.continues(tokenizer, &request.prompt)? } else { text };
        let mut new = Self {
            index,
            request,
            context: model.config().max_positions as usize,
            random: keyed("generate", request.seed, 0),
            tokens: request.prompt.clone(),
            log_probability: 0.0,
            stop: None,
            slot,
            computed: cached,
            long_from: model.long_from(),
            text,
        };
        new.stop = new.length_stop();
        Ok(new)
    }

    /// Why this request has no reply.
    pub(super) fn failure(&self, error: Error) -> Failure {
        Failure { index: self.index, error }
    }

    /// The reason why no token may follow, if the maximum length is reached.
    fn length_stop(&self) -> Option<Stop> {
        if self.tokens.len() - self.request.prompt.len() >= self.request.limit {
            return Some(Stop::Limit);
        }
        (self.tokens.len() >= self.context).then_some(Stop::Context)
    }

    /// The slot, and the tokens that are not computed yet: all of them where longrope's angles change, as in transformers.
    pub(super) fn piece(&mut self) -> (&mut Slot, &[u32]) {
        if self.long_from.is_some_and(|length| self.computed <= length && self.tokens.len() > length) {
            self.slot.truncate(0);
            self.computed = 0;
        }
        let uncomputed = &self.tokens[self.computed..];
        self.computed = self.tokens.len();
        (&mut self.slot, uncomputed)
    }

    /// Processes the token that was just sampled: decides whether the reply ends, and returns the text that is now final.
    pub(super) fn accept_token(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let token = self.tokens[self.tokens.len() - 1];
        if tokenizer.eos().contains(&token) {
            self.stop = Some(Stop::EndOfTurn);
            return Ok(self.text.rest());
        }
        // Texts do not contain special tokens.
        let is_token = |stop: &&String| tokenizer.special_token(stop) == Some(token);
        if let Some(stop) = self.request.stop.iter().find(is_token) {
            self.stop = Some(Stop::Text(stop.clone()));
            return Ok(self.text.rest());
        }
        let mut text = self.text.push(tokenizer, token)?;
        if let Some(found) = self.text.stopped() {
            self.stop = Some(Stop::Text(found.to_owned()));
        } else if let Some(stop) = self.length_stop() {
            self.stop = Some(stop);
            text += &self.text.rest();
        }
        Ok(text)
    }

    /// The tokens in the slot.
    pub(super) fn computed_tokens(&self) -> Vec<u32> {
        self.tokens[..self.computed].to_vec()
    }

    /// The index of the request, the slot for reuse, and the reply.
    pub(super) fn finish(self) -> (usize, Slot, Reply) {
        let prompt_tokens = self.request.prompt.len();
        let reply = Reply {
            tokens: self.tokens[prompt_tokens..].to_vec(),
            text: self.text.into_text(),
            log_probability: self.log_probability,
            prompt_tokens,
            stop: self.stop.unwrap_or(Stop::Limit),
        };
        (self.index, self.slot, reply)
    }
}
