//! Results of jobs on disk.
//!
//! `out/lab/HASH/` is a result: it got that name when everything in it was there. `HASH.partial/` is one being made,
//! or what a killed process left: training and evaluation continue in it. `HASH.lock` is held by the process that
//! makes it, and by the program that it runs there, and is free again when both have ended, however they end.

use super::job::{self, CONFIGURATION};
use super::program::Program;
use super::{Job, Verb, fixture, program};
use crate::cache::{remove_folder, sha256, write_atomically};
use crate::checkout;
use crate::provenance::{self, Host};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokensieve_base::files;
use tokensieve_data::Catalogue;

/// The provenance of a result, in its folder.
const PROVENANCE: &str = "job.json";

/// Where a result comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The job's name when it was made.
    pub name: String,
    /// Verb and settings.
    pub job: serde_json::Value,
    /// The command.
    pub command: String,
    /// SHA-256 of the program.
    pub program_sha256: String,
    /// Commit of the checkout, with `-dirty` when files differed from it.
    pub commit: String,
    /// Seconds of all processes that worked on it.
    pub seconds: f64,
    /// When it was finished (UTC).
    pub date: String,
    /// The machine that finished it.
    pub host: Host,
}

/// Bytes without which no job is begun after one has failed: many times what a job writes before its program starts.
const ROOM: usize = 1 << 20;

/// The folder of results, and what makes them.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    maker: Maker,
    threads: Option<usize>,
    /// What was read of results, see [`Lab::read_once`].
    read: Mutex<HashMap<String, Box<dyn Any + Send>>>,
}

#[derive(Debug)]
enum Maker {
    /// The program, looked for when the first job has to be run, with its hash.
    Program(OnceLock<(Program, String)>),
    /// Made-up results, for tests of what reads them; the folder goes with the lab.
    Fixture { _folder: TempDir },
}

