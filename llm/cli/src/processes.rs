//! Several processes of one run: started by torchrun, srun or mpirun, or as copies of this one.

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::exit;

use anyhow::{Context as _, bail};
use tokensieve_base::terminal::be_quiet;
use tokensieve_kernels::machine::take_turns;
use tokensieve_processes::{Copies, Group, Lost, Store, Timing, World};

use crate::interruption::{INTERRUPTED, end, ends_at_once};
use crate::libtorch_errors::caught;

/// The variable with which a user says how many threads a process has.
const THREADS: &str = "OMP_NUM_THREADS";

/// Why a process stops that was interrupted.
const CTRL_C: &str = "Ctrl-C";

/// How a verb that stores what it finds goes on.
pub(crate) const WAY_BACK: &str = "the same command continues, with any number of processes";

/// How many processes share the work.
#[derive(clap::Args, Debug)]
pub(crate) struct Sharing {
    /// Share the work among this many processes on this machine; torchrun, srun and mpirun say it themselves
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    processes: Option<u16>,
}

impl Sharing {
    /// Whether the command line asks for several processes.
    pub(crate) fn is_asked(&self) -> bool {
        self.processes.is_some_and(|asked| asked > 1)
    }

    /// See [`Processes::join`].
    pub(crate) fn join(
        &self,
        way_back: impl Display + Send + Sync + 'static,
    ) -> anyhow::Result<Option<Processes>> {
        Processes::join(self.processes.map(usize::from), way_back)
    }
}

/// The processes that share the work.
pub(crate) struct Processes {
    group: Group,
    speaker: Speaker,
    /// Dropped last: they end when the group has.
    _copies: Option<Copies>,
}

impl Processes {
    /// Joins the processes that a launcher started; starts copies of this program where the user asks for several and
    /// there is no launcher. `None` if this process is alone. `way_back` says how the work is continued when one is lost.
    fn join(
        asked: Option<usize>,
        way_back: impl Display + Send + Sync + 'static,
    ) -> anyhow::Result<Option<Self>> {
        let timing = Timing::default();
        let (world, store, mut copies) = match (World::from_environment()?, asked) {
            (Some(world), Some(asked)) if world.size != asked => {
                bail!("--processes is {asked}, but {} processes were started; leave it out", world.size)
            }
            (Some(world), _) => (world, None, None),
            (None, None | Some(1)) => return Ok(None),
            (None, Some(asked)) => {
                let store = Store::keep(Copies::HOST, 0, timing.join)?;
                ends_at_once();
                let started = Copies::start(asked, store.port());
                let (copies, world) = started.with_context(|| format!("cannot start {asked} processes"))?;
                (world, Some(store), Some(copies))
            }
        };
        if world.rank > 0 {
            be_quiet();
        }
        share_cores(world.local_size);
        take_turns(world.local_rank, world.local_size.unwrap_or(1));
        let speaker = Speaker { rank: world.rank, alone: copies.is_some() || Copies::is_one() };
        // Whoever computes does not look.
        let on_lost = move |lost: &Lost| {
            if is_interruption(lost) {
                end(INTERRUPTED);
            }
            if speaker.speaks(Some(lost)) {
                let _ = writeln!(io::stderr(), "error: {lost}; {way_back}");
            }
            end(1);
        };
        let mut coming = || copies.as_mut().map_or(Ok(()), Copies::coming);
        let group = Group::join_while(&world, store, timing, &mut coming, on_lost).inspect_err(|_| {
            // Nobody is left for them to join.
            Copies::kill(|_| true);
        })?;
        Ok(Some(Self { group, speaker, _copies: copies }))
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// What the work comes to. If that is an error, the others stop, and this process ends here if another one prints it.
    pub(crate) fn checked<T, E: Into<anyhow::Error>>(
        processes: Option<&Self>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> anyhow::Result<T> {
        let outcome = caught(|| work().map_err(Into::into));
        if let (Err(error), Some(processes)) = (&outcome, processes) {
            processes.fail(&format!("{error:#}"));
        }
        outcome
    }

    /// Ends the program, and the others, after Ctrl-C.
    pub(crate) fn end_interrupted(processes: Option<Self>) -> ! {
        if let Some(processes) = processes {
            processes.fail(CTRL_C);
        }
        exit(INTERRUPTED);
    }

    fn fail(&self, error: &str) {
        let lost = self.group.lost();
        self.group.fail(error);
        if let Some(lost) = &lost {
            if is_interruption(lost) {
                end(INTERRUPTED);
            }
            if lost.own_reason().is_none() {
                // What hangs would be waited for.
                Copies::kill(|rank| rank == lost.rank);
            }
        }
        if !self.speaker.speaks(lost.as_ref()) {
            end(1);
        }
    }
}

/// Whether a process stopped because of Ctrl-C, which reached others perhaps later.
fn is_interruption(lost: &Lost) -> bool {
    lost.own_reason() == Some(CTRL_C)
}

/// Who prints errors: every process where each has a log of its own; of copies of this program process 0 alone, or where
/// that one cannot any more, the first one after it.
#[derive(Clone, Copy)]
struct Speaker {
    rank: usize,
    alone: bool,
}

impl Speaker {
    fn speaks(self, lost: Option<&Lost>) -> bool {
        let speaker = usize::from(lost.is_some_and(|lost| lost.rank == 0 && lost.own_reason().is_none()));
        !self.alone || self.rank == speaker
    }
}

/// Each of the processes of a machine computes with its part of the cores, unless the user says otherwise. srun gives
/// each its own.
fn share_cores(processes: Option<usize>) {
    let (Some(processes), None) = (processes, env::var_os(THREADS)) else { return };
    tch::set_num_threads((tch::get_num_threads() / processes as i32).max(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speakers(lost: Option<&Lost>) -> Vec<usize> {
        (0..3).filter(|rank| Speaker { rank: *rank, alone: true }.speaks(lost)).collect()
    }

    #[test]
    fn one_process_prints_the_error() {
        let lost = |rank, why: &str| Lost { rank, size: 3, host: String::new(), why: why.to_owned() };
        assert_eq!(speakers(None), [0]);
        assert_eq!(speakers(Some(&lost(2, "ended without a word"))), [0]);
        assert_eq!(speakers(Some(&lost(0, "ended without a word"))), [1]);
        // It prints the error itself, however early the others learn of it.
        assert_eq!(speakers(Some(&lost(0, "stopped: no such file"))), [0]);
    }
}
