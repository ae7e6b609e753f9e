//! One request to a service that may be busy, slow or out of order, repeated with patience.

use std::io::ErrorKind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokensieve_base::http::{self, Agent, Body, Response, Secrets, StatusCode, header};

use super::reply::{Reply, beginning};
use tokensieve_base::streams::HashedStream;

/// How often a wait looks whether it has been interrupted (choice).
const TICK: Duration = Duration::from_millis(50);

/// Why a request ends whose user has stopped the program.
const INTERRUPTED: &str = "interrupted";

/// How long a service is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one answer, from the connection to the last byte.
    pub timeout: Duration,
    /// How often a request is sent before it is given up.
    pub tries: u32,
    /// The pause after the first failure; it doubles with every further one, and a random part of up to half is left out
    /// so that requests that failed together do not come back together.
    pub first_pause: Duration,
    /// The longest such pause. A service that names its own pause is obeyed up to ten times as long.
    pub longest_pause: Duration,
    /// For all tries of a request and the pauses between them.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            tries: 8,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

pub(super) struct Service {
    connection: Arc<Connection>,
    /// Where requests go, as it may be printed and kept.
    address: String,
    patience: Patience,
    /// Nobody asks before this: a service that is overrun is overrun for all requests.
    not_before: Mutex<Instant>,
    /// Called with a line for every failure that is followed by another try.
    pub(super) notice: Box<dyn Fn(&str) + Send + Sync>,
    /// Whether waiting is to end.
    pub(super) stopped: Box<dyn Fn() -> bool + Send + Sync>,
}

/// What a request is sent with.
struct Connection {
    agent: Agent,
    address: String,
    key: Option<String>,
    secrets: Secrets,
}

/// Why a request did not bring a reply.
enum Failure {
    /// Another try may; after that pause, where the service named one.
    Passing(String, Option<Duration>),
    /// No other try would.
    Lasting(String),
}

impl Service {
    pub(super) fn new(address: String, key: Option<String>, patience: Patience) -> Self {
        let settings = http::agent();
        // A proxy is not to see what stays on this machine.
        let settings = if http::is_on_this_machine(&address) { settings.proxy(None) } else { settings };
        let secrets = Secrets::new(&address, key.as_deref());
        let shown = http::without_password(&address);
        let connection = Connection { agent: settings.build().into(), address, key, secrets };
        Self {
            connection: Arc::new(connection),
            address: shown,
            patience,
            not_before: Mutex::new(Instant::now()),
            notice: Box::new(|_| {}),
            stopped: Box::new(|| false),
        }
    }

    /// Without user and password.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The reply to a request body; `name` is what the jitter is drawn by.
    pub(super) fn ask(&self, body: &str, name: &str) -> Result<Reply, String> {
        let mut jitter = HashedStream::new(0, name);
        let mut pause = self.patience.first_pause;
        let deadline = Instant::now() + self.patience.total;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut tries = 0;
        loop {
            self.wait_for_turn()?;
            let (reason, named_pause) = match self.attempt(body, left().min(self.patience.timeout)) {
                Ok(reply) => return Ok(reply),
                Err(Failure::Lasting(reason)) => return Err(reason),
                Err(Failure::Passing(reason, named_pause)) => (reason, named_pause),
            };
            tries += 1;
            if tries == self.patience.tries {
                return Err(format!("{reason}; given up after {tries} tries"));
            }
            if let Some(named) = named_pause.filter(|named| *named > self.patience.longest_pause * 10) {
                return Err(format!("{reason}; it asks to come back in {} s", named.as_secs()));
            }
            let next = named_pause.unwrap_or_else(|| pause.mul_f64(1.0 - jitter.uniform() / 2.0));
            if next > left() {
                let total = self.patience.total.as_secs();
                return Err(format!("{reason}; given up after {tries} tries, because {total} s are over"));
            }
            (self.notice)(&format!(
                "{}: {reason}; try {} of {} in {:.1} s",
                self.address(),
                tries + 1,
                self.patience.tries,
                next.as_secs_f64()
            ));
            if named_pause.is_some() {
                self.hold_all(next);
            } else {
                self.wait_until(Instant::now() + next)?;
            }
            pause = (pause * 2).min(self.patience.longest_pause);
        }
    }

