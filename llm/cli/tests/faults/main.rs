//! The program on a disk that becomes full, that fails, that is read-only, and killed, at each of the calls with which
//! it changes files.
//!
//! Nothing is lost that was there before, not even an earlier result until the new one is whole, unless the user has
//! asked to discard it; the error names the file and what the system said; nothing half written stays; and the same
//! command, given again, ends with what it would have written undisturbed, byte for byte. A small library (shim.c),
//! loaded before libc, makes the calls fail.
//!
//! Needs libtorch and a C compiler; makes its own model and data in a temporary folder. Some calls of a command are
//! tried, evenly spaced, so that a verb is killed at [`KILLS`] or at all it has; with `TOKENSIEVE_FAULTS=all` every
//! one, as every night. The lab is killed by a test of its own (`paper/src/lab/tests.rs`).
//! `cargo test -p tokensieve-cli --test faults`.
#![cfg(target_os = "linux")]

#[path = "../../../tests/bench/mod.rs"]
mod bench;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use bench::{Folder, MODEL, said, tree};

/// At how many calls of a command a disk becomes full, and fails, at different ones.
const TRIED: usize = 3;

/// At how many calls the commands of a verb are killed, all together, if what it makes takes long to make again.
const KILLS: usize = 20;

/// At how many calls any other command is killed.
const KILLS_OF_OTHERS: usize = 4;

/// Calls that remove. What cannot be removed stays, until the command is given again.
const REMOVALS: [&str; 3] = [" unlink ", " unlinkat ", " rmdir "];

const TRAIN: &str = "train run.toml --set log.tensorboard=false --out out";

const RUN: &str = r#"
[model]
source = "model"
dtype = "f32"
device = "cpu"
[data]
train = "rows.jsonl"
[eval.held]
data = "rows.jsonl"
skip = 20
[objective]
preset = "masked-mle"
select.keep = "top 50%"
select.within = "running"
select.window = 64
[lora]
r = 2
lora_alpha = 4
lora_dropout = 0.1
[train]
steps = 6
batch_size = 4
lr = 1e-2
eval_every = 3
save_every = 2
grow_rank = [{ step = 3, rank = 4 }]
"#;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
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

/// Files by their relative paths.
type Content = BTreeMap<PathBuf, Vec<u8>>;

/// What may have become of a file that was there before, when the command has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
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
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults-shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let compiled = Command::new(compiler)
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{}", said(&compiled));
        library
    })
}

fn folder() -> Folder {
    Folder::new(&bench::sums(26), RUN)
}

/// With an adapter in `ready`.
fn folder_with_adapter() -> Folder {
    let folder = folder();
    folder.prints("train run.toml --set train.steps=2 --set train.grow_rank=[] --out ready");
    folder
}

