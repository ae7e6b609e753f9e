//! What tests of programs on bad disks share: a disk that becomes full, that fails, that is read-only, and a program that is
//! killed, at each of the calls with which it changes files.
//!
//! Nothing is lost that was there before, not even an earlier result until the new one is whole, unless the user has
//! asked to discard it; the error names the file and what the system said; nothing half written stays; and the same
//! command, given again, ends with what it would have written undisturbed, byte for byte. A small library (shim.c),
//! loaded before libc, makes the calls fail; it takes a C compiler.
//!
//! Some calls of a command are tried, evenly spaced; with `TOKENSIEVE_FAULTS=all` every one, as every night.
// Each test program uses its part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tokensieve_base::testing::{said, tree};

/// At how many calls of a command a disk becomes full, and fails, at different ones.
const TRIED: usize = 3;

/// Calls that remove. What cannot be removed stays, until the command is given again.
const REMOVALS: [&str; 3] = [" unlink ", " unlinkat ", " rmdir "];

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Full,
    Io,
    ReadOnly,
    Kill,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Full, Self::Io, Self::ReadOnly, Self::Kill];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Io => "io",
            Self::ReadOnly => "read-only",
            Self::Kill => "kill",
        }
    }

    /// What the error says; `None`: it cannot say anything.
    fn message(self) -> Option<&'static str> {
        match self {
            Self::Full => Some("No space left on device"),
            Self::Io => Some("Input/output error"),
            Self::ReadOnly => Some("Read-only file system"),
            Self::Kill => None,
        }
    }
}

/// Files by their relative paths, with `FOLDER` in place of the folder's own path.
pub(crate) type Content = BTreeMap<PathBuf, Vec<u8>>;

/// What may have become of a file that was there before, when the command has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// Nothing.
    Kept,
    /// The new one has its place, whole.
    Replaced,
    /// Lines were added.
    Continued,
    /// The user has asked to discard it: it is gone, or the new one has its place, whole.
    Discarded,
    /// It is gone, or has lines of the new one and no others.
    BegunAgain,
    /// Anything.
    Any,
}

impl Fate {
    /// Whether a file may be as it is `left`, if it `was` so before and is `new` when nothing happens.
    fn allows(self, was: &[u8], left: Option<&Vec<u8>>, new: Option<&Vec<u8>>) -> bool {
        let Some(left) = left else {
            return matches!(self, Self::Discarded | Self::BegunAgain | Self::Any);
        };
        match self {
            _ if left == was => true,
            Self::Kept => false,
            Self::Replaced | Self::Discarded => new.is_some_and(|new| same(left, new)),
            Self::Continued => left.starts_with(was),
            Self::BegunAgain => {
                let (text, new) = (timeless(left), new.map_or_else(String::new, |new| timeless(new)));
                // The last line may be torn.
                let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
                lines.lines().all(|line| new.lines().any(|other| other == line))
            }
            Self::Any => true,
        }
    }
}

/// The library, compiled once.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let name = concat!(env!("CARGO_PKG_NAME"), "-faults.so");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut compiling = Command::new(compiler)
            .args(["-O1", "-shared", "-fPIC", "-x", "c", "-", "-ldl", "-o"])
            .arg(&library)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        compiling.stdin.take().unwrap().write_all(include_bytes!("shim.c")).unwrap();
        let compiled = compiling.wait_with_output().unwrap();
        assert!(compiled.status.success(), "{}", said(&compiled));
        library
    })
}

/// A folder in which a program runs.
pub(crate) trait Place: Sized {
    /// A new one, with nothing in it.
    fn empty() -> Self;

    /// As the system names it, without links.
    fn root(&self) -> PathBuf;

    /// The program; `words` are its arguments.
    fn command(&self, words: &str) -> Command;

    /// At how many of its calls a command is killed.
    fn kills(words: &str) -> usize;