    fn wait_for_turn(&self) -> Result<(), String> {
        // Looked at again after the wait: another request may have been told to wait longer.
        loop {
            let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            self.wait_until(not_before)?;
            if not_before == *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) {
                return Ok(());
            }
        }
    }

    fn wait_until(&self, time: Instant) -> Result<(), String> {
        loop {
            if (self.stopped)() {
                return Err(INTERRUPTED.to_owned());
            }
            let left = time.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(TICK));
        }
    }

    fn hold_all(&self, pause: Duration) {
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = (*not_before).max(Instant::now() + pause);
    }

    /// Sends a request, in a thread that is given up when the user stops the program.
    fn attempt(&self, body: &str, timeout: Duration) -> Result<Reply, Failure> {
        let (answered, answer) = channel();
        let (connection, body) = (Arc::clone(&self.connection), body.to_owned());
        thread::spawn(move || answered.send(connection.send(&body, timeout)));
        loop {
            match answer.recv_timeout(TICK) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) if !(self.stopped)() => {}
                Err(_) => return Err(Failure::Lasting(INTERRUPTED.to_owned())),
            }
        }
    }
}

impl Connection {
    /// Sends a request. What comes back is kept or printed, so that it holds no secrets.
    fn send(&self, body: &str, timeout: Duration) -> Result<Reply, Failure> {
        self.exchange(body, timeout).map_err(|failure| match failure {
            Failure::Passing(reason, pause) => Failure::Passing(self.secrets.hide(&reason), pause),
            Failure::Lasting(reason) => Failure::Lasting(self.secrets.hide(&reason)),
        })
    }

    fn exchange(&self, body: &str, timeout: Duration) -> Result<Reply, Failure> {
        let mut request = self.agent.post(&self.address).header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let response = request.send(body).map_err(|error| match error {
            http::Error::BadUri(_) | http::Error::HostNotFound | http::Error::Http(_) => {
                Failure::Lasting(format!("cannot be asked: {error}"))
            }
            http::Error::Io(reason) if reason.kind() == ErrorKind::ConnectionRefused => {
                Failure::Lasting("nothing answers at this address (connection refused)".to_owned())
            }
            http::Error::Timeout(_) => {
                Failure::Passing(format!("no answer within {:.1} s", timeout.as_secs_f64()), None)
            }
            error => Failure::Passing(error.to_string(), None),
        })?;
        let (status, pause) = (response.status(), named_pause(&response));
        let text = response
            .into_body()
            .read_to_string()
            .map_err(|error| Failure::Passing(format!("the answer broke off: {error}"), None))?;
        if status.is_success() {
            return Reply::read(&text, &self.secrets).map_err(|reason| Failure::Passing(reason, None));
        }
        self.refused(status, &text, pause)
    }

    fn refused(&self, status: StatusCode, text: &str, pause: Option<Duration>) -> Result<Reply, Failure> {
        let error: Value = serde_json::from_str(text).unwrap_or_default();
        let error = &error["error"];
        let message = error["message"].as_str();
        let message = message.map_or_else(|| beginning(text, &self.secrets), |text| self.secrets.hide(text));
        let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
        match status {
            // A question that the service will not hear, not a fault: its words are the answer, which names no output.
            StatusCode::BAD_REQUEST if code.contains("content_") => {
                Ok(Reply { text: message, tokens: Vec::new() })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let key = if self.key.is_some() { "the key was refused" } else { "it wants a key" };
                Err(Failure::Lasting(format!("{key} ({status}): {message}")))
            }
            StatusCode::NOT_FOUND => Err(Failure::Lasting(format!(
                "no such address or model ({status}): {message}; the base address usually ends in /v1"
            ))),
            StatusCode::TOO_MANY_REQUESTS if code.contains("insufficient_quota") => {
                Err(Failure::Lasting(format!("the account's quota is used up ({status}): {message}")))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => {
                Err(Failure::Passing(format!("{status}: {message}"), pause))
            }
            status if status.is_server_error() => {
                Err(Failure::Passing(format!("{status}: {message}"), pause))
            }
            status => Err(Failure::Lasting(format!("the request was refused ({status}): {message}"))),
        }
    }
}

fn named_pause(response: &Response<Body>) -> Option<Duration> {
    let seconds: f64 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
