//! Files at an address over http and https.

use std::path::Path;
use std::time::Duration;

use tokensieve_base::http::{self, Agent, header};

use crate::download;
use crate::error::Failure;
use crate::progress::Progress;

/// A machine without a way out should hear of it soon (choice).
const CONNECT: Duration = Duration::from_secs(5);
/// A server that accepts and then says nothing (choice).
const ANSWER: Duration = Duration::from_secs(30);
/// A body that does not end; what has arrived by then is kept, and the next try goes on from there (choice).
const BODY: Duration = Duration::from_secs(20 * 60);

/// Downloads `url` to the end of `part`, `most` bytes at most.
pub(super) fn fetch(url: &str, part: &Path, most: u64, bar: &Progress) -> Result<(), Failure> {
    let agent = agent();
    let ask = |from: Option<u64>| {
        let mut request = agent.get(url);
        if let Some(from) = from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| error.to_string())
    };
    download(ask, part, most, bar)
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
