//! Downloads that continue where they broke off.

use std::fs::{self, OpenOptions};
use std::io::{self, BufReader};
use std::path::Path;

use tokensieve_base::http::{Body, Response, StatusCode, header};

use crate::progress::Progress;

/// How often a download that broke off is taken up again.
const TRIES: u32 = 3;

/// Writes what `ask` gets to the end of `part`. What is there already is taken as the beginning of the file, and `ask` sends
/// a request for what comes after so many bytes.
pub fn download(
    ask: impl Fn(Option<u64>) -> Result<Response<Body>, String>,
    part: &Path,
    bar: &Progress,
) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match attempt(&ask, part, bar) {
            Ok(()) => return Ok(()),
            Err(Failure::Final(reason)) => return Err(reason),
            Err(Failure::BrokeOff(reason)) => last = reason,
        }
    }
    Err(format!("{last}; what has arrived is kept, and the next fetch goes on from there"))
}

enum Failure {
    /// Another try would get the same answer.
    Final(String),
    /// Part of the body arrived.
    BrokeOff(String),
}

fn attempt(
    ask: impl Fn(Option<u64>) -> Result<Response<Body>, String>,
    part: &Path,
    bar: &Progress,
) -> Result<(), Failure> {
    let have = fs::metadata(part).map_or(0, |about| about.len());
    let response = ask(Some(have).filter(|have| *have > 0)).map_err(Failure::Final)?;
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
    let at_part = |error: io::Error| format!("{}: {error}", part.display());
    let expected = response.body().content_length().map(|rest| start + rest);
    let file = OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(part);
    let mut file = file.map_err(|error| Failure::Final(at_part(error)))?;
    bar.begin(expected, start);
    let mut body = BufReader::with_capacity(1 << 16, bar.wrap(response.into_body().into_reader()));
    let copied = io::copy(&mut body, &mut file).map_err(|error| Failure::BrokeOff(error.to_string()))?;
    let got = start + copied;
    match expected {
        Some(expected) if got < expected => {
            Err(Failure::BrokeOff(format!("broke off after {got} of {expected} bytes")))
        }
        // Written to disk before anybody renames it: a power cut must not leave an empty file.
        _ => file.sync_all().map_err(|error| Failure::Final(at_part(error))),
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
