//! The `tokensieve` program: found, run as a subprocess, its failures reported with its own last lines.
#![allow(unsafe_code)] // What a subprocess does before it begins.

use crate::code;
use anyhow::{Context as _, Result, bail, ensure};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;
use tokensieve_base::terminal::quoted;

/// Name of the file in a result's folder with everything that the program printed.
pub(crate) const LOG: &str = "log.txt";
/// How many of its last lines an error shows.
const LAST_LINES: usize = 12;

/// What builds the program beside this one.
const BUILD: &str = "cargo build --release -p tokensieve-cli --bin tokensieve";

/// A program, and which file it was when it was found.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub(super) path: PathBuf,
    file: Identity,
}

/// What tells a file from another in its place: device, inode, size, and when it was written, in seconds and nanoseconds.
type Identity = (u64, u64, u64, i64, i64);

impl Program {
    pub(super) fn at(path: PathBuf) -> Result<Self> {
        Ok(Self { file: identity(&path)?, path })
    }

    /// Fails if another file is in its place: somebody compiled while jobs were run.
    pub(super) fn is_unchanged(&self) -> Result<()> {
        ensure!(
            identity(&self.path).is_ok_and(|file| file == self.file),
            "{} was built anew or replaced while this ran, and results are filed under the sources of the one that it was; \
             type the command again",
            self.path.display()
        );
        Ok(())
    }
}

fn identity(path: &Path) -> Result<Identity> {
    let about = fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    Ok((about.dev(), about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

/// Where the program is: `TOKENSIEVE_BIN`, else beside this program. Results are filed under the hash of its sources, so
/// it must be built from the very sources that this program was.
pub fn find() -> Result<Program> {
    // Asked once: whoever runs it makes sure that it is the same file.
    static FOUND: OnceLock<Program> = OnceLock::new();
    if let Some(known) = FOUND.get() {
        return Ok(known.clone());
    }
    let program = Program::at(look(env::var_os("TOKENSIEVE_BIN"))?)?;
    check(&program.path)?;
    Ok(FOUND.get_or_init(|| program).clone())
}

/// `named`: what `TOKENSIEVE_BIN` holds.
pub(super) fn look(named: Option<OsString>) -> Result<PathBuf> {
    if let Some(path) = named.filter(|path| !path.is_empty()).map(PathBuf::from) {
        if path.is_file() {
            return Ok(path);
        }
        bail!("TOKENSIEVE_BIN names {}, which is no file", path.display());
    }
    let here = env::current_exe().context("finding the folder of this program")?;
    let beside = here.with_file_name(format!("tokensieve{}", env::consts::EXE_SUFFIX));
    if beside.is_file() {
        return Ok(beside);
    }
    bail!(
        "the program `tokensieve`, which trains and evaluates language models, is not built ({} is missing). Type\n    \
         ./just setup libtorch model\n    {BUILD}\nor let `./just reproduce` do both; TOKENSIEVE_BIN names a program \
         elsewhere",
        beside.display()
    )
}

/// Rejects a program that was built from other sources than this one, or does not run.
pub(super) fn check(program: &Path) -> Result<()> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting {}", program.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`{} --version` failed ({}): {}", program.display(), output.status, words.trim());
    }
    let version = String::from_utf8_lossy(&output.stdout);
    let theirs = version.lines().find_map(|line| line.strip_prefix("code "));
    if theirs == Some(code::ALL) {
        return Ok(());
    }
    bail!(
        "{} was built from other sources than this program, whose results are filed under the sources' hash ({}, here \
         {}). Build both anew:\n    cargo build --release --bin paper\n    {BUILD}",
        program.display(),
        theirs.unwrap_or("it names none"),
        code::ALL,
    )
}

/// Runs the program to its end, its output going to the end of the folder's log, which may hold that of a program before it or
/// of an interrupted run; `print` gets its newest line now and then. The folder's lock is the subprocess's too.
pub(crate) fn run(
    program: &Path,
    arguments: &[String],
    folder: &Path,
    lock: &File,
    threads: Option<usize>,
    print: &dyn Fn(&str),
) -> Result<()> {
    let log = folder.join(LOG);
    let opened = File::options().append(true).create(true).open(&log);
    let file = opened.with_context(|| format!("writing {}", log.display()))?;
    let begin = usize::try_from(file.metadata()?.len())?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    if let Some(threads) = threads {
        for name in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"] {
            command.env(name, threads.to_string());
        }
    }
    end_with_this_one(&mut command, lock);
    let mut child = Child(command.spawn().with_context(|| format!("starting {}", program.display()))?);
    let mut pause = Duration::from_millis(5);
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(500));
        if let Some(line) = last_lines(&log, begin, 1).pop() {
            print(&line);
        }
    };
    if status.success() {
        return Ok(());
    }
    bail!(
        "`tokensieve {}` failed ({status}). Its last lines:\n    {}\nAll of them: {}\nTo repeat it:\n    {}",
        arguments.first().map_or("", String::as_str),
        last_lines(&log, begin, LAST_LINES).join("\n    "),
        log.display(),
        typed(program, arguments)
    )
}

/// Has the system end the subprocess with a checkpoint when this program ends, however that happens: it would keep the cores,
/// and its folder, from whoever continues the work. Until it has ended it holds the lock, so that nobody begins beside it.
fn end_with_this_one(command: &mut Command, lock: &File) {
    let lock = lock.as_raw_fd();
    let prepare = move || {
        // SAFETY: system calls that concern the subprocess alone, which has every descriptor that was open here.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0
                || libc::fcntl(lock, libc::F_SETFD, 0) != 0
        };
        if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// A subprocess that does not outlive what waits for it.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already unless something went wrong here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command as a person types it.
pub(crate) fn typed(program: &Path, arguments: &[String]) -> String {
    let words = std::iter::once(program.display().to_string()).chain(arguments.iter().cloned());
    words.map(|word| quoted(&word).into_owned()).collect::<Vec<_>>().join(" ")
}

/// The last lines of a text file from a byte on that say something; a line that overwrote itself counts as its last state.
fn last_lines(path: &Path, begin: usize, count: usize) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes.get(begin..).unwrap_or_default());
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.rsplit('\r').find(|part| !part.trim().is_empty())).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        let words = ["show", "a b", "--set=train.lr=2e-4"].map(String::from);
        assert_eq!(typed(Path::new("/my bin/t"), &words), "'/my bin/t' show 'a b' --set=train.lr=2e-4");
    }
}
