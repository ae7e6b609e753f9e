//! Connections to the other processes: messages, beats, and who is lost.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem::take;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::timing::Timing;

/// Bytes of the largest message: longer data go in several.
pub(crate) const LARGEST: usize = 1 << 18;

/// A process that is lost, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Lost {
    /// Its number.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
    /// Where it ran; empty of this process itself.
    pub host: String,
    /// What happened to it.
    pub why: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rank, size, host, why } = self;
        let at = if host.is_empty() { "" } else { " on " };
        write!(f, "process {rank} of 0 to {}{at}{host} {why}", size - 1)
    }
}

impl Lost {
    /// What precedes the error with which a process stopped.
    const STOPPED: &str = "stopped: ";

    /// Why the process stopped by itself, if it did: an error that it prints.
    pub fn own_reason(&self) -> Option<&str> {
        self.why.strip_prefix(Self::STOPPED)
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sign of life.
    Beat = 0,
    /// What a collective call waits for.
    Data = 1,
    /// The last message. With text: whom is lost, and why.
    Farewell = 2,
    /// A part of a letter, but not its last.
    Part = 3,
    /// A letter's last part.
    Letter = 4,
}

/// Who sent a letter, and its bytes.
pub type Letter = (usize, Vec<u8>);

/// Why a process is lost that left while others still needed it.
pub(crate) const ENDED: &str = "ended before the others";

/// How often a process that cannot send looks whether all that it received is read (choice).
const MOMENT: Duration = Duration::from_millis(5);

/// How long a process that fails waits for the others to take its farewell (choice).
const LINGER: Duration = Duration::from_secs(1);

/// What is called with a loss that nobody noticed.
pub(crate) type OnLost = dyn Fn(&Lost) + Send + Sync;

/// The sending halves of all connections, and who is lost. The threads that read share it.
pub(crate) struct Shared {
    rank: usize,
    timing: Timing,
    /// By rank; the process' own is `None`.
    writers: Vec<Option<Writer>>,
    state: Mutex<State>,
    on_lost: Box<OnLost>,
}

struct Writer {
    host: String,
    /// `None` after a message that was written in part.
    stream: Mutex<Option<TcpStream>>,
    /// When no more is read from it: whether it said farewell.
    heard_out: OnceLock<bool>,
}

#[derive(Default)]
struct State {
    lost: Option<Lost>,
    /// This process is about to leave, so that the others' end is no loss.
    leaving: bool,
}

impl Shared {
    pub(crate) fn new(
        rank: usize,
        timing: Timing,
        streams: Vec<Option<TcpStream>>,
        on_lost: Box<OnLost>,
    ) -> io::Result<Self> {
        let writer = |stream: TcpStream| -> io::Result<Writer> {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(timing.silence))?;
            let host = stream.peer_addr()?.ip().to_string();
            Ok(Writer { host, stream: Mutex::new(Some(stream)), heard_out: OnceLock::new() })
        };
        let writers =
            streams.into_iter().map(|stream| stream.map(writer).transpose()).collect::<io::Result<_>>()?;
        Ok(Self { rank, timing, writers, state: Mutex::default(), on_lost })
    }

    pub(crate) fn size(&self) -> usize {
        self.writers.len()
    }

    pub(crate) fn lost(&self) -> Option<Lost> {
        lock(&self.state).lost.clone()
    }

    /// Sends a message; a process that does not take it is lost.
    pub(crate) fn send(self: &Arc<Self>, to: usize, kind: Kind, bytes: &[u8]) -> Result<(), Lost> {
        let Some(writer) = &self.writers[to] else { return Ok(()) };
        let written = write(&mut lock(&writer.stream), kind, bytes);
        written.map_err(|error| self.unsent(to, &error))
    }

    /// A process that takes no message is lost: for the reason that it gave, if its farewell is here and not yet read.
    fn unsent(self: &Arc<Self>, to: usize, error: &io::Error) -> Lost {
        let writer = self.writers[to].as_ref().filter(|_| !is_silence(error));
        let farewell = writer.is_some_and(|writer| {
            let until = Instant::now() + self.timing.grace;
            while writer.heard_out.get().is_none() && self.lost().is_none() && Instant::now() < until {
                thread::sleep(MOMENT);
            }
            writer.heard_out.get() == Some(&true)
        });
        self.lose(to, if farewell { ENDED.to_owned() } else { self.reason(error) })
    }

