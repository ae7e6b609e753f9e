//! The `tokensieve` program: found, run as a subprocess, its failures reported with its own last lines.
#![allow(unsafe_code)] // What a subprocess does before it begins.

use crate::code;
use anyhow::{Context as _, Result, bail};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

/// Name of the file in a result's folder with everything that the program printed.
pub(crate) const LOG: &str = "log.txt";
/// How many of its last lines an error shows.
const LAST_LINES: usize = 12;

/// What builds the program beside this one.
const BUILD: &str = "cargo build --release -p tokensieve-cli --bin tokensieve";

/// Where the program is: `TOKENSIEVE_BIN`, else beside this program. Results are filed under the hash of its sources, so
/// it must be built from the very sources that this program was.
pub fn find() -> Result<PathBuf> {
    // Asked once: it does not change while this program runs.
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(known) = FOUND.get() {
        return Ok(known.clone());
    }
    let program = look(env::var_os("TOKENSIEVE_BIN"))?;
    check(&program)?;
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

/// Runs the program to its end, its output going into the folder's log; `print` gets its newest line now and then.
pub(crate) fn run(
    program: &Path,
    arguments: &[String],
    folder: &Path,
    threads: Option<usize>,
    print: &dyn Fn(&str),
) -> Result<()> {
    let log = folder.join(LOG);
    let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    if let Some(threads) = threads {
        for name in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"] {
            command.env(name, threads.to_string());
        }
    }
    end_with_this_one(&mut command);
    let mut child = Child(command.spawn().with_context(|| format!("starting {}", program.display()))?);
    let mut pause = Duration::from_millis(5);
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(500));
        if let Some(line) = last_lines(&log, 1).pop() {
            print(&line);
        }
    };
    if status.success() {
        return Ok(());
    }
    bail!(
        "`tokensieve {}` failed ({status}). Its last lines:\n    {}\nAll of them: {}\nTo repeat it:\n    {}",
        arguments.first().map_or("", String::as_str),
        last_lines(&log, LAST_LINES).join("\n    "),
        log.display(),
        typed(program, arguments)
    )
}

/// Has the system end the subprocess with a checkpoint when this program ends, however that happens: it would keep the cores,
/// and its folder, from whoever continues the work.
fn end_with_this_one(command: &mut Command) {
    let ask = || {
        // SAFETY: a system call that concerns the subprocess alone.
        let asked = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
        if asked == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: it makes one system call and allocates nothing.
    unsafe { command.pre_exec(ask) };
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
    let quoted = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
        if word.chars().all(plain) && !word.is_empty() {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let words = std::iter::once(program.display().to_string()).chain(arguments.iter().cloned());
    words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// The last lines of a text file that say something; a line that overwrote itself counts as its last state.
fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.rsplit('\r').find(|part| !part.trim().is_empty())).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        let words = ["show", "it's", "a b", "--set=train.lr=2e-4", ""].map(String::from);
        assert_eq!(typed(Path::new("/bin/t"), &words), r"/bin/t show 'it'\''s' 'a b' --set=train.lr=2e-4 ''");
    }
}