/// Another process runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Lab {
    /// The lab in `out/lab/`.
    pub fn open(out: &Path) -> Self {
        Self {
            folder: absolute(&out.join("lab")),
            maker: Maker::Program(OnceLock::new()),
            threads: None,
            read: Mutex::default(),
        }
    }

    /// A lab with made-up results (see `fixture.rs`), to test tables and drawings; nothing is recorded.
    pub fn fixture() -> Result<Self> {
        let folder =
            TempDir::with_prefix("tokensieve-fixture-").context("making a folder for made-up results")?;
        Ok(Self {
            folder: folder.path().to_owned(),
            maker: Maker::Fixture { _folder: folder },
            threads: None,
            read: Mutex::default(),
        })
    }

    /// The same lab with that many threads for each job.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// The same lab with another program.
    #[cfg(test)]
    pub(super) fn with_program(self, program: PathBuf) -> Self {
        let program = Program::at(program).expect("a test's program is there");
        Self { maker: Maker::Program(OnceLock::from((program, "test".into()))), ..self }
    }

    /// Whether results are made up.
    pub fn is_fixture(&self) -> bool {
        matches!(self.maker, Maker::Fixture { .. })
    }

    /// Whether a set of the catalogue is available, fetched if need be; checked once per process. Made-up results need none.
    ///
    /// # Errors
    /// If it cannot be said: the cache cannot be written.
    pub fn has(&self, set: &str) -> Result<bool> {
        static KNOWN: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
        if self.is_fixture() {
            return Ok(true);
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(set) {
            return Ok(*known);
        }
        let found = match Catalogue::load()?.quiet().fetch_exactly(set) {
            Ok(_) => true,
            Err(tokensieve_data::Error::Unobtainable(_)) => false,
            Err(error) => return Err(error.into()),
        };
        known.insert(set.to_owned(), found);
        Ok(found)
    }

    /// What `read` finds under this name, which several figures ask for; read again as long as there is nothing.
    pub(crate) fn read_once<T: Clone + Send + 'static>(
        &self,
        name: &str,
        read: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let known = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(name).and_then(|found| found.downcast_ref::<T>()) {
            return Ok(Some(found.clone()));
        }
        let found = read()?;
        if let Some(found) = &found {
            known().insert(name.to_owned(), Box::new(found.clone()));
        }
        Ok(found)
    }

    /// Where a job's result lies, or will lie.
    pub fn place(&self, job: &Job) -> PathBuf {
        self.folder.join(job.id())
    }

    /// A result's provenance, if the job is done and its result is not damaged.
    pub fn done(&self, job: &Job) -> Option<Provenance> {
        self.result(job).ok().flatten()
    }

    /// A result's provenance, if the job is done. A damaged one is an error: hours of work may lie beside it.
    pub fn result(&self, job: &Job) -> Result<Option<Provenance>> {
        let folder = self.place(job);
        let path = folder.join(PROVENANCE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(anyhow::Error::from),
        };
        let known = text.and_then(|text| Ok(serde_json::from_str(&text)?));
        known.map(Some).with_context(|| {
            format!(
                "{}: {} is damaged: restore it, or move {} away and the job is run again",
                job.name,
                path.display(),
                folder.display()
            )
        })
    }

    /// Runs a job, and before it the jobs that it needs, unless they are done. Waits for a job that another process runs.
    /// `print` gets lines about the progress. Returns the folder and whether this very job had to be run.
    pub fn make(&self, job: &Job, print: &dyn Fn(&str)) -> Result<(PathBuf, bool)> {
        if self.result(job)?.is_some() {
            return Ok((self.place(job), false));
        }
        for needed in job.needs() {
            self.make(needed, print)?;
        }
        let lock = files::wait_for(&self.lock(job)?);
        let lock = lock.with_context(|| format!("waiting for the process that runs {}", job.name))?;
        self.make_locked(job, &lock, print)
    }

    /// Runs a job whose needs are done, unless another process does.
    pub fn try_make(&self, job: &Job, print: &dyn Fn(&str)) -> Result<Result<bool, Busy>> {
        match files::claim(&self.lock(job)?).context("locking a job")? {
            Some(lock) => self.make_locked(job, &lock, print).map(|(_, made)| Ok(made)),
            None => Ok(Err(Busy)),
        }
    }

    /// Fails where no other job can be done: the program is another one, or nothing can be written any more, as on a full
    /// disk.
    pub(super) fn can_go_on(&self) -> Result<()> {
        if let Maker::Program(found) = &self.maker
            && let Some((program, _)) = found.get()
        {
            program.is_unchanged()?;
        }
        let file = self.folder.join(format!("room-{}", std::process::id()));
        let written = fs::write(&file, vec![1; ROOM]);
        let _ = fs::remove_file(&file);
        written.with_context(|| format!("writing in {}", self.folder.display()))
    }

    /// The path of a job's lock.
    fn lock(&self, job: &Job) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder).with_context(|| format!("making {}", self.folder.display()))?;
        Ok(self.place(job).with_extension("lock"))
    }

    fn make_locked(&self, job: &Job, lock: &File, print: &dyn Fn(&str)) -> Result<(PathBuf, bool)> {
        let folder = self.place(job);
        // Another process may have finished it while this one waited.
        if self.result(job)?.is_some() {
            return Ok((folder, false));
        }
        let partial = folder.with_extension("partial");
        let before = spent(&partial);
        if !matches!(job.verb, Verb::Train | Verb::Evaluate) {
            remove_folder(&partial)?;
        }
        fs::create_dir_all(&partial).with_context(|| format!("making {}", partial.display()))?;
        let start = Instant::now();
        let (command, program_sha256) = match &self.maker {
            Maker::Fixture { .. } => {
                fixture::write(job, &partial, &|job| self.place(job))?;
                ("made up for tests".into(), String::new())
            }
            Maker::Program(found) => {
                // What may keep this from being written ends the job, too, and that is what counts then.
                let note = || {
                    let seconds = before + start.elapsed().as_secs_f64();
                    let _ = files::write_atomically(&partial.join(SPENT), seconds.to_string());
                };
                let noted = Cell::new(start);
                let run = self.run(found, job, &partial, lock, &|line| {
                    if noted.get().elapsed() > BETWEEN_NOTES {
                        noted.set(Instant::now());
                        note();
                    }
                    print(line);
                });
                if run.is_err() {
                    note();
                }
                run.with_context(|| job.name.clone())?
            }
        };
        let provenance = Provenance {
            name: job.name.clone(),
            job: job.describe(),
            command,
            program_sha256,
            commit: if self.is_fixture() { String::new() } else { checkout::commit() },
            seconds: if self.is_fixture() { 0.0 } else { before + start.elapsed().as_secs_f64() },
            date: provenance::now(),
            host: Host { device: device(&partial), ..Host::here() },
        };
        tidy(job, &partial)?;
        write_atomically(&partial.join(PROVENANCE), serde_json::to_string_pretty(&provenance)? + "\n")?;
        // What has no provenance is no result: somebody removed a part of it.
        remove_folder(&folder)?;
        fs::rename(&partial, &folder).with_context(|| format!("finishing {}", folder.display()))?;
        Ok((folder, true))
    }

    fn run(
        &self,
        found: &OnceLock<(Program, String)>,
        job: &Job,
        partial: &Path,
        lock: &File,
        print: &dyn Fn(&str),
    ) -> Result<(String, String)> {
        let (program, hash) = if let Some(known) = found.get() {
            known
        } else {
            let program = program::find()?;
            let hash = sha256(&fs::read(&program.path)?);
            found.get_or_init(|| (program, hash))
        };
        let place = |job: &Job| self.place(job);
        if job.is_configured() {
            write_atomically(&partial.join(CONFIGURATION), job.configuration(partial, &place))?;
        }
        let mut typed = Vec::new();
        for job in std::iter::once(job).chain(job.following()) {
            let arguments = job.command(partial, &place);
            program.is_unchanged()?;
            let ran = program::run(&program.path, &arguments, partial, lock, self.threads, print);
            if let Err(changed) = program.is_unchanged() {
                // Nobody can say which of the two worked there.
                remove_folder(partial)?;
                return Err(changed);
            }
            ran?;
            typed.push(program::typed(&program.path, &arguments));
            let output = partial.join(job.verb.output());
            if !output.exists() {
                bail!("`{}` ended well but left no {}", typed[typed.len() - 1], output.display());
            }
        }
        Ok((typed.join(" && "), hash.clone()))
    }
}

