//! A judge behind an OpenAI-compatible endpoint: several requests at a time, every answer kept, so that a run that was
//! stopped goes on where it was.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, thread};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokensieve_base::http;

use super::cache::Cache;
use super::service::{Patience, Service};
use super::{Judge, Pair, Verdict, question};
use crate::{Error, Message, Result};

/// Tokens of a reply that are paid for at most. One would do for a label; some models put a quote or a line break first.
const REPLY_TOKENS: usize = 4;

/// Which endpoint, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Up to where `/chat/completions` follows, such as `https://api.openai.com/v1`. A user and password before the host
    /// are sent; messages and kept answers are without them.
    pub base: String,
    /// The model's name there.
    pub model: String,
    /// The environment variable with the key; none where the endpoint wants no key.
    pub key_variable: Option<String>,
    /// Requests under way at a time.
    pub concurrency: usize,
    /// How long it is waited for.
    pub patience: Patience,
    /// The file in which answers are kept.
    pub cache: PathBuf,
}

impl Settings {
    /// OpenAI's own endpoint, with the key from `OPENAI_API_KEY` and eight requests at a time.
    pub fn new(model: impl Into<String>, cache: impl Into<PathBuf>) -> Self {
        Self {
            base: "https://api.openai.com/v1".into(),
            model: model.into(),
            key_variable: Some("OPENAI_API_KEY".into()),
            concurrency: 8,
            patience: Patience::default(),
            cache: cache.into(),
        }
    }
}

/// The judge.
pub struct Endpoint {
    settings: Settings,
    service: Service,
    cache: Cache,
}

/// Dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// Of what is sent.
    pub prompt: f64,
    /// Of what is answered.
    pub reply: f64,
}

/// What asking would take, before anything is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Requests that are not answered yet.
    pub requests: usize,
    /// Requests whose answers are kept.
    pub kept: usize,
    /// Tokens to send, estimated from the text's length.
    pub prompt_tokens: usize,
    /// Tokens to be answered, at most.
    pub reply_tokens: usize,
}

impl Cost {
    /// At these prices.
    pub fn dollars(&self, prices: Prices) -> f64 {
        (self.prompt_tokens as f64 * prices.prompt + self.reply_tokens as f64 * prices.reply) / 1e6
    }
}

struct Request {
    key: String,
    body: String,
    tokens: usize,
}

impl Endpoint {
    /// Opens the cache and reads the key; asks nothing yet.
    pub fn new(settings: Settings) -> Result<Self> {
        if settings.concurrency == 0 || settings.patience.tries == 0 {
            return Err(Error::Setting("a judge needs at least one request at a time, and one try".into()));
        }
        let key = settings.key_variable.as_deref().map(key_of).transpose()?;
        let address = format!("{}/chat/completions", settings.base.trim_end_matches('/'));
        let service = Service::new(address, key, settings.patience);
        let cache = Cache::open(&settings.cache)?;
        Ok(Self { settings, service, cache })
    }

    /// Calls `notice` with a line for every request that is sent again, and why.
    #[must_use]
    pub fn with_notice(mut self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.service.notice = Box::new(notice);
        self
    }

    /// Ends all waiting when `stopped` returns true; [`Judge::prefer`] is then an error.
    #[must_use]
    pub fn with_stop(mut self, stopped: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.service.stopped = Box::new(stopped);
        self
    }

    /// What it would take to judge these pairs.
    pub fn cost(&self, pairs: &[Pair<'_>]) -> Cost {
        let requests: Vec<Request> = pairs.iter().map(|pair| self.request(pair)).collect();
        let missing = self.missing(&requests);
        Cost {
            requests: missing.len(),
            kept: requests.len() - missing.len(),
            prompt_tokens: missing.iter().map(|request| request.tokens).sum(),
            reply_tokens: missing.len() * REPLY_TOKENS,
        }
    }

    fn request(&self, pair: &Pair<'_>) -> Request {
        let messages = question(pair);
        let tokens = messages.iter().map(tokens_of).sum();
        // The published judge's settings: greedy, and the five most likely tokens.
        let body = json!({
            "model": self.settings.model,
            "messages": messages,
            "max_tokens": REPLY_TOKENS,
            "temperature": 0,
            "logprobs": true,
            "top_logprobs": 5,
        })
        .to_string();
        // Without a password, which could be guessed from the hash.
        let hash = Sha256::new().chain_update(self.service.address()).chain_update("\n").chain_update(&body);
        Request { key: format!("{:x}", hash.finalize()), body, tokens }
    }

    /// The requests without a kept answer, each once.
    fn missing<'a>(&self, requests: &'a [Request]) -> Vec<&'a Request> {
        let mut seen = HashSet::new();
        requests.iter().filter(|request| !self.cache.has(&request.key) && seen.insert(&request.key)).collect()
    }

    /// Asks what is missing. What has come is kept even when something else fails.
    fn ask(&self, missing: &[&Request]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let work = || {
            while let Some(request) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = self
                    .service
                    .ask(&request.body, &request.key)
                    .map_err(|what| Error::Service { address: self.service.address().to_owned(), what })
                    .and_then(|reply| self.cache.put(request.key.clone(), reply));
                if let Err(error) = outcome {
                    // The others finish what they are at and take nothing new.
                    next.store(missing.len(), Ordering::Relaxed);
                    if let Ok(mut failure) = failure.lock() {
                        failure.get_or_insert(error);
                    }
                    return;
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.settings.concurrency.min(missing.len()) {
                scope.spawn(work);
            }
        });
        match failure.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Judge for Endpoint {
    fn name(&self) -> String {
        format!("{} at {}", self.settings.model, http::without_password(&self.settings.base))
    }

    fn prefer(&self, pairs: &[Pair<'_>]) -> Result<Vec<Verdict>> {
        let requests: Vec<Request> = pairs.iter().map(|pair| self.request(pair)).collect();
        self.ask(&self.missing(&requests))?;
        let verdict = |request: &Request| match self.cache.get(&request.key) {
            Some(reply) => reply.verdict(),
            None => unreachable!("asked and kept, or an error"),
        };
        Ok(requests.iter().map(verdict).collect())
    }
}

fn key_of(variable: &str) -> Result<String> {
    match env::var(variable) {
        Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => Err(Error::Setting(format!(
            "the environment variable {variable} must hold the key of the judge's endpoint; it is not set"
        ))),
    }
}

/// Four letters of English to a token, one token for any other letter, and a few around each message.
fn tokens_of(message: &Message) -> usize {
    let (ascii, other) = message
        .content
        .chars()
        .fold((0, 0), |(ascii, other), c| if c.is_ascii() { (ascii + 1, other) } else { (ascii, other + 1) });
    4 + usize::div_ceil(ascii, 4) + other
}
