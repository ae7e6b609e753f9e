//! What tests of several crates share: a line for a test that is skipped, the largest of many differences, what a program
//! printed and left in a folder, programs side by side, the documentation's commands, and a web server on loopback for the
//! tests of what asks one, with a word of HTTP and no more.

pub mod pages;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Says on standard error that the running test does not check what it is for, and why: `skipped: TEST (WHY)`. libtest
/// keeps to itself what a passing test prints with `eprintln!`, but not what is written to the stream.
pub fn skipped(why: &str) {
    let thread = thread::current();
    let line = format!("skipped: {} ({why})\n", thread.name().unwrap_or("a test"));
    // In one piece, so that no other test's line comes between.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The largest difference of two numbers in the same place.
///
/// # Panics
/// If there are not as many numbers on both sides, or a difference is NaN, which `f64::max` would pass over.
#[track_caller]
pub fn largest_difference<'a, T: Copy + Into<f64> + 'a>(
    a: impl IntoIterator<Item = &'a T>,
    b: impl IntoIterator<Item = &'a T>,
) -> f64 {
    let a: Vec<f64> = a.into_iter().map(|x| (*x).into()).collect();
    let b: Vec<f64> = b.into_iter().map(|x| (*x).into()).collect();
    assert_eq!(a.len(), b.len(), "numbers on both sides");
    let mut largest = 0.0_f64;
    for (place, (a, b)) in a.iter().zip(&b).enumerate() {
        let away = (a - b).abs();
        assert!(!away.is_nan(), "number {place}: {a} and {b}");
        largest = largest.max(away);
    }
    largest
}

/// Files and folders by their relative paths; a folder has no content.
pub type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Everything below a folder.
///
/// # Panics
/// If it cannot be read.
pub fn tree(folder: &Path) -> Tree {
    let (mut found, mut folders) = (Tree::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).expect("a folder that can be read") {
            let path = entry.expect("an entry that can be read").path();
            let bytes = (!path.is_dir()).then(|| fs::read(&path).expect("a file that can be read"));
            let name = path.strip_prefix(folder).expect("it lies below the folder");
            found.insert(name.to_owned(), bytes);
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// All that a program printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Does the work of every item, as many at a time as there are cores; the results in the items' order.
///
/// # Panics
/// If the work of an item does.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let worker = || loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(item) = items.get(place) else { return };
        let result = work(item);
        results.lock().expect("nothing panics there").push((place, result));
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(worker);
        }
    });
    let mut results = results.into_inner().expect("nothing panics there");
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `HEAD`, `POST`.
    pub method: String,
    /// The path asked for.
    pub path: String,
    /// Everything before the body, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Request {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Where the part of the file begins that is asked for.
    pub fn range_start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }

    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut request = Self { method, path, head: head.to_lowercase(), body: String::new() };
        let length = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        reader.take(length).read_to_string(&mut request.body).ok()?;
        Some(request)
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// An answer.
    Send {
        /// Code and reason: `200 OK`.
        status: &'static str,
        /// Further headers, each with `\r\n` at its end.
        headers: String,
        /// The body.
        body: Vec<u8>,
        /// The length that the head announces.
        announced: usize,
    },
    /// Nothing for that long, and then the connection is closed.
    Stall(Duration),
    /// The connection is closed at once.
    HangUp,
}

impl Answer {
    /// An answer with a body.
    pub fn new(status: &'static str, headers: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::Send { status, headers: headers.to_owned(), announced: body.len(), body }
    }

    /// A whole file.
    pub fn ok(body: &[u8]) -> Self {
        Self::new("200 OK", "", body)
    }

    /// A status without a body.
    pub fn status(status: &'static str) -> Self {
        Self::new(status, "", "")
    }

    /// A file from byte `start` on.
    pub fn partial(whole: &[u8], start: usize) -> Self {
        let range = format!("content-range: bytes {start}-{}/{}\r\n", whole.len() - 1, whole.len());
        Self::new("206 Partial Content", &range, &whole[start..])
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, header: &str) -> Self {
        if let Self::Send { headers, .. } = &mut self {
            *headers += &format!("{header}\r\n");
        }
        self
    }

    /// Announces the whole body and closes the connection in its midst.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        if let Self::Send { body, .. } = &mut self {
            body.truncate(bytes);
        }
        self
    }

    fn send(self, request: &Request, out: &mut impl Write) {
        match self {
            Self::Send { status, headers, body, announced } => {
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {announced}\r\nconnection: close\r\n{headers}\r\n"
                );
                let body = if request.method == "HEAD" { &[][..] } else { &body };
                // The client may hang up first; that is its right.
                let _ = out.write_all(head.as_bytes()).and_then(|()| out.write_all(body));
            }
            Self::Stall(time) => thread::sleep(time),
            Self::HangUp => {}
        }
    }
}

/// The server; it runs until the process ends.
#[derive(Debug)]
pub struct Server {
    /// `http://127.0.0.1:port`
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Every request is answered in a thread of its own; `answer` is given how many came before, and the request.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("a bound port"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                thread::spawn(move || serve(&stream, &log, &*answer));
            }
        });
        Self { address, requests }
    }

    /// The address of a path that begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Every request so far.
    ///
    /// # Panics
    /// If a thread that answers has panicked.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no answer panics").clone()
    }
}

fn serve(mut stream: &TcpStream, log: &Mutex<Vec<Request>>, answer: &dyn Fn(usize, &Request) -> Answer) {
    let Some(request) = Request::read(&mut BufReader::new(stream)) else { return };
    let before = {
        let mut log = log.lock().expect("no answer panics");
        log.push(request.clone());
        log.len() - 1
    };
    answer(before, &request).send(&request, &mut stream);
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::largest_difference;

    #[test]
    fn neither_nan_nor_a_missing_number_is_a_small_difference() {
        let found = largest_difference(&[1.0, 2.0, 5.0], &[1.5, 2.0, 4.0]);
        assert!((found - 1.0).abs() < 1e-15, "{found}");
        let wrong: [[&[f64]; 2]; 3] =
            [[&[1.0, f64::NAN], &[1.0, 2.0]], [&[1.0], &[1.0, 2.0]], [&[1.0, 2.0], &[1.0]]];
        for [a, b] in wrong {
            assert!(catch_unwind(|| largest_difference(a, b)).is_err(), "{a:?} {b:?}");
        }
    }
}