    /// Sends a sign of life to whom nothing else is being sent. That a connection is closed means nothing here: a process
    /// that has done its part may leave, and who waits for one learns the rest from its reader.
    pub(crate) fn beat(self: &Arc<Self>) {
        for (rank, writer) in self.writers.iter().enumerate() {
            let Some(mut stream) = writer.as_ref().and_then(|writer| writer.stream.try_lock().ok()) else {
                continue;
            };
            let written = write(&mut stream, Kind::Beat, &[]);
            drop(stream);
            if let Err(error) = written
                && is_silence(&error)
            {
                self.lose(rank, self.reason(&error));
            }
        }
    }

    /// A process that has said farewell.
    pub(crate) fn departed(&self) -> Option<usize> {
        let has_left = |writer: &Option<Writer>| {
            writer.as_ref().is_some_and(|writer| writer.heard_out.get() == Some(&true))
        };
        self.writers.iter().position(has_left)
    }

    /// Records a loss, unless there was one before, and tells the others. Returns the first.
    pub(crate) fn lose(self: &Arc<Self>, rank: usize, why: String) -> Lost {
        let host = self.writers[rank].as_ref().map(|writer| writer.host.clone()).unwrap_or_default();
        let lost = Lost { rank, size: self.size(), host, why };
        let mut state = lock(&self.state);
        if let Some(first) = &state.lost {
            return first.clone();
        }
        if state.leaving {
            return lost;
        }
        state.lost = Some(lost.clone());
        drop(state);
        // A connection on which something is being written is of a process that waits, and notices by itself.
        self.tell(&farewell(rank, &lost.why));
        let shared = Arc::clone(self);
        let lost_one = lost.clone();
        thread::spawn(move || {
            thread::sleep(shared.timing.grace);
            if !lock(&shared.state).leaving {
                (shared.on_lost)(&lost_one);
            }
        });
        lost
    }

    /// Leaves: what becomes of the others is no loss any more. They learn why, if there is a reason; a loss that this
    /// process knows of is the reason.
    pub(crate) fn leave(&self, why: Option<&str>) {
        let lost = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.leaving, true) {
                return;
            }
            state.lost.clone()
        };
        let farewell = match (lost, why) {
            (Some(lost), _) => farewell(lost.rank, &lost.why),
            (None, Some(why)) => farewell(self.rank, &format!("{}{why}", Lost::STOPPED)),
            (None, None) => farewell(self.rank, ""),
        };
        let sent = self.tell(&farewell);
        for (writer, sent) in self.writers.iter().zip(sent) {
            let Some(writer) = writer else { continue };
            let mut stream = lock(&writer.stream);
            if !sent {
                // A beat or more was being written: without a farewell behind it this end would look like a crash.
                let _ = write(&mut stream, Kind::Farewell, &farewell);
            }
            if let Some(stream) = stream.as_ref() {
                // What was written still arrives.
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
    }

    /// Waits a moment until all others have left too, or read why this one did: a process that ends at once takes with it
    /// what is still on its way to them.
    pub(crate) fn linger(&self) {
        let until = Instant::now() + LINGER;
        let is_there = |writer: &Writer| writer.heard_out.get().is_none();
        while self.writers.iter().flatten().any(is_there) && Instant::now() < until {
            thread::sleep(MOMENT);
        }
    }

    /// Says farewell on all connections on which nothing is being written; by rank, on which.
    fn tell(&self, farewell: &[u8]) -> Vec<bool> {
        let sent = |writer: &Option<Writer>| {
            let Some(mut stream) = writer.as_ref().and_then(|writer| writer.stream.try_lock().ok()) else {
                return false;
            };
            let _ = write(&mut stream, Kind::Farewell, farewell);
            true
        };
        self.writers.iter().map(sent).collect()
    }

    fn reason(&self, error: &io::Error) -> String {
        match error.kind() {
            _ if is_silence(error) => format!(
                "has been silent for {} s: it hangs, its machine is down, or the network is cut",
                self.timing.silence.as_secs_f32()
            ),
            ErrorKind::InvalidData => {
                "sent what is no message: it runs another version of the program".to_owned()
            }
            _ => "ended without a word: it was killed, or crashed".to_owned(),
        }
    }

    /// Reads a process' messages until its last, and passes data and letters on.
    pub(crate) fn read(
        self: &Arc<Self>,
        from: usize,
        stream: TcpStream,
        inbox: &SyncSender<Vec<u8>>,
        letters: &Sender<Letter>,
    ) {
        let farewell = self.read_until_farewell(from, stream, inbox, letters);
        if let Some(writer) = &self.writers[from] {
            let _ = writer.heard_out.set(farewell);
        }
    }

    /// Whether that came.
    fn read_until_farewell(
        self: &Arc<Self>,
        from: usize,
        mut stream: TcpStream,
        inbox: &SyncSender<Vec<u8>>,
        letters: &Sender<Letter>,
    ) -> bool {
        let mut letter = Vec::new();
        loop {
            match message(&mut stream) {
                Ok((Kind::Part, bytes)) => letter.extend(bytes),
                Ok((Kind::Letter, bytes)) => {
                    letter.extend(bytes);
                    if letters.send((from, take(&mut letter))).is_err() {
                        return false;
                    }
                }
                Ok((Kind::Beat, _)) => {}
                Ok((Kind::Data, bytes)) => {
                    if inbox.send(bytes).is_err() {
                        return false;
                    }
                }
                Ok((Kind::Farewell, bytes)) => {
                    let (rank, why) = bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
                    if !why.is_empty() {
                        let rank = (u32::from_le_bytes(*rank) as usize).min(self.size() - 1);
                        self.lose(rank, String::from_utf8_lossy(why).into_owned());
                    }
                    return true;
                }
                Err(error) => {
                    self.lose(from, self.reason(&error));
                    return false;
                }
            }
        }
    }

    /// Ends all connections as the system does when a process is killed.
    #[cfg(test)]
    pub(crate) fn vanish(&self) {
        lock(&self.state).leaving = true;
        for writer in self.writers.iter().flatten() {
            if let Some(stream) = lock(&writer.stream).as_ref() {
                stream.shutdown(Shutdown::Both).unwrap();
            }
        }
    }
}

