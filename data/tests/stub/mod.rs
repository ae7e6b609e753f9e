//! A web server of a few lines on loopback: one closure decides what each request gets.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range_start: Option<usize>,
}

/// What is answered.
pub(crate) struct Answer {
    head: String,
    body: Vec<u8>,
    announced: usize,
}

impl Answer {
    pub(crate) fn ok(body: &[u8]) -> Self {
        Self { head: "200 OK\r\n".into(), body: body.into(), announced: body.len() }
    }

    pub(crate) fn status(status: &str) -> Self {
        Self { head: format!("{status}\r\n"), body: Vec::new(), announced: 0 }
    }

    pub(crate) fn partial(whole: &[u8], start: usize) -> Self {
        let (last, total) = (whole.len() - 1, whole.len());
        let head = format!("206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\n");
        Self { head, body: whole[start..].into(), announced: total - start }
    }

    /// Announces the whole body and closes the connection in its midst.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }
}

/// Runs until the process ends.
pub(crate) struct Server {
    address: SocketAddr,
    range_starts: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let range_starts = Arc::new(Mutex::new(Vec::new()));
        let seen = range_starts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else { continue };
                seen.lock().unwrap().push(request.range_start);
                let Answer { head, body, announced } = answer(&request);
                let head = format!("HTTP/1.1 {head}Content-Length: {announced}\r\nConnection: close\r\n\r\n");
                // The client may hang up first; that is its right.
                let _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(&body));
            }
        });
        Self { address, range_starts }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The `Range` of each request so far.
    pub(crate) fn range_starts(&self) -> Vec<Option<usize>> {
        self.range_starts.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut range_start = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range_start = range.split('-').next()?.parse().ok();
        }
    }
    Some(Request { path, range_start })
}
