//! Many jobs, in an order in which each comes after those that it needs, by several workers and on several machines.
//!
//! Machines that see the same folder share the work: a job belongs to the shard that its hash falls into, and each shard
//! runs its own jobs first. If they need a job of another shard, that job is left to its owner while the owner runs it, and
//! run here otherwise. So shards may run at the same time, one after the other, or on folders of their own.

use super::store::Busy;
use super::{Job, Lab, Verb};
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One share of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    /// All of the work.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// `2/4`: the second of four.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index @ 1.., of)) if index <= of => Ok(Self { index: index - 1, of }),
            _ => Err(format!("`{text}` is no share; write 2/4 for the second of four")),
        }
    }

    /// Whether a job is this share's.
    pub fn owns(self, job: &Job) -> bool {
        let head = &job.id()[..15];
        u64::from_str_radix(head, 16).is_ok_and(|number| number % self.of == self.index)
    }
}

/// Progress of a queue.
#[derive(Debug)]
pub enum Event<'a> {
    /// A job begins; so many of so many are done.
    Begun(&'a Job, usize, usize),
    /// The newest line that a job's program printed.
    Output(&'a Job, &'a str),
    /// A job is done, after so many seconds.
    Done(&'a Job, f64),
    /// A job failed.
    Failed(&'a Job, &'a anyhow::Error),
    /// Other processes run everything that could be run now.
    Waiting,
}

/// The jobs and all that they need, each once, needed ones first.
pub fn with_needs(jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    fn add(job: &Arc<Job>, seen: &mut BTreeSet<String>, all: &mut Vec<Arc<Job>>) {
        if seen.insert(job.id()) {
            job.needs().for_each(|needed| add(needed, seen, all));
            all.push(job.clone());
        }
    }
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for job in jobs {
        add(job, &mut seen, &mut all);
    }
    all
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Running,
    Done,
    Failed,
}

/// A job of the queue, with the places of those that it needs.
struct Entry {
    job: Arc<Job>,
    needs: Vec<usize>,
    mine: bool,
    state: State,
}

/// How long to wait while others run everything that could be run.
const PAUSE: Duration = Duration::from_millis(200);

/// Jobs that failed, and why no other is begun, if so.
#[derive(Default)]
struct Failures {
    jobs: Vec<anyhow::Error>,
    stop: Option<anyhow::Error>,
}

/// Runs all jobs of a shard, `workers` at a time. A failed job stops only those that need it, unless it is found then that
/// no other can be done.
pub fn run(
    lab: &Lab,
    jobs: &[Arc<Job>],
    shard: Shard,
    workers: usize,
    event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<()> {
    let entries = Mutex::new(entries(lab, jobs, shard));
    let failures = Mutex::new(Failures::default());
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| work(lab, &entries, &failures, event));
        }
    });
    let entries = entries.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Failures { jobs, stop } = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if jobs.is_empty() {
        return Ok(());
    }
    let left = entries.iter().filter(|entry| entry.mine && entry.state == State::Open).count();
    let left = match stop {
        None => format!("{left} more could not be done without them"),
        Some(error) => format!("{left} more were not begun: {error:#}"),
    };
    let texts: Vec<String> = jobs.iter().map(|error| format!("{error:#}")).collect();
    bail!(
        "{} of {} jobs failed, and {left}. The same command does what is missing.\n\n{}",
        jobs.len(),
        entries.len(),
        texts.join("\n\n")
    )
}

fn entries(lab: &Lab, jobs: &[Arc<Job>], shard: Shard) -> Vec<Entry> {
    let all = with_needs(jobs);
    let places: BTreeMap<String, usize> = all.iter().enumerate().map(|(at, job)| (job.id(), at)).collect();
    let state = |job: &Job| if lab.done(job).is_some() { State::Done } else { State::Open };
    let entry = |job: Arc<Job>| Entry {
        needs: job.needs().filter_map(|needed| places.get(&needed.id()).copied()).collect(),
        mine: shard.owns(&job),
        state: state(&job),
        job,
    };
    all.iter().cloned().map(entry).collect()
}

