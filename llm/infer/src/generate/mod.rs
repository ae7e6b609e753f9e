//! Text from a model: many requests at a time, each answered as if it were alone.
//!
//! Batching is continuous: a reply that is finished makes room at once, and a waiting prompt goes through the model
//! together with the others' latest tokens, without padding. What a request draws comes from its own seed. On a processor
//! with AVX-512 every row is computed by itself, whatever rows stand beside it, so that a reply does not depend on the
//! batch, to the last bit, in f32 as in bf16.

mod engine;
mod file;
mod sampling;
mod sequence;
#[cfg(test)]
mod tests;
mod text;

pub use file::{ReplyFile, ReplyLine};
pub use sampling::Sampling;

use std::ops::ControlFlow;

use engine::{Engine, Slot};
use sequence::Sequence;
use tokensieve_model::Error;
use tokensieve_model::Model;
use tokensieve_model::Result;
use tokensieve_model::text::Tokenizer;

/// Tokens of waiting prompts that join a pass, at most, beyond the first prompt's (choice: enough that the weights' way
/// from memory costs little beside the products).
const PROMPT_TOKENS: usize = 256;

/// Fewer common tokens are computed for each prompt (choice).
const WORTH_SHARING: usize = 8;

/// One text to continue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The tokens before it; at least one.
    pub prompt: Vec<u32>,
    /// The most new tokens.
    pub limit: usize,
    /// Texts before which the reply ends.
    pub stop: Vec<String>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Of this request's own random numbers.
    pub seed: u64,
}

/// Why a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model ended its turn.
    EndOfTurn,
    /// One of the request's stop texts came.
    Text(String),
    /// It has as many tokens as it may.
    Limit,
    /// Prompt and reply fill the model's context.
    Context,
}

impl Stop {
    /// In a word: `end-of-turn`, `text`, `limit`, `context`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EndOfTurn => "end-of-turn",
            Self::Text(_) => "text",
            Self::Limit => "limit",
            Self::Context => "context",
        }
    }
}

/// What the model said.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Every token drawn, the one that ended the turn included.
    pub tokens: Vec<u32>,
    /// Their text, without special tokens and up to the stop text.
    pub text: String,
    /// Of all its tokens, under the model's own distribution: neither temperature nor penalties count.
    pub log_probability: f64,
    /// Tokens before it.
    pub prompt_tokens: usize,
    /// Why it ended.
    pub stop: Stop,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// More of its text.
    Text(&'a str),
    /// It is answered.
    Done(&'a Reply),
}

/// How to go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Replies that grow at the same time.
    pub batch: usize,
    /// Whether the adapter is added to the weights first, for speed: the sums are rounded to the model's type.
    pub merge: bool,
}

impl Default for Options {
    /// Rows enough to keep two cores busy while the weights come from memory (choice).
    fn default() -> Self {
        Self { batch: 64, merge: false }
    }
}

/// A model that answers.
#[derive(Debug)]
pub struct Generator<'a> {
    model: &'a Model,
    engine: Engine<'a>,
    tokenizer: &'a Tokenizer,
    batch: usize,
    vocabulary: usize,
    context: usize,
}

/// What a model has read and said, so that the next turn of a conversation need not read it again.
#[derive(Debug)]
pub struct Memory {
    slot: Slot,
    tokens: Vec<u32>,
}

impl<'a> Generator<'a> {
    /// Makes the model's weights ready, its adapter's present values included.
    pub fn new(model: &'a Model, tokenizer: &'a Tokenizer, options: Options) -> Self {
        Self {
            model,
            engine: Engine::new(model, options.merge),
            tokenizer,
            batch: options.batch.max(1),
            vocabulary: model.config().vocab_size as usize,
            context: model.config().max_positions as usize,
        }
    }

