//! A service on the loopback that answers as it is told: a word of HTTP, and no more.

pub(crate) mod judge;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the stub does with a request.
pub(crate) enum Act {
    /// Status line, further headers, body.
    Answer(&'static str, &'static str, String),
    /// Says nothing for that long.
    Stall(Duration),
    /// Promises more than it sends, and hangs up.
    Cut,
    /// Hangs up without a word.
    HangUp,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Everything before the body, in lower case.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

pub(crate) struct Stub {
    /// `http://127.0.0.1:port/v1`
    pub(crate) base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    /// `act` is given how many requests came before, and the request.
    pub(crate) fn new(act: impl Fn(usize, &Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (act, log) = (Arc::new(act), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, log) = (Arc::clone(&act), Arc::clone(&log));
                thread::spawn(move || serve(stream, &log, &*act));
            }
        });
        Self { base, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Asked>>, act: &dyn Fn(usize, &Asked) -> Act) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let asked = Asked { head, body: String::from_utf8(body).unwrap() };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    let mut stream = reader.into_inner();
    // The other side may be gone by now; that is its affair.
    let _ = match act(before, &asked) {
        Act::Answer(status, headers, body) => write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
            body.len()
        ),
        Act::Stall(time) => {
            thread::sleep(time);
            Ok(())
        }
        Act::Cut => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{{\"choices\":["),
        Act::HangUp => Ok(()),
    };
}