/// Seconds that processes worked on a partial result, the last of which may have been killed.
const SPENT: &str = "seconds";

/// How often they are noted while a program runs.
const BETWEEN_NOTES: Duration = Duration::from_secs(30);

fn spent(partial: &Path) -> f64 {
    fs::read_to_string(partial.join(SPENT)).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// The device that the program computed on, where it says so and it is not the processor.
fn device(partial: &Path) -> Option<String> {
    let of_run = || serde_json::from_str(&fs::read_to_string(partial.join("run.json")).ok()?).ok();
    let of_answers = || {
        let mut header = String::new();
        let answers = File::open(partial.join("evaluation.answers.jsonl")).ok()?;
        BufReader::new(answers).read_line(&mut header).ok()?;
        Some(serde_json::from_str::<serde_json::Value>(&header).ok()?["header"].take())
    };
    let said: serde_json::Value = of_run().or_else(of_answers)?;
    said["device"].as_str().filter(|device| *device != "Cpu").map(str::to_owned)
}

/// Removes what only an unfinished run needs.
fn tidy(job: &Job, partial: &Path) -> Result<()> {
    remove_folder(&partial.join("checkpoints"))?;
    if job.following().is_some() {
        remove_folder(&partial.join(job::MODEL))?;
    }
    let spent = partial.join(SPENT);
    if spent.exists() { fs::remove_file(&spent).context("removing the note of time spent") } else { Ok(()) }
}

/// The program runs in the same folder, but a configuration that names its data by a full path can be moved.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}
