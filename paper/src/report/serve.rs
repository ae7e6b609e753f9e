//! Serves the report on this machine only, for browsers that keep files apart from each other.

use anyhow::{Context as _, Result};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path};
use std::thread;

/// A port that is easy to remember; any free one if it is taken.
const PORT: u16 = 8317;

/// Serves `folder` on 127.0.0.1 until the process ends; `ready` gets the address first.
pub fn serve(folder: &Path, ready: impl FnOnce(&str)) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("opening a port on 127.0.0.1")?;
    ready(&format!("http://{}/", listener.local_addr()?));
    for stream in listener.incoming().flatten() {
        let folder = folder.to_owned();
        // A browser that goes away in the middle of an answer is no error of ours.
        thread::spawn(move || answer(stream, &folder));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, folder: &Path) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("/").split(['?', '#']).next().unwrap_or("/");
    let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let (status, kind, body) = match inside.then(|| fs::read(folder.join(name))) {
        Some(Ok(body)) => ("200 OK", kind(name), body),
        _ => ("404 Not Found", "text/plain; charset=utf-8", b"There is no such page.\n".to_vec()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn what_lies_outside_of_the_folder_is_not_opened() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path().join("report");
        fs::create_dir(&folder)?;
        fs::write(folder.join("index.html"), "a page")?;
        // Whoever opened it would wait for its writer.
        assert!(Command::new("mkfifo").arg(scratch.path().join("pipe")).status()?.success());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        for (path, answered) in [("/", "a page"), ("/../pipe", "no such page"), ("/x.html", "no such page")] {
            let mut asking = TcpStream::connect(address)?;
            let (asked, folder) = (listener.accept()?.0, folder.clone());
            let answering = thread::spawn(move || answer(asked, &folder));
            write!(asking, "GET {path} HTTP/1.1\r\n\r\n")?;
            asking.set_read_timeout(Some(Duration::from_secs(20)))?;
            let mut text = String::new();
            asking.read_to_string(&mut text)?;
            assert!(text.contains(answered), "{path}: {text}");
            answering.join().expect("no panic")?;
        }
        Ok(())
    }
}
