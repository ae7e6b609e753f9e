//! Downloads over http and https, continued where they were interrupted.

use std::fs::{self, OpenOptions};
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use tokensieve_base::http::{self, Agent, Body, Response, StatusCode, header};

use crate::progress::Progress;

/// How often a download that broke off is taken up again.
const TRIES: u32 = 3;
/// A machine without a way out should hear of it soon (choice).
const CONNECT: Duration = Duration::from_secs(5);
/// A server that accepts and then says nothing (choice).
const ANSWER: Duration = Duration::from_secs(30);
/// A body that does not end; what has arrived by then is kept, and the next try goes on from there (choice).
const BODY: Duration = Duration::from_secs(20 * 60);

/// Downloads `url` to the end of `part`. What is there already is taken as the beginning of the file.
pub(super) fn download(url: &str, part: &Path, bar: &Progress) -> Result<(), String> {
    let agent = agent();
    let mut last = String::new();
    for _ in 0..TRIES {
        match attempt(&agent, url, part, bar) {
            Ok(()) => return Ok(()),
            Err(Failure::Final(reason)) => return Err(reason),
            Err(Failure::BrokeOff(reason)) => last = reason,
        }
    }
    Err(format!("{last}; what has arrived is kept, and the next fetch goes on from there"))
}

/// Whether the server has the file, by a request for its head.
pub(super) fn answers(url: &str) -> bool {
    agent().head(url).call().is_ok_and(|response| response.status().is_success())
}

fn agent() -> Agent {
    http::agent()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_recv_body(Some(BODY))
        .build()
        .into()
}

enum Failure {
    /// Another try would get the same answer.
    Final(String),
    /// Part of the body arrived.
    BrokeOff(String),
}

fn attempt(agent: &Agent, url: &str, part: &Path, bar: &Progress) -> Result<(), Failure> {
    let have = fs::metadata(part).map_or(0, |about| about.len());
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| Failure::Final(error.to_string()))?;
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
        // Nothing lies beyond what we have: it is whole (the hash will tell), or it is of another file.
        StatusCode::RANGE_NOT_SATISFIABLE if range_total(&response) == Some(have) => return Ok(()),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            let _ = fs::remove_file(part);
            return Err(Failure::BrokeOff("the server continued at another place than asked".into()));
        }
        status => return Err(Failure::Final(format!("the server answered {status}"))),
    };
    let expected = response.body().content_length().map(|rest| start + rest);
    let file = OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(part);
    let mut file = file.map_err(|error| Failure::Final(format!("{}: {error}", part.display())))?;
    bar.begin(expected, start);
    let mut body = BufReader::with_capacity(1 << 16, bar.wrap(response.into_body().into_reader()));
    let copied = io::copy(&mut body, &mut file).map_err(|error| Failure::BrokeOff(error.to_string()))?;
    let got = start + copied;
    match expected {
        Some(expected) if got < expected => {
            Err(Failure::BrokeOff(format!("broke off after {got} of {expected} bytes")))
        }
        _ => Ok(()),
    }
}

fn content_range(response: &Response<Body>) -> Option<&str> {
    response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")
}

fn range_start(response: &Response<Body>) -> Option<u64> {
    content_range(response)?.split('-').next()?.parse().ok()
}

fn range_total(response: &Response<Body>) -> Option<u64> {
    content_range(response)?.strip_prefix("*/")?.parse().ok()
}
