//! The generator: continuous batching of requests, and replies within a conversation.

use std::ops::ControlFlow;

use super::draw::draw;
use super::engine::{Engine, Slot};
use super::request::{Event, Failure, Reply, Request};
use super::sequence::Sequence;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Error, Model, Result};

/// Maximum number of prompt tokens that join a pass beyond the first prompt (choice: enough to make the cost of loading the
/// weights from cache small beside the products).
const PROMPT_TOKENS: usize = 256;

/// Minimum length of a common prefix that is computed once for all prompts (choice).
const MIN_SHARED_PREFIX: usize = 8;

/// How replies are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of replies that are generated at the same time.
    pub batch: usize,
    /// Whether to merge the adapter into the weights first: faster, but the merged weights are rounded to the model's type.
    pub merge: bool,
}

impl Default for Options {
    /// Enough rows to occupy two cores while the weights are loaded from cache (choice).
    fn default() -> Self {
        Self { batch: 64, merge: false }
    }
}

/// A model that generates replies.
#[derive(Debug)]
pub struct Generator<'a> {
    model: &'a Model,
    engine: Engine<'a>,
    tokenizer: &'a Tokenizer,
    batch: usize,
    vocabulary: usize,
}

/// The keys and values of a conversation so far, so that its next turn need not compute them again.
#[derive(Debug)]
pub struct ConversationCache {
    slot: Slot,
    tokens: Vec<u32>,
}

impl<'a> Generator<'a> {
    /// Prepares the model's weights, with the current values of its adapter.
    pub fn new(model: &'a Model, tokenizer: &'a Tokenizer, options: Options) -> Self {
        Self {
            model,
            engine: Engine::new(model, options.merge),
            tokenizer,
            batch: options.batch.max(1),
            vocabulary: model.config().vocab_size as usize,
        }
    }

    /// Generates replies to the requests, in any order. `each` receives the events of a request with its index; when it
    /// returns [`ControlFlow::Break`], unfinished requests have no reply.
    pub fn run(
        &self,
        requests: &[Request],
        each: &mut dyn FnMut(usize, Event<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Option<Reply>>, Failure> {
        for (index, request) in requests.iter().enumerate() {
            self.check(request).map_err(|error| Failure { index, error })?;
        }
        let mut replies: Vec<Option<Reply>> = requests.iter().map(|_| None).collect();
        // The longest prompts first, so that the last sequences to finish are short.
        let mut waiting: Vec<usize> = (0..requests.len()).collect();
        waiting.sort_by_key(|index| requests[*index].prompt.len());
        let shared = self.shared_prefix(requests);
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
                let cached = shared.as_ref().map_or(0, |shared| slot.copy_from(shared));
                joining += request.prompt.len() - cached;
                let sequence = Sequence::new(index, request, (slot, cached), (self.model, self.tokenizer));
                live.push(sequence.map_err(|error| Failure { index, error })?);
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
                let stopped = each(index, Event::Done(&reply)).is_break();
                replies[index] = Some(reply);
                if stopped {
                    return Ok(replies);
                }
            }
        }
    }

    /// An empty cache for one conversation.
    pub fn conversation_cache(&self) -> ConversationCache {
        ConversationCache { slot: self.engine.slot(), tokens: Vec::new() }
    }

    /// Generates the reply to one request, reusing the prefix that its prompt shares with the cached conversation.
    pub fn reply(
        &self,
        cache: &mut ConversationCache,
        request: &Request,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Reply>> {
        self.check(request)?;
        let common = cache.tokens.iter().zip(&request.prompt).take_while(|(a, b)| a == b).count();
        // The last token is always computed, because its logits are needed.
        let common = common.min(request.prompt.len() - 1);
        // Longrope: the keys of a long conversation are not those of a short one.
        let was_longer = |length| cache.tokens.len() > length && request.prompt.len() <= length;
        let cached = if self.model.long_from().is_some_and(was_longer) { 0 } else { common };
        let mut slot = std::mem::replace(&mut cache.slot, self.engine.slot());
        cache.tokens.clear();
        slot.truncate(cached);
        let mut live = vec![Sequence::new(0, request, (slot, cached), (self.model, self.tokenizer))?];
        let mut logits = Vec::new();
        let mut each = |_: usize, event: Event<'_>| each(event);
        let mut proceed = true;
        while proceed && live[0].stop.is_none() {
            let stepped = self.step(&mut live, &mut logits, &mut each);
            proceed = stepped.map_err(|failure| failure.error)?.is_continue();
        }
        let Some(sequence) = live.pop() else { return Ok(None) };
        cache.tokens = sequence.computed_tokens();
        let finished = sequence.stop.is_some();
        let (_, slot, reply) = sequence.finish();
        cache.slot = slot;
        if finished {
            let _ = each(0, Event::Done(&reply));
        }
        Ok(finished.then_some(reply))
    }

    /// Samples one token for every unfinished sequence.
    fn step(
        &self,
        live: &mut [Sequence],
        logits: &mut Vec<f32>,
        each: &mut dyn FnMut(usize, Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Failure> {
        let mut growing: Vec<&mut Sequence> = live.iter_mut().filter(|one| one.stop.is_none()).collect();
        if growing.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        self.engine.feed(growing.iter_mut().map(|one| one.piece()).collect(), logits);
        draw(&mut growing, logits, self.vocabulary)?;
        for sequence in growing {
            let index = sequence.index;
            let text = sequence.accept_token(self.tokenizer).map_err(|error| sequence.failure(error))?;
            if !text.is_empty() && each(index, Event::Text(&text)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The common prefix of all prompts, computed once.
    fn shared_prefix(&self, requests: &[Request]) -> Option<Slot> {
        let [first, _, ..] = requests else { return None };
        let common = |request: &Request| {
            let same = request.prompt.iter().zip(&first.prompt).take_while(|(a, b)| a == b).count();
            // Every request computes at least its last token, because its logits are needed.
            same.min(request.prompt.len() - 1)
        };
        // The first as well: it may itself be the beginning of all others.
        let common = requests.iter().map(common).min()?;
        let longest = requests.iter().map(|request| request.prompt.len()).max()?;
        // Longrope's angles depend on the length, so that the prefix of a long sequence has other keys.
        let long = self.model.long_from().is_some_and(|length| longest > length);
        if common < MIN_SHARED_PREFIX || long {
            return None;
        }
        let mut slot = self.engine.slot();
        self.engine.feed(vec![(&mut slot, &first.prompt[..common])], &mut Vec::new());
        Some(slot)
    }

    fn check(&self, request: &Request) -> Result<()> {
        if request.prompt.is_empty() {
            return Err(Error::setting("prompt", "is empty; it needs at least one token"));
        }
        if let Some(token) = request.prompt.iter().find(|token| **token as usize >= self.vocabulary) {
            let what =
                format!("token {token} is not in the model's vocabulary of {} tokens", self.vocabulary);
            return Err(Error::setting("prompt", what));
        }
        if request.stop.iter().any(String::is_empty) {
            return Err(Error::setting("stop", "is empty; a stop text needs at least one character"));
        }
        request.sampling.check()
    }
}
