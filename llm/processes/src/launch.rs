//! Copies of this program as the other processes of a group on this machine.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::world::World;

/// How long copies may take to end after the group has (choice).
const PATIENCE: Duration = Duration::from_secs(15);

/// Copies of this program: processes 1, 2, … of a group whose process 0 is this one. They end with it.
#[derive(Debug)]
pub struct Copies(Vec<Child>);

impl Copies {
    /// Where they find the group's store.
    pub const HOST: &str = "127.0.0.1";

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
            // Ctrl-C reaches this process alone, which tells the others when to stop.
            copies.0.push(command.process_group(0).spawn()?);
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
}

impl Drop for Copies {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        for copy in &mut self.0 {
            while matches!(copy.try_wait(), Ok(None)) && Instant::now() < until {
                sleep(Duration::from_millis(10));
            }
            // Whatever it hangs in.
            let _ = copy.kill();
            let _ = copy.wait();
        }
    }
}
