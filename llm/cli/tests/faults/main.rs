//! The program on a disk that becomes full, that fails, and killed, at each of the calls with which it changes files.
//!
//! Nothing is lost that was there before; the error names the file and what the system said; nothing half written stays; and
//! the same command, given again, ends with what it would have written undisturbed, byte for byte. A small library
//! (shim.c), loaded before libc, makes the calls fail.
//!
//! Needs libtorch and a C compiler; makes its own model and data in a temporary folder. Of commands with many calls some are
//! tried, evenly spaced; with `TOKENSIEVE_FAULTS=all` every one. `cargo test -p tokensieve-cli --test faults`.
#![cfg(target_os = "linux")]

#[path = "../../../tests/bench/mod.rs"]
mod bench;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use bench::said;
use tempfile::TempDir;

/// How many calls of a command are tried.
const TRIED: usize = 6;

const MODEL: &str = "--model model --precision f32";

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
    Kill,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Full, Self::Io, Self::Kill];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Io => "io",
            Self::Kill => "kill",
        }
    }

    /// What the error says; `None`: it cannot say anything.
    fn message(self) -> Option<&'static str> {
        match self {
            Self::Full => Some("No space left on device"),
            Self::Io => Some("Input/output error"),
            Self::Kill => None,
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

/// A folder with model, data and configuration, in which a command runs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        bench::model(&folder.path().join("model"));
        let row = |i: usize| {
            let (a, b) = (i * 7 % 23, i * 5 % 19);
            format!("{{\"question\": \"What is {a} + {b}?\", \"answer\": \"{a} + {b} = {}.\"}}\n", a + b)
        };
        fs::write(folder.path().join("rows.jsonl"), (0..26).map(row).collect::<String>()).unwrap();
        fs::write(folder.path().join("run.toml"), RUN).unwrap();
        folder
    }

    /// With an adapter in `ready`.
    fn with_adapter() -> Self {
        let folder = Self::new();
        let two = "train run.toml --set train.steps=2 --set train.grow_rank=[] --out ready";
        let output = folder.command(two).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        folder
    }

    /// As the system names it, without links.
    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn copy(&self) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        for (name, content) in self.content() {
            let path = copy.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        copy
    }

    /// Every file below, by its relative path.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let (base, mut folders) = (self.path(), vec![self.path()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.strip_prefix(&base).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.args(words.split(' ')).current_dir(self.path());
        command.env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "passive");
        command
    }

    fn watched(&self, words: &str) -> Command {
        let mut command = self.command(words);
        command.env("LD_PRELOAD", shim()).env("FAULT_BELOW", self.path());
        command
    }

    fn disturbed(&self, words: &str, fault: Fault, call: usize) -> Output {
        let mut command = self.watched(words);
        command.env("FAULT", fault.name()).env("FAULT_AT", call.to_string()).output().unwrap()
    }
}

/// Without measured seconds, which no two runs share.
fn timeless(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let mut parts = text.split("\"seconds\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| "0123456789. e-".contains(c)))
}

/// Disturbs a command at its calls, in copies of the folder, and compares the `results` in the end.
fn withstands(folder: &Folder, words: &str, results: &[&str]) {
    let before = folder.content();
    let undisturbed = folder.copy();
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = undisturbed.watched(words).env("FAULT_LOG", log.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (whole, calls) = (undisturbed.content(), fs::read_to_string(log.path()).unwrap());
    let calls: Vec<&str> = calls.lines().collect();
    let all = std::env::var("TOKENSIEVE_FAULTS").is_ok_and(|which| which == "all");
    let tried = if all { calls.len() } else { calls.len().min(TRIED) };
    println!("{words}: {} calls, {tried} of them tried", calls.len());
    assert!(tried > 1);
    for fault in Fault::ALL {
        for which in 0..tried {
            let call = which * (calls.len() - 1) / (tried - 1);
            let at = format!("{words}\n{} at {}", fault.name(), calls[call]);
            let folder = folder.copy();
            let output = folder.disturbed(words, fault, call + 1);
            let left = folder.content();
            for (path, content) in &before {
                assert!(left.get(path) == Some(content), "{at}\nlost {}", path.display());
            }
            // What cannot be removed stays, until the command is given again.
            let unremovable = calls[call].contains(" unlink ");
            if let Some(message) = fault.message() {
                let error = String::from_utf8_lossy(&output.stderr);
                let error = error.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
                assert_eq!(output.status.code(), Some(1), "{at}\n{}", said(&output));
                assert!(error.contains(message) && error.contains("out"), "{at}\n{}", said(&output));
                let half = left.keys().find(|path| path.to_string_lossy().ends_with(".new"));
                assert!(half.is_none() || unremovable, "{at}\nleft {half:?}");
            } else {
                assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{at}\n{}", said(&output));
            }
            let again = folder.command(words).output().unwrap();
            assert!(again.status.success(), "{at}\n{}", said(&again));
            let found = folder.content();
            assert!(found.keys().eq(whole.keys()), "{at}\n{:?}\n{:?}", found.keys(), whole.keys());
            for result in results {
                let [one, other] = [&found, &whole].map(|of| timeless(&of[Path::new(result)]));
                assert!(one == other, "{at}\n{result} differs");
            }
        }
    }
}

#[test]
fn made_rows() {
    withstands(&Folder::new(), "make arithmetic -n 6 --out out.jsonl", &["out.jsonl"]);
}

#[test]
fn the_most_probable_tokens() {
    withstands(&Folder::new(), "topk run.toml out.safetensors -k 4", &["out.safetensors"]);
}

#[test]
fn held_out_text() {
    let words = format!("evaluate --suite nll:rows.jsonl --limit 6 {MODEL} --out out.json");
    withstands(&Folder::new(), &words, &["out.json", "out.answers.jsonl"]);
}

#[test]
fn questions() {
    let words = format!("evaluate --suite arithmetic --limit 3 {MODEL} --out out.json");
    withstands(&Folder::new(), &words, &["out.json", "out.answers.jsonl"]);
}

#[test]
fn replies() {
    let words = format!("generate rows.jsonl --limit 4 -n 3 {MODEL} --out out.jsonl");
    withstands(&Folder::new(), &words, &["out.jsonl"]);
}

#[test]
fn uncertainty() {
    let words =
        format!("uncertainty rows.jsonl -n 4 --passes 2 {MODEL} --out out.jsonl --parquet out.parquet");
    withstands(&Folder::new(), &words, &["out.jsonl", "out.parquet"]);
}

#[test]
fn models() {
    let results = ["out/model.safetensors", "out/config.json", "out/tokenizer.json"];
    withstands(&Folder::new(), "convert model out", &results);
    withstands(&Folder::with_adapter(), "merge model ready/adapter out", &results);
}

#[test]
fn a_training_run() {
    let results = bench::RESULTS.map(|file| format!("out/{file}"));
    let words = "train run.toml --set log.tensorboard=false --out out";
    withstands(&Folder::new(), words, &results.each_ref().map(String::as_str));
}