    /// Answers the requests, in an order of its own. `each` hears what comes, by the request's index; when it breaks off,
    /// unfinished requests have no reply.
    pub fn run(
        &self,
        requests: &[Request],
        each: &mut dyn FnMut(usize, Event<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Option<Reply>>> {
        for (index, request) in requests.iter().enumerate() {
            self.check(request).map_err(|error| Error::Run(format!("request {index}: {error}")))?;
        }
        let mut replies: Vec<Option<Reply>> = requests.iter().map(|_| None).collect();
        // The longest first: the last ones to finish should be short.
        let mut waiting: Vec<usize> = (0..requests.len()).collect();
        waiting.sort_by_key(|index| requests[*index].prompt.len());
        let shared = self.shared(requests);
        let mut free = Vec::new();
        let mut live: Vec<Sequence> = Vec::new();
        let mut logits = Vec::new();
        loop {
            let mut joining = 0;
            while live.len() < self.batch && joining < PROMPT_TOKENS {
                let Some(index) = waiting.pop() else { break };
                let request = &requests[index];
                let mut slot: Slot = free.pop().unwrap_or_else(|| self.engine.slot());
                slot.truncate(0);
                let known = shared.as_ref().map_or(0, |shared| slot.copy_from(shared));
                joining += request.prompt.len() - known;
                live.push(Sequence::new(index, request, slot, known, self.context));
            }
            if live.is_empty() {
                return Ok(replies);
            }
            if self.step(&mut live, &mut logits, each)?.is_break() {
                return Ok(replies);
            }
            for sequence in live.extract_if(.., |sequence| sequence.stop.is_some()) {
                let (index, slot, reply) = sequence.finish();
                free.push(slot);
                let ends = each(index, Event::Done(&reply)).is_break();
                replies[index] = Some(reply);
                if ends {
                    return Ok(replies);
                }
            }
        }
    }

    /// A memory of nothing.
    pub fn memory(&self) -> Memory {
        Memory { slot: self.engine.slot(), tokens: Vec::new() }
    }

    /// Answers one request whose prompt begins, as a rule, with what the memory holds.
    pub fn reply(
        &self,
        memory: &mut Memory,
        request: &Request,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Reply>> {
        self.check(request)?;
        let common = memory.tokens.iter().zip(&request.prompt).take_while(|(a, b)| a == b).count();
        // The last token's logits are wanted, so that it is computed anyway.
        let known = common.min(request.prompt.len() - 1);
        let mut slot = std::mem::replace(&mut memory.slot, self.engine.slot());
        memory.tokens.clear();
        slot.truncate(known);
        let mut live = vec![Sequence::new(0, request, slot, known, self.context)];
        let mut logits = Vec::new();
        let mut each = |_: usize, event: Event<'_>| each(event);
        let mut goes_on = true;
        while goes_on && live[0].stop.is_none() {
            goes_on = self.step(&mut live, &mut logits, &mut each)?.is_continue();
        }
        let Some(sequence) = live.pop() else { return Ok(None) };
        memory.tokens = sequence.read();
        let finished = sequence.stop.is_some();
        let (_, slot, reply) = sequence.finish();
        memory.slot = slot;
        if finished {
            let _ = each(0, Event::Done(&reply));
        }
        Ok(finished.then_some(reply))
    }

    /// A token more for every sequence.
    fn step(
        &self,
        live: &mut [Sequence],
        logits: &mut Vec<f32>,
        each: &mut dyn FnMut(usize, Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut growing: Vec<&mut Sequence> = live.iter_mut().filter(|one| one.stop.is_none()).collect();
        if growing.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        self.engine.feed(growing.iter_mut().map(|one| one.piece()).collect(), logits);
        sampling::draw(&mut growing, logits, self.vocabulary)?;
        for sequence in growing {
            let index = sequence.index;
            let news = sequence.take_up(self.tokenizer)?;
            if !news.is_empty() && each(index, Event::Text(&news)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What all prompts begin with, computed once.
    fn shared(&self, requests: &[Request]) -> Option<Slot> {
        let [first, rest @ ..] = requests else { return None };
        let common = |request: &Request| {
            let same = request.prompt.iter().zip(&first.prompt).take_while(|(a, b)| a == b).count();
            // Each has a token of its own, whose logits are wanted.
            same.min(request.prompt.len() - 1)
        };
        let common = rest.iter().map(common).min()?;
        let longest = requests.iter().map(|request| request.prompt.len()).max()?;
        // What turns with the angles of long sequences begins differently.
        let long = self.model.long_from().is_some_and(|length| longest > length);
        if common < WORTH_SHARING || long {
            return None;
        }
        let mut slot = self.engine.slot();
        self.engine.feed(vec![(&mut slot, &first.prompt[..common])], &mut Vec::new());
        Some(slot)
    }

    fn check(&self, request: &Request) -> Result<()> {
        if request.prompt.is_empty() {
            return Err(Error::setting("prompt", "is empty; a model continues at least one token"));
        }
        if let Some(token) = request.prompt.iter().find(|token| **token as usize >= self.vocabulary) {
            let what = format!("token {token} is none of the model's {}", self.vocabulary);
            return Err(Error::setting("prompt", what));
        }
        if request.stop.iter().any(String::is_empty) {
            return Err(Error::setting("stop", "an empty text would stop everything"));
        }
        request.sampling.check()
    }
}