/// The text of a farewell: that a process is lost, and why; with an empty text, that this one leaves.
fn farewell(lost: usize, why: &str) -> Vec<u8> {
    let mut message = [&(lost as u32).to_le_bytes(), why.as_bytes()].concat();
    message.truncate(LARGEST);
    message
}

/// Whether nothing came or went for as long as is allowed.
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn write(stream: &mut Option<TcpStream>, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let Some(open) = stream else { return Err(ErrorKind::BrokenPipe.into()) };
    let mut head = [kind as u8, 0, 0, 0, 0];
    head[1..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    let written = open.write_all(&head).and_then(|()| open.write_all(bytes));
    if written.is_err() {
        // Nobody could tell where the next message begins.
        *stream = None;
    }
    written
}

fn message(stream: &mut TcpStream) -> io::Result<(Kind, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let kind = match kind {
        0 => Kind::Beat,
        1 => Kind::Data,
        2 => Kind::Farewell,
        3 => Kind::Part,
        4 => Kind::Letter,
        _ => return Err(ErrorKind::InvalidData.into()),
    };
    let length = u32::from_le_bytes(length) as usize;
    if length > LARGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok((kind, bytes))
}

/// What a mutex holds; nothing here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc::{channel, sync_channel};

    /// Process 0 of two, and what process 1 has of their connection.
    fn pair() -> io::Result<(Arc<Shared>, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let here = TcpStream::connect(listener.local_addr()?)?;
        let (there, _) = listener.accept()?;
        let streams = vec![None, Some(here)];
        Ok((Arc::new(Shared::new(0, Timing::default(), streams, Box::new(|_| {}))?), there))
    }

    #[test]
    fn who_left_is_lost_for_the_reason_that_it_gave() -> io::Result<()> {
        for (text, why) in [("stopped: Ctrl-C", "stopped: Ctrl-C"), ("", ENDED)] {
            let (shared, there) = pair()?;
            write(&mut Some(there), Kind::Farewell, &farewell(1, text))?;
            let stream = lock(&shared.writers[1].as_ref().unwrap().stream).as_ref().unwrap().try_clone()?;
            let reader = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    // The process is gone before its farewell is read.
                    thread::sleep(Duration::from_millis(100));
                    shared.read(1, stream, &sync_channel(1).0, &channel().0);
                }
            });
            let lost = loop {
                if let Err(lost) = shared.send(1, Kind::Data, &[1]) {
                    break lost;
                }
            };
            assert_eq!((lost.rank, lost.why.as_str()), (1, why));
            reader.join().unwrap();
        }
        Ok(())
    }

    #[test]
    fn a_farewell_waits_for_what_is_being_written() -> io::Result<()> {
        let (shared, mut there) = pair()?;
        let writing = lock(&shared.writers[1].as_ref().unwrap().stream);
        let leaving = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.leave(None)
        });
        thread::sleep(Duration::from_millis(50));
        drop(writing);
        leaving.join().unwrap();
        assert_eq!(message(&mut there)?, (Kind::Farewell, 0_u32.to_le_bytes().to_vec()));
        Ok(())
    }
}