    fn copy(&self) -> Self {
        let copy = Self::empty();
        for (name, content) in tree(&self.root()) {
            let path = copy.root().join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let Some(content) = content else { continue };
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::metadata(self.root().join(name)).unwrap().permissions()).unwrap();
        }
        copy
    }

    /// Every file below.
    fn content(&self) -> Content {
        let root = self.root();
        let named = |content: Vec<u8>| match String::from_utf8(content) {
            Ok(text) => text.replace(root.to_str().unwrap(), "FOLDER").into_bytes(),
            Err(bytes) => bytes.into_bytes(),
        };
        tree(&root).into_iter().filter_map(|(path, content)| Some((path, named(content?)))).collect()
    }

    /// Every folder below.
    fn folders(&self) -> Vec<PathBuf> {
        let is_folder = |(path, content): (PathBuf, Option<_>)| content.is_none().then_some(path);
        tree(&self.root()).into_iter().filter_map(is_folder).collect()
    }

    fn watched(&self, words: &str) -> Command {
        let mut command = self.command(words);
        command.env("LD_PRELOAD", shim()).env("FAULT_BELOW", self.root());
        command
    }

    fn disturbed(&self, words: &str, fault: Fault, call: usize) -> Output {
        let mut command = self.watched(words);
        command.env("FAULT", fault.name()).env("FAULT_AT", call.to_string()).output().unwrap()
    }

    /// What a command leaves in a copy of the folder if nothing happens to it, and its calls.
    fn undisturbed(&self, words: &str) -> (Content, Vec<String>) {
        let folder = self.copy();
        let log = tempfile::NamedTempFile::new().unwrap();
        let output = folder.watched(words).env("FAULT_LOG", log.path()).output().unwrap();
        assert!(output.status.success(), "{words}\n{}", said(&output));
        let calls = fs::read_to_string(log.path()).unwrap();
        (folder.content(), calls.lines().map(str::to_owned).collect())
    }
}

/// Without measured seconds and the date, which no two runs share.
fn timeless(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let mut parts = text.split("\"seconds\":");
    let first = parts.next().unwrap_or_default().to_owned();
    let text = parts.fold(first, |text, part| {
        // Of a diagnosis: an array of its phases.
        let array = part.trim_start().strip_prefix('[').and_then(|_| part.split_once("\n  ]"));
        text + array.map_or(part, |(_, rest)| rest).trim_start_matches(|c: char| "0123456789. e-".contains(c))
    });
    let mut parts = text.split("\"date\": \"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('"').map_or(part, |(_, rest)| rest))
}

/// The same bytes; in texts, but for measured seconds and the date.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let are_texts = || [one, other].iter().all(|content| std::str::from_utf8(content).is_ok());
    one == other || are_texts() && timeless(one) == timeless(other)
}

/// The calls of a command, counted from 0, at which a kind of fault is tried.
fn tried<P: Place>(words: &str, fault: Fault, calls: usize) -> Vec<usize> {
    if fault == Fault::ReadOnly {
        return vec![0];
    }
    let last = calls - 1;
    if std::env::var("TOKENSIEVE_FAULTS").is_ok_and(|which| which == "all") {
        return (0..calls).collect();
    }
    if fault == Fault::Kill {
        let kills = P::kills(words);
        assert!(kills <= calls, "{words}: {calls} calls are too few for {kills} kills; add a scenario");
        return (0..kills).map(|which| which * last / (kills - 1).max(1)).collect();
    }
    let other = usize::from(fault == Fault::Io);
    (0..TRIED).map(|which| (which * 2 + other) * last / (TRIED * 2 - 1)).collect()
}

/// Disturbs a command at its calls, in copies of the folder, and compares the `results` in the end.
pub(crate) fn withstands<P: Place>(folder: &P, words: &str, results: &[&str]) {
    withstands_over(folder, words, results, |_, _| Fate::Kept);
}