/// What a worker should do next: run the first of these that no other process runs, or wait until another worker's job ends
/// where there are none; `None` when nothing is left that can be run.
fn next(entries: &[Entry]) -> Option<Vec<usize>> {
    let ready = |entry: &Entry| {
        entry.state == State::Open && entry.needs.iter().all(|at| entries[*at].state == State::Done)
    };
    let mut wanted = vec![false; entries.len()];
    for (at, entry) in entries.iter().enumerate().rev() {
        wanted[at] |= entry.mine;
        // Needed jobs stand before those that need them.
        if wanted[at] && entry.state == State::Open {
            entry.needs.iter().for_each(|needed| wanted[*needed] = true);
        }
    }
    let candidates = |mine: bool| -> Vec<usize> {
        let fits = |at: &usize| wanted[*at] && entries[*at].mine == mine && ready(&entries[*at]);
        (0..entries.len()).filter(fits).collect()
    };
    let list = [candidates(true), candidates(false)].concat();
    let waits = entries.iter().any(|entry| entry.state == State::Running);
    (waits || !list.is_empty()).then_some(list)
}

fn work(
    lab: &Lab,
    entries: &Mutex<Vec<Entry>>,
    failures: &Mutex<Failures>,
    event: &(dyn Fn(Event<'_>) + Sync),
) {
    let locked = || entries.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = || failures.lock().unwrap_or_else(PoisonError::into_inner);
    let mut passed = BTreeSet::new();
    while failed().stop.is_none() {
        let mut now = locked();
        let Some(list) = next(&now) else { return };
        // One that somebody else is at is passed over until all others have been tried.
        let Some(at) = list.iter().copied().find(|at| !passed.contains(at)) else {
            drop(now);
            if !passed.is_empty() {
                event(Event::Waiting);
            }
            passed.clear();
            sleep(PAUSE);
            continue;
        };
        now[at].state = State::Running;
        let job = now[at].job.clone();
        let done = now.iter().filter(|entry| entry.state == State::Done).count();
        let total = now.len();
        drop(now);
        let known = lab.done(&job).is_some();
        if !known {
            event(Event::Begun(&job, done, total));
        }
        let start = Instant::now();
        let outcome = lab.try_make(&job, &|line| event(Event::Output(&job, line)));
        locked()[at].state = match outcome {
            Ok(Ok(made)) => {
                if made {
                    event(Event::Done(&job, start.elapsed().as_secs_f64()));
                }
                passed.clear();
                State::Done
            }
            Ok(Err(Busy)) => {
                passed.insert(at);
                State::Open
            }
            Err(error) => {
                event(Event::Failed(&job, &error));
                let others = lab.can_go_on();
                let mut failed = failed();
                failed.jobs.push(error);
                failed.stop = failed.stop.take().or(others.err());
                State::Failed
            }
        };
    }
}

/// Expected seconds of the jobs that are not done, each verb's guesses scaled by how long its done jobs took.
pub fn estimate(lab: &Lab, jobs: &[Arc<Job>]) -> f64 {
    let mut known: BTreeMap<Verb, [f64; 2]> = BTreeMap::new();
    let mut missing: BTreeMap<Verb, f64> = BTreeMap::new();
    for job in jobs {
        if let Some(done) = lab.done(job) {
            let sums = known.entry(job.verb).or_default();
            sums[0] += done.seconds;
            sums[1] += job.seconds;
        } else {
            *missing.entry(job.verb).or_default() += job.seconds;
        }
    }
    let scale = |verb: &Verb| known.get(verb).map_or(1.0, |[took, guessed]| took / guessed.max(1e-9));
    // An empty sum is −0.
    0.0 + missing.iter().map(|(verb, seconds)| seconds * scale(verb)).sum::<f64>()
}