impl Folder {
    fn copy(&self) -> Self {
        let copy = Self::empty();
        for (name, content) in self.content() {
            let path = copy.root().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        copy
    }

    /// Every file below.
    fn content(&self) -> Content {
        tree(&self.root()).into_iter().filter_map(|(path, content)| Some((path, content?))).collect()
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

/// Without measured seconds, which no two runs share.
fn timeless(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let mut parts = text.split("\"seconds\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        // Of a diagnosis: an array of its phases.
        let array = part.trim_start().strip_prefix('[').and_then(|_| part.split_once("\n  ]"));
        text + array.map_or(part, |(_, rest)| rest).trim_start_matches(|c: char| "0123456789. e-".contains(c))
    })
}

/// The same bytes; in texts, but for measured seconds.
fn same(one: &[u8], other: &[u8]) -> bool {
    let are_texts = || [one, other].iter().all(|content| std::str::from_utf8(content).is_ok());
    one == other || are_texts() && timeless(one) == timeless(other)
}

/// At how many of its calls a command is killed.
fn kills(words: &str) -> usize {
    let scenarios = match words.split(' ').next().unwrap() {
        "convert" | "merge" => 1,
        "topk" | "uncertainty" => 2,
        "generate" | "train" => 3,
        "evaluate" => 4,
        _ => return KILLS_OF_OTHERS,
    };
    KILLS.div_ceil(scenarios)
}

/// The calls of a command, counted from 0, at which a kind of fault is tried.
fn tried(words: &str, fault: Fault, calls: usize) -> Vec<usize> {
    if fault == Fault::ReadOnly {
        return vec![0];
    }
    let last = calls - 1;
    if std::env::var("TOKENSIEVE_FAULTS").is_ok_and(|which| which == "all") {
        return (0..calls).collect();
    }
    if fault == Fault::Kill {
        let kills = kills(words).min(calls);
        return (0..kills).map(|which| which * last / (kills - 1).max(1)).collect();
    }
    let other = usize::from(fault == Fault::Io);
    (0..TRIED).map(|which| (which * 2 + other) * last / (TRIED * 2 - 1)).collect()
}

/// Disturbs a command at its calls, in copies of the folder, and compares the `results` in the end.
fn withstands(folder: &Folder, words: &str, results: &[&str]) {
    withstands_over(folder, words, results, |_, _| Fate::Kept);
}

/// The same where an earlier result is in the folder. `fate` says what may become of each file there, given its path
/// and what is left.
fn withstands_over(folder: &Folder, words: &str, results: &[&str], fate: impl Fn(&str, &Content) -> Fate) {
    let before = folder.content();
    let (whole, calls) = folder.undisturbed(words);
    let removes = |call: &String| REMOVALS.iter().any(|name| call.contains(name));
    println!("{words}: {} calls", calls.len());
    assert!(calls.len() > 2);
    // From the same files and folders the command goes the same way.
    let mut known = BTreeSet::from([state(&before, folder)]);
    for fault in Fault::ALL {
        for call in tried(words, fault, calls.len()) {
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
                let error = error.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
                assert_eq!(output.status.code(), Some(1), "{at}\n{}", said(&output));
                assert!(error.contains(message) && error.contains("out"), "{at}\n{}", said(&output));
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
                let [one, other] = [&found, &whole].map(|of| &of[Path::new(result)]);
                assert!(same(one, other), "{at}\n{result} differs");
            }
        }
    }
}

/// Tells files and folders from others.
fn state(files: &Content, folder: &Folder) -> u64 {
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
fn only<'a>(fates: &'a [(&'a str, Fate)]) -> impl Fn(&str, &Content) -> Fate + 'a {
    |path, _| fates.iter().find(|(name, _)| *name == path).map_or(Fate::Kept, |(_, fate)| *fate)
}

#[test]
fn made_rows() {
    let words = "make arithmetic -n 6 --out out.jsonl";
    withstands(&folder(), words, &["out.jsonl"]);
    let folder = folder();
    folder.prints("make arithmetic -n 4 --out out.jsonl");
    withstands_over(&folder, words, &["out.jsonl"], only(&[("out.jsonl", Fate::Replaced)]));
}

#[test]
fn the_most_probable_tokens() {
    let words = "topk run.toml out.safetensors -k 4";
    withstands(&folder(), words, &["out.safetensors"]);
    let folder = folder();
    folder.prints("topk run.toml out.safetensors -k 3");
    withstands_over(&folder, words, &["out.safetensors"], only(&[("out.safetensors", Fate::Replaced)]));
}

#[test]
fn held_out_text() {
    let evaluate =
        |rest: &str| format!("evaluate --suite nll:rows.jsonl {MODEL} --out out.json --limit {rest}");
    let results = ["out.json", "out.answers.jsonl"];
    withstands(&folder(), &evaluate("6"), &results);
    let folder = folder();
    folder.prints(&evaluate("4"));
    for (rest, answers) in [("6", Fate::Continued), ("6 --fresh", Fate::BegunAgain)] {
        withstands_over(
            &folder,
            &evaluate(rest),
            &results,
            only(&[("out.json", Fate::Replaced), ("out.answers.jsonl", answers)]),
        );
    }
}

#[test]
fn questions() {
    let words = format!("evaluate --suite arithmetic --limit 3 {MODEL} --out out.json");
    withstands(&folder(), &words, &["out.json", "out.answers.jsonl"]);
}

#[test]
fn replies() {
    let generate = |rest: &str| format!("generate rows.jsonl {MODEL} --out out.jsonl {rest}");
    withstands(&folder(), &generate("-n 3 --limit 4"), &["out.jsonl"]);
    let folder = folder();
    folder.prints(&generate("-n 2 --limit 4"));
    for (rest, replies) in [("-n 3 --limit 4", Fate::Continued), ("-n 3 --limit 5 --fresh", Fate::BegunAgain)]
    {
        withstands_over(&folder, &generate(rest), &["out.jsonl"], only(&[("out.jsonl", replies)]));
    }
}

#[test]
fn uncertainty() {
    let uncertainty =
        |n: usize, rest: &str| format!("uncertainty rows.jsonl -n {n} --passes 2 {MODEL} {rest}");
    let words = uncertainty(4, "--out out.jsonl --parquet out.parquet");
    let results = ["out.jsonl", "out.parquet"];
    withstands(&folder(), &words, &results);
    let folder = folder();
    folder.prints(&uncertainty(3, "--out other.jsonl --parquet out.parquet"));
    folder.prints(&uncertainty(4, "--out out.jsonl"));
    // As an interrupted run leaves it: the settings and two documents.
    let path = folder.path("out.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.split_inclusive('\n').take(3).collect::<String>()).unwrap();
    withstands_over(
        &folder,
        &words,
        &results,
        only(&[("out.jsonl", Fate::Continued), ("out.parquet", Fate::Replaced)]),
    );
}

#[test]
fn a_diagnosis() {
    // So few rows that nothing is trained.
    let diagnose = |n: usize, rest: &str| {
        format!("diagnose --data rows.jsonl -n 6 --max-length {n} --passes 0 {MODEL} --config out.toml{rest}")
    };
    let results = ["out.toml", "out.json", "out.html"];
    withstands(&folder(), &diagnose(50, " --html out.html --json out.json"), &results);
    let folder = folder();
    folder.prints(&diagnose(60, " --html out.html --json out.json"));
    withstands_over(
        &folder,
        &diagnose(50, " --html out.html --json out.json"),
        &results,
        only(&results.map(|name| (name, Fate::Replaced))),
    );
}

#[test]
fn a_bundle() {
    let files = ["model.safetensors", "config.json", "tokenizer.json"]
        .map(|file| format!("out/files/0-model/{file}"));
    let mut results = vec!["out/lib/tokensieve", "out/run.sh", "out/train.toml", "out/files/1-rows.jsonl"];
    results.extend(files.iter().map(String::as_str));
    withstands(&folder(), "bundle --config run.toml out", &results);
}

#[test]
fn models() {
    let results = ["out/model.safetensors", "out/config.json", "out/tokenizer.json"];
    withstands(&folder(), "convert model out", &results);
    withstands(&folder_with_adapter(), "merge model ready/adapter out", &results);
}

#[test]
fn a_training_run() {
    let results = bench::RESULTS.map(|file| format!("out/{file}"));
    let results = results.each_ref().map(String::as_str);
    withstands(&folder(), TRAIN, &results);
}

/// Killed before its second checkpoint, and then disturbed on its way from the first one.
#[test]
fn a_training_run_that_continues() {
    let folder = folder();
    let (_, calls) = folder.undisturbed(TRAIN);
    let second = calls.iter().position(|call| call.contains(".writing-step-00000004")).unwrap();
    let output = folder.disturbed(TRAIN, Fault::Kill, second + 1);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{}", said(&output));
    let results = bench::RESULTS.map(|file| format!("out/{file}"));
    let results = results.each_ref().map(String::as_str);
    withstands_over(&folder, TRAIN, &results, |path, left| match path {
        // Back to the checkpoint, and on from there.
        "out/metrics.jsonl" | "out/selection.jsonl" => Fate::BegunAgain,
        "out/timing.jsonl" => Fate::Any,
        // Two are kept: it goes once the third is whole.
        _ if path.starts_with("out/checkpoints/step-00000002/")
            && left.contains_key(Path::new("out/checkpoints/step-00000006/state.toml")) =>
        {
            Fate::Any
        }
        _ => Fate::Kept,
    });
}

#[test]
fn a_training_run_that_begins_afresh() {
    let folder = folder();
    folder.prints(&format!("{TRAIN} --set train.seed=1"));
    fs::write(folder.path("out/notes.txt"), "of the user's own").unwrap();
    let results = bench::RESULTS.map(|file| format!("out/{file}"));
    let results = results.each_ref().map(String::as_str);
    withstands_over(&folder, &format!("{TRAIN} --fresh"), &results, |path, _| match path {
        "out/config.toml" | "out/run.json" => Fate::Replaced,
        "out/metrics.jsonl" | "out/selection.jsonl" => Fate::BegunAgain,
        "out/timing.jsonl" => Fate::Any,
        _ if path.starts_with("out/adapter/") => Fate::Discarded,
        _ if path.starts_with("out/checkpoints/") => Fate::Any,
        _ => Fate::Kept,
    });
}