/// The same where an earlier result is in the folder. `fate` says what may become of each file there, given its path
/// and what is left.
pub(crate) fn withstands_over<P: Place>(
    folder: &P,
    words: &str,
    results: &[&str],
    fate: impl Fn(&str, &Content) -> Fate,
) {
    let before = folder.content();
    let (whole, calls) = folder.undisturbed(words);
    let is_right = |found: &Content, result: &str| {
        let [one, other] = [found, &whole].map(|of| of.get(Path::new(result)));
        one.zip(other).is_some_and(|(one, other)| same(one, other))
    };
    let removes = |call: &String| REMOVALS.iter().any(|name| call.contains(name));
    let killed = tried::<P>(words, Fault::Kill, calls.len()).len();
    println!("{words}: {} calls, {killed} kills", calls.len());
    assert!(calls.len() > 2);
    // From the same files and folders the command goes the same way.
    let mut known = BTreeSet::from([state(&before, folder)]);
    for fault in Fault::ALL {
        for call in tried::<P>(words, fault, calls.len()) {
            // Removing takes no space, so that the command succeeds.
            if fault == Fault::Full && calls[call..].iter().all(removes) {
                continue;
            }
            let at = format!("{words}\n{} at {}", fault.name(), calls[call]);
            let folder = folder.copy();
            let output = folder.disturbed(words, fault, call + 1);
            let left = folder.content();
            for (path, was) in &before {
                let fate = fate(path.to_str().unwrap(), &left);
                let allowed = fate.allows(was, left.get(path), whole.get(path));
                assert!(allowed, "{at}\n{} is not {fate:?}", path.display());
            }
            assert!(fault != Fault::ReadOnly || left == before, "{at}\n{:?}", left.keys());
            if let Some(message) = fault.message() {
                let error = String::from_utf8_lossy(&output.stderr);
                let error = error.find("error: ").map_or("", |at| &error[at..]);
                if output.status.success() {
                    // What cannot be removed now is removed the next time.
                    assert!(removes(&calls[call]), "{at}");
                    assert!(results.iter().all(|result| is_right(&left, result)), "{at}");
                } else {
                    let names = error.contains("out") || error.contains(folder.root().to_str().unwrap());
                    assert_eq!(output.status.code(), Some(1), "{at}\n{}", said(&output));
                    assert!(error.contains(message) && names, "{at}\n{}", said(&output));
                }
                let folders = folder.folders();
                let half = left.keys().chain(&folders).find(|path| is_temporary(path));
                assert!(half.is_none() || removes(&calls[call]), "{at}\nleft {half:?}");
            } else {
                assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{at}\n{}", said(&output));
            }
            if !known.insert(state(&left, &folder)) {
                continue;
            }
            let again = folder.command(words).output().unwrap();
            assert!(again.status.success(), "{at}\n{}", said(&again));
            let found = folder.content();
            assert!(found.keys().eq(whole.keys()), "{at}\n{:?}\n{:?}", found.keys(), whole.keys());
            for result in results {
                assert!(is_right(&found, result), "{at}\n{result} differs");
            }
        }
    }
}

/// Tells files and folders from others.
fn state(files: &Content, folder: &impl Place) -> u64 {
    let mut hasher = DefaultHasher::new();
    (files, folder.folders()).hash(&mut hasher);
    hasher.finish()
}

/// Whether a file or folder, or one that it is in, has a name that the program gives to what it has begun.
fn is_temporary(path: &Path) -> bool {
    path.iter().any(|name| {
        let name = name.to_string_lossy();
        name.starts_with('.') && [".new", ".unfinished"].iter().any(|end| name.ends_with(end))
    })
}

/// These files may become what is said of them; all others are kept.
pub(crate) fn only<'a>(fates: &'a [(&'a str, Fate)]) -> impl Fn(&str, &Content) -> Fate + 'a {
    |path, _| fates.iter().find(|(name, _)| *name == path).map_or(Fate::Kept, |(_, fate)| *fate)
}
