//! Downloads that continue where they broke off.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use tokensieve_base::files;
use tokensieve_base::http::{Body, Response, StatusCode, header};

use crate::error::{Failure, megabytes};
use crate::progress::Progress;

/// How often a download that broke off is taken up again.
const TRIES: u32 = 3;

/// Writes what `ask` gets to the end of `part`, which may have `most` bytes. What is there already is taken as the beginning of
/// the file, and `ask` sends a request for what comes after so many bytes.
pub fn download(
    ask: impl Fn(Option<u64>) -> Result<Response<Body>, String>,
    part: &Path,
    most: u64,
    bar: &Progress,
) -> Result<(), Failure> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match attempt(&ask, part, most, bar) {
            Ok(()) => return Ok(()),
            Err(Stop::Final(failure)) => return Err(failure),
            Err(Stop::BrokeOff(reason)) => last = reason,
        }
    }
    Err(format!("{last}; what has arrived is kept, and the next fetch goes on from there").into())
}

enum Stop {
    /// Another try would end in the same way.
    Final(Failure),
    /// Part of the body arrived.
    BrokeOff(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Final(reason.into())
    }
}

impl From<files::Error> for Stop {
    fn from(error: files::Error) -> Self {
        Self::Final(error.into())
    }
}

fn attempt(
    ask: impl Fn(Option<u64>) -> Result<Response<Body>, String>,
    part: &Path,
    most: u64,
    bar: &Progress,
) -> Result<(), Stop> {
    let have = fs::metadata(part).map_or(0, |about| about.len());
    let response = ask(Some(have).filter(|have| *have > 0))?;
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
        // Nothing lies beyond what we have: it is whole (the hash will tell), or it is of another file.
        StatusCode::RANGE_NOT_SATISFIABLE if range_total(&response) == Some(have) => return Ok(()),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            let _ = fs::remove_file(part);
            return Err(Stop::BrokeOff("the server continued at another place than asked".into()));
        }
        status => return Err(format!("the server answered {status}").into()),
    };
    let expected = response.body().content_length().map(|rest| start + rest);
    let file = OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(part);
    let mut file = file.map_err(files::Error::at(part))?;
    bar.begin(expected, start);
    let mut body = bar.wrap(response.into_body().into_reader());
    let (mut got, mut buffer) = (start, vec![0; 1 << 16]);
    loop {
        let n = match body.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::BrokeOff(error.to_string())),
        };
        got += n as u64;
        if got > most {
            let _ = fs::remove_file(part);
            return Err(format!("what comes from there is longer than {}", megabytes(most)).into());
        }
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(files::Error::at(part))?;
    }
    match expected {
        Some(expected) if got < expected => {
            Err(Stop::BrokeOff(format!("broke off after {got} of {expected} bytes")))
        }
        // Written to disk before anybody renames it: a power cut must not leave an empty file.
        _ => Ok(file.sync_all().map_err(files::Error::at(part))?),
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
