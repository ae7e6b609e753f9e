//! What all processes do together: sums, gathering, waiting for each other; and letters, which they send while they compute.

use std::fmt;
use std::mem::take;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::link::{ENDED, Kind, LARGEST, Letter, Lost, OnLost, Shared};
use crate::timing::Timing;

/// Messages of a process that wait to be taken (choice): 2 MiB.
const WAITING: usize = 8;

/// How often a process that waits looks whether another one is lost.
const LOOK: Duration = Duration::from_millis(100);

/// f32 values of the largest message.
const VALUES: usize = LARGEST / 4;

/// All processes, seen from one of them. Every process makes the same calls in the same order.
pub struct Group {
    rank: usize,
    shared: Arc<Shared>,
    /// By rank; the process' own is `None`.
    inboxes: Vec<Option<Receiver<Vec<u8>>>>,
    /// What the others sent beside the calls that all make.
    letters: Receiver<Letter>,
    /// Beats end without it.
    beats: Option<Sender<()>>,
}

/// What the processes do together, so that one that does something else is noticed.
#[derive(Clone, Copy)]
enum Call {
    Gather = 1,
    Sum = 2,
}

impl Group {
    /// A group of connected processes; `streams` by rank, the process' own is `None`.
    pub(crate) fn new(
        rank: usize,
        streams: Vec<Option<TcpStream>>,
        timing: Timing,
        on_lost: Box<OnLost>,
    ) -> std::io::Result<Self> {
        let mut readers = Vec::new();
        for stream in streams.iter().flatten() {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(timing.silence))?;
        }
        for stream in &streams {
            readers.push(stream.as_ref().map(TcpStream::try_clone).transpose()?);
        }
        let shared = Arc::new(Shared::new(rank, timing, streams, on_lost)?);
        let (letter_sender, letters) = channel();
        let inbox = |(from, stream): (usize, Option<TcpStream>)| {
            let stream = stream?;
            let (sender, inbox) = sync_channel(WAITING);
            let (shared, letters) = (Arc::clone(&shared), letter_sender.clone());
            thread::spawn(move || shared.read(from, stream, &sender, &letters));
            Some(inbox)
        };
        let inboxes = readers.into_iter().enumerate().map(inbox).collect();
        let (beats, ended) = channel();
        let beating = Arc::clone(&shared);
        thread::spawn(move || {
            while ended.recv_timeout(timing.beat) == Err(RecvTimeoutError::Timeout) {
                beating.beat();
            }
        });
        Ok(Self { rank, shared, inboxes, letters, beats: Some(beats) })
    }

    /// This process' number, counted from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.shared.size()
    }

    /// Adds up all processes' vectors, in the order of the processes. All are of one length.
    pub fn all_reduce_sum(&self, values: &mut [f32]) -> Result<(), Lost> {
        let lengths = self.meet(Call::Sum, values.len())?;
        if let Some(rank) = lengths.iter().position(|length| *length != values.len()) {
            return Err(self.differs(rank));
        }
        let n = self.size();
        let mut rest = values;
        let mut parts: Vec<&mut [f32]> = Vec::with_capacity(n);
        for (rank, all) in lengths.iter().enumerate() {
            let length = all * (rank + 1) / n - all * rank / n;
            let (part, after) = take(&mut rest).split_at_mut(length);
            parts.push(part);
            rest = after;
        }
        let (shared, sums) = (&self.shared, take(&mut parts[self.rank]));
        self.sending(|to| send_values(shared, to, parts[to]), || self.add_up(sums))?;
        let sums: &[f32] = sums;
        self.sending(
            |to| send_values(shared, to, sums),
            || {
                // From all in turn: who waited until another's whole part had come would be taken for lost.
                let mut parts: Vec<_> = parts.iter_mut().map(|part| part.chunks_mut(VALUES)).collect();
                let most = parts.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
                for _ in 0..most {
                    for (from, chunks) in parts.iter_mut().enumerate() {
                        let Some(chunk) = chunks.next() else { continue };
                        let bytes = self.receive(from)?;
                        self.each(from, &bytes, chunk, |value, received| *value = received)?;
                    }
                }
                Ok(())
            },
        )
    }

    /// Adds what the others send to this process' part, in the order of the processes.
    fn add_up(&self, part: &mut [f32]) -> Result<(), Lost> {
        for chunk in part.chunks_mut(VALUES) {
            let own = chunk.to_vec();
            chunk.fill(0.0);
            for rank in 0..self.size() {
                if rank == self.rank {
                    chunk.iter_mut().zip(&own).for_each(|(sum, value)| *sum += value);
                } else {
                    let bytes = self.receive(rank)?;
                    self.each(rank, &bytes, chunk, |sum, value| *sum += value)?;
                }
            }
        }
        Ok(())
    }

    /// Every process' bytes, by rank.
    pub fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Lost> {
        let lengths = self.meet(Call::Gather, bytes.len())?;
        let mut gathered: Vec<Vec<u8>> = vec![Vec::new(); lengths.len()];
        gathered[self.rank] = bytes.to_vec();
        let shared = &self.shared;
        let send = |to| bytes.chunks(LARGEST).try_for_each(|chunk| shared.send(to, Kind::Data, chunk));
        self.sending(send, || {
            // One message from each in turn: a process whose messages nobody reads would be taken for lost.
            let is_short = |gathered: &[Vec<u8>], from: usize| gathered[from].len() < lengths[from];
            let mut short: Vec<usize> =
                (0..lengths.len()).filter(|from| is_short(&gathered, *from)).collect();
            while !short.is_empty() {
                for from in &short {
                    gathered[*from].extend(self.receive(*from)?);
                }
                short.retain(|from| is_short(&gathered, *from));
            }
            Ok(())
        })?;
        Ok(gathered)
    }

    /// The bytes of process 0; the others' own do not count.
    pub fn broadcast(&self, bytes: &[u8]) -> Result<Vec<u8>, Lost> {
        let own = if self.rank == 0 { bytes } else { &[] };
        Ok(self.gather(own)?.swap_remove(0))
    }

    /// The sums of all processes' numbers, added in the order of the processes.
    pub fn sums<const N: usize>(&self, values: [f64; N]) -> Result<[f64; N], Lost> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut sums = [0.0; N];
        for bytes in self.gather(&bytes)? {
            for (sum, value) in sums.iter_mut().zip(bytes.as_chunks().0) {
                *sum += f64::from_le_bytes(*value);
            }
        }
        Ok(sums)
    }

    /// Whether it is so for any process.
    pub fn any(&self, is: bool) -> Result<bool, Lost> {
        Ok(self.gather(&[u8::from(is)])?.contains(&vec![1]))
    }

    /// Waits until all processes are here.
    pub fn wait(&self) -> Result<(), Lost> {
        self.gather(&[]).map(drop)
    }

    /// Sends a letter, which the other process takes when it likes: neither waits for the other.
    pub fn send_letter(&self, to: usize, bytes: &[u8]) -> Result<(), Lost> {
        let (parts, last) = bytes.split_at(bytes.len() / LARGEST * LARGEST);
        parts.chunks(LARGEST).try_for_each(|part| self.shared.send(to, Kind::Part, part))?;
        self.shared.send(to, Kind::Letter, last)
    }

    /// A letter, and who sent it: one that has come, or comes before so much time has passed. Those of one process come in the
    /// order in which they were sent. Who waits for one while a process has left waits in vain.
    pub fn letter(&self, within: Duration) -> Result<Option<Letter>, Lost> {
        // Whoever had left by now has no letter on its way.
        let departed = self.shared.departed().filter(|_| !within.is_zero());
        match self.letters.recv_timeout(within) {
            Ok(letter) => Ok(Some(letter)),
            Err(RecvTimeoutError::Timeout) => match (self.shared.lost(), departed) {
                (Some(lost), _) => Err(lost),
                (None, Some(rank)) => Err(self.shared.lose(rank, ENDED.to_owned())),
                (None, None) => Ok(None),
            },
            Err(RecvTimeoutError::Disconnected) => {
                let other = usize::from(self.rank == 0);
                Err(self.shared.lose(other, ENDED.to_owned()))
            }
        }
    }

    /// The process that is lost, if one is.
    pub fn lost(&self) -> Option<Lost> {
        self.shared.lost()
    }

    /// The process that is lost, if one is by then.
    pub fn lost_within(&self, patience: Duration) -> Option<Lost> {
        let until = Instant::now() + patience;
        while self.lost().is_none() && Instant::now() < until {
            thread::sleep(LOOK.min(patience));
        }
        self.lost()
    }

    /// Leaves because of an error, and sends it to the others.
    pub fn fail(&self, why: &str) {
        self.shared.leave(Some(why));
        self.shared.linger();
    }

    /// Waits until all processes make this call, and returns their lengths. Before that none sends more than a few bytes,
    /// so that connections stay free for beats while some still compute.
    fn meet(&self, call: Call, length: usize) -> Result<Vec<usize>, Lost> {
        let mut head = [0; 9];
        head[0] = call as u8;
        head[1..].copy_from_slice(&(length as u64).to_le_bytes());
        let peers = || (0..self.size()).filter(|rank| *rank != self.rank);
        peers().try_for_each(|to| self.shared.send(to, Kind::Data, &head))?;
        let mut lengths = vec![length; self.size()];
        for from in peers() {
            let bytes = self.receive(from)?;
            lengths[from] = match bytes.split_first().map(|(kind, length)| (*kind, length.try_into())) {
                Some((kind, Ok(length))) if kind == call as u8 => u64::from_le_bytes(length) as usize,
                _ => return Err(self.differs(from)),
            };
        }
        Ok(lengths)
    }

    /// Sends to each of the others on a thread of its own while this one receives.
    fn sending(
        &self,
        send: impl Fn(usize) -> Result<(), Lost> + Sync,
        receive: impl FnOnce() -> Result<(), Lost>,
    ) -> Result<(), Lost> {
        let (rank, size) = (self.rank, self.size());
        let send = &send;
        thread::scope(|scope| {
            let peers = (0..size).filter(|to| *to != rank);
            let sent: Vec<_> = peers.map(|to| scope.spawn(move || send(to))).collect();
            let received = receive();
            // A send that fails has recorded the loss.
            sent.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))?;
            received
        })
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>, Lost> {
        let Some(inbox) = &self.inboxes[from] else { return Ok(Vec::new()) };
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(bytes) => return Ok(bytes),
                Err(RecvTimeoutError::Timeout) => self.shared.lost().map_or(Ok(()), Err)?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.shared.lose(from, ENDED.to_owned()));
                }
            }
        }
    }

    /// Combines each value with the one received for it.
    fn each(
        &self,
        from: usize,
        bytes: &[u8],
        values: &mut [f32],
        combine: impl Fn(&mut f32, f32),
    ) -> Result<(), Lost> {
        let (received, rest) = bytes.as_chunks();
        if received.len() != values.len() || !rest.is_empty() {
            return Err(self.differs(from));
        }
        values.iter_mut().zip(received).for_each(|(value, bytes)| combine(value, f32::from_le_bytes(*bytes)));
        Ok(())
    }

    fn differs(&self, rank: usize) -> Lost {
        let why =
            "does something else at this point: all processes need the same program, arguments and data";
        self.shared.lose(rank, why.to_owned())
    }
}

fn send_values(shared: &Arc<Shared>, to: usize, values: &[f32]) -> Result<(), Lost> {
    let mut bytes = vec![0; LARGEST.min(4 * values.len())];
    for chunk in values.chunks(VALUES) {
        let bytes = &mut bytes[..4 * chunk.len()];
        bytes.as_chunks_mut().0.iter_mut().zip(chunk).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
        shared.send(to, Kind::Data, bytes)?;
    }
    Ok(())
}

impl Drop for Group {
    fn drop(&mut self) {
        self.beats = None;
        self.shared.leave(thread::panicking().then_some("it panicked"));
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of {}", self.rank, self.size())
    }
}

/// Of what all processes gathered: why they cannot work together, if one has something else than process 0.
pub fn all_same(what: &str, all: &[Vec<u8>]) -> Result<(), String> {
    let differs = all.iter().position(|other| *other != all[0]);
    differs.map_or(Ok(()), |rank| {
        Err(format!("process {rank} has another {what} than process 0: all must have the same files"))
    })
}

#[cfg(test)]
mod tests;
