//! Copies of this program as the other processes of a group on this machine.
#![allow(unsafe_code)] // Signals to copies.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::world::World;

/// How long copies may take to end after the group has (choice).
const PATIENCE: Duration = Duration::from_secs(15);

/// How long the system may take to end a copy that was killed (choice).
const KILLED: Duration = Duration::from_secs(1);

/// Rank and process id of the copies that are not known to have ended, whose ids are therefore no other process'.
static RUNNING: Mutex<Vec<(usize, u32)>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<(usize, u32)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies of this program: processes 1, 2, … of a group whose process 0 is this one. They end with it.
#[derive(Debug)]
pub struct Copies(Vec<Child>);

impl Copies {
    /// Where they find the group's store.
    pub const HOST: &str = "127.0.0.1";

    /// The variable by which a copy knows that it is one.
    const VARIABLE: &str = "TOKENSIEVE_COPY";

    /// Whether this process is a copy.
    pub fn is_one() -> bool {
        env::var_os(Self::VARIABLE).is_some()
    }

    /// Ends this process' copies of some ranks at once, whatever they hang in.
    pub fn kill(ranks: impl Fn(usize) -> bool) {
        for (_, id) in running().iter().filter(|(rank, _)| ranks(*rank)) {
            // SAFETY: a signal to a child that has not been waited for.
            unsafe { libc::kill(*id as i32, libc::SIGKILL) };
        }
    }

    /// Starts them with this process' arguments; they find the group's store at this port. Returns them with what this
    /// process is to the group.
    pub fn start(size: usize, port: u16) -> io::Result<(Self, World)> {
        let mut copies = Self(Vec::new());
        for rank in 1..size {
            let mut command = Command::new(env::current_exe()?);
            command.args(env::args_os().skip(1)).stdin(Stdio::null()).stdout(Stdio::null());
            for (name, value) in
                [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", size), ("LOCAL_WORLD_SIZE", size)]
            {
                command.env(name, value.to_string());
            }
            command.env_remove("TORCHELASTIC_USE_AGENT_STORE").env_remove("TORCHELASTIC_RESTART_COUNT");
            command.env("MASTER_ADDR", Self::HOST).env("MASTER_PORT", port.to_string());
            command.env(Self::VARIABLE, "1");
            // Ctrl-C reaches this process alone, which tells the others when to stop.
            let copy = command.process_group(0).spawn()?;
            running().push((rank, copy.id()));
            copies.0.push(copy);
        }
        let world = World {
            rank: 0,
            size,
            local_rank: 0,
            local_size: Some(size),
            address: Self::HOST.to_owned(),
            port,
            store_is_kept: false,
            attempt: String::new(),
        };
        Ok((copies, world))
    }

    /// An error if one has ended.
    pub fn coming(&mut self) -> Result<(), Error> {
        let size = self.0.len();
        for (copy, rank) in self.0.iter_mut().zip(1..) {
            if let Some(status) = status(copy) {
                let what = format!("process {rank} of 0 to {size} ended before it joined ({status})");
                return Err(Error::Join(what));
            }
        }
        Ok(())
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        for copy in &mut self.0 {
            if !ends(copy, until) {
                let _ = copy.kill();
                // Not longer: the system may be unable to end it, for instance while a disk does not answer.
                ends(copy, Instant::now() + KILLED);
            }
        }
    }
}

/// How it has ended, if it has.
fn status(copy: &mut Child) -> Option<ExitStatus> {
    let mut running = running();
    let status = copy.try_wait().ok().flatten();
    if status.is_some() {
        running.retain(|(_, id)| *id != copy.id());
    }
    status
}

/// Waits until it has ended; whether it has by then.
fn ends(copy: &mut Child, until: Instant) -> bool {
    while status(copy).is_none() {
        if Instant::now() >= until {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    true
}
