//! Bad input of every kind, given to the real program: `cases.toml` says what is damaged, which command reads it, and the
//! exit code and message that follow. No case may panic, run for longer than [`LIMIT`], compute for longer than
//! [`COMPUTING`], or take more memory than the same program on intact input and [`MEMORY`]. A command that is refused
//! leaves its folder as it was; one that goes on changes what it was asked to write, and nothing else.
//!
//! A case is one line of a group's `cases`: the damage, and the message from `error:` or `warning:` up to a blank line. What
//! the damage means is the group's other key:
//!
//! | key | damage |
//! |---|---|
//! | `text = FILE` | the file's whole content |
//! | `set = FILE` | `KEY=JSON` sets a key of a JSON file, `KEY=` removes it |
//! | `bytes = FILE` | edits separated by `; `: `cut N`, `flip N`, `put N HEX`, `add HEX`, `swap OLD NEW`; a negative N counts from the end |
//! | `arguments = true` | further arguments, as a shell splits them |
//!
//! `moved = [FROM, TO]` of a group renames a file before.
//!
//! Needs libtorch, and two minutes on two cores; makes its own model and data in temporary folders.
//! `cargo test -p tokensieve-cli --test bad_input`.

#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "../../../tests/bench/mod.rs"]
mod bench;

use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokensieve_base::testing::{Tree, side_by_side, tree};

/// How long a case may take: a second or less where nothing else runs.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a case may compute, whatever else runs.
const COMPUTING: Duration = Duration::from_secs(10);

/// Bytes that a case may take beyond the most that a command takes on intact input: 152 MiB with libtorch for CPUs,
/// which is libtorch itself. The files have less than a megabyte. Measured: nothing beyond.
const MEMORY: u64 = 32 << 20;

/// Bytes beyond those for a case that is refused because of a limit of the program's own, of up to 256 MiB. Measured:
/// at most 234 MiB.
const MEMORY_TO_THE_LIMIT: u64 = 256 << 20;

/// Rows, a configuration of two steps, and a template.
const FILES: [(&str, &str); 3] = [
    (
        "rows.jsonl",
        "{\"question\": \"What is 2 + 3?\", \"answer\": \"5\"}\n{\"question\": \"And 4 + 4?\", \"answer\": \"It is 8.\"}\n",
    ),
    (
        "run.toml",
        "[model]\nsource = \"model\"\ndtype = \"f32\"\ndevice = \"cpu\"\n[data]\ntrain = \"rows.jsonl\"\n[lora]\nr = 2\n\
         [train]\nsteps = 2\nbatch_size = 2\nsave_every = 1\n",
    ),
    ("chat.jinja", "{% for message in messages %}{{ message.content }}{% endfor %}"),
];

/// What makes the other files that cases damage.
const MADE: [&str; 5] = [
    "train run.toml --out out",
    "uncertainty rows.jsonl --passes 0 --model model --precision f32 --out estimates.jsonl",
    "topk run.toml top.safetensors -k 4",
    "generate rows.jsonl --limit 2 --model model --precision f32 --out replies.jsonl",
    "evaluate --suite nll:rows.jsonl --model model --precision f32 --out results.json",
];

struct Case {
    group: String,
    run: String,
    moved: Option<[String; 2]>,
    damage: Damage,
    input: String,
    code: i32,
    message: String,
}

enum Damage {
    Text(String),
    Set(String),
    Bytes(String),
    Arguments,
}

fn cases() -> Vec<Case> {
    let table: toml::Table = include_str!("cases.toml").parse().unwrap();
    let mut all = Vec::new();
    for group in table["group"].as_array().unwrap() {
        let text = |key: &str| group.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        for case in group["cases"].as_array().unwrap() {
            let [input, message] = [0, 1].map(|i| case[i].as_str().unwrap().to_owned());
            let damage = text("text")
                .map(Damage::Text)
                .or(text("set").map(Damage::Set))
                .or(text("bytes").map(Damage::Bytes))
                .unwrap_or(Damage::Arguments);
            let code = group.get("code").map_or(1, |code| code.as_integer().unwrap() as i32);
            all.push(Case {
                group: text("about").unwrap(),
                run: text("run").unwrap(),
                moved: group.get("moved").map(|moved| [0, 1].map(|i| moved[i].as_str().unwrap().to_owned())),
                damage,
                input,
                code,
                message,
            });
        }
    }
    all
}

fn command(folder: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    // Many small programs at a time.
    command.env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "passive");
    command
}

/// A folder with everything that is damaged later.
struct Intact {
    folder: TempDir,
    /// The most bytes that the commands took that made it.
    memory: u64,
}

fn intact() -> Intact {
    let folder = tempfile::tempdir().unwrap();
    bench::model(&folder.path().join("model"));
    for (name, content) in FILES {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    fs::copy(fixtures.join("gguf/llama.gguf"), folder.path().join("tiny.gguf")).unwrap();
    fs::copy(fixtures.join("rows/messages.parquet"), folder.path().join("rows.parquet")).unwrap();
    let run = |made: &&str| {
        let ended = run(folder.path(), &words(made));
        assert!(ended.status.is_some_and(|status| status.success()), "{made}\n{}", ended.text);
        ended.memory
    };
    let memory = MADE.iter().map(run).max().unwrap();
    Intact { folder, memory }
}

/// The paths that are in one only, or not the same in both.
fn changed(before: &Tree, after: &Tree) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Splits at spaces, but not within single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            *words.last_mut().unwrap() += part;
            continue;
        }
        for (j, piece) in part.split(' ').enumerate() {
            if j > 0 {
                words.push(String::new());
            }
            *words.last_mut().unwrap() += piece;
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn edited(mut bytes: Vec<u8>, edits: &str) -> Vec<u8> {
    for edit in edits.split("; ") {
        let words: Vec<&str> = edit.split(' ').collect();
        let number = |i: usize| words[i].parse::<usize>().unwrap();
        match words[0] {
            "cut" => match words[1].strip_prefix('-') {
                Some(end) => bytes.truncate(bytes.len() - end.parse::<usize>().unwrap()),
                None => bytes.truncate(number(1)),
            },
            "flip" => bytes[number(1)] ^= 1,
            "put" => {
                let (new, end) =
                    (hex(words[2]), words[1].strip_prefix('-').map(|end| end.parse::<usize>().unwrap()));
                let at = end.map_or_else(|| number(1), |end| bytes.len() - end);
                bytes[at..at + new.len()].copy_from_slice(&new);
            }
            "add" => bytes.extend(hex(words[1])),
            "swap" => {
                let (old, new) = (words[1].as_bytes(), words[2].as_bytes());
                assert_eq!(old.len(), new.len(), "{edit}");
                let at = bytes.windows(old.len()).position(|window| window == old).expect("the old text");
                bytes[at..at + new.len()].copy_from_slice(new);
            }
            other => panic!("no edit is called {other}"),
        }
    }
    bytes
}

impl Case {
    /// The arguments of the command, after the damage is done.
    fn prepare(&self, folder: &Path) -> Vec<String> {
        if let Some([from, to]) = &self.moved {
            fs::rename(folder.join(from), folder.join(to)).unwrap();
        }
        match &self.damage {
            Damage::Text(file) => fs::write(folder.join(file), &self.input).unwrap(),
            Damage::Set(file) => {
                let path = folder.join(file);
                let mut json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                let (key, value) = self.input.split_once('=').unwrap();
                let table = json.as_object_mut().unwrap();
                match value {
                    "" => drop(table.remove(key)),
                    value => drop(table.insert(key.to_owned(), serde_json::from_str(value).unwrap())),
                }
                fs::write(path, json.to_string()).unwrap();
            }
            Damage::Bytes(file) => {
                let path = folder.join(file);
                let bytes = fs::read(&path).unwrap();
                fs::write(path, edited(bytes, &self.input)).unwrap();
            }
            Damage::Arguments => return words(&format!("{} {}", self.run, self.input)),
        }
        words(&self.run)
    }

    /// What is wrong with what the program does; none if it does as the table says. Otherwise what it took.
    fn complaint(&self, intact: &Intact) -> Result<Ended, String> {
        let folder = tempfile::tempdir().unwrap();
        copy(intact.folder.path(), folder.path());
        let arguments = self.prepare(folder.path());
        let before = tree(folder.path());
        let ended = run(folder.path(), &arguments);
        let left = changed(&before, &tree(folder.path()));
        let code = ended.status.and_then(|status| status.code());
        let found = message(&ended.text, self.code);
        let wrong = if code != Some(self.code) {
            format!("exit code {code:?}, not {}: {found:?}", self.code)
        } else if found != self.message {
            format!("found    {found:?}\n  expected {:?}", self.message)
        } else if ended.text.contains("panicked") {
            ended.text
        } else if ended.computed > COMPUTING {
            format!("computes for {:.1} s", ended.computed.as_secs_f64())
        } else if ended.memory > intact.memory + self.memory() {
            format!("takes {} MiB; intact input {} MiB", ended.memory >> 20, intact.memory >> 20)
        } else if let Some(path) = left.iter().find(|path| !self.may_change(path, &arguments)) {
            format!("{} is not as it was", path.display())
        } else {
            return Ok(ended);
        };
        Err(format!("{} ({})\n  {wrong}\n", self.group, self.input))
    }

    fn memory(&self) -> u64 {
        MEMORY + if self.message.contains(" MiB") { MEMORY_TO_THE_LIMIT } else { 0 }
    }

    /// Whether the command may make, remove or change what is at a path: one that goes on, where it writes. Training
    /// that is refused may have made the folder, and the file in it that it locks.
    fn may_change(&self, path: &Path, arguments: &[String]) -> bool {
        let out = arguments.iter().skip_while(|word| *word != "--out").nth(1).map(Path::new);
        out.is_some_and(|out| match self.code {
            0 => path.starts_with(out),
            _ => arguments[0] == "train" && (path == out || path == out.join(".lock")),
        })
    }
}

/// A program that has ended, or was still running at the limit: then it has no status.
struct Ended {
    status: Option<ExitStatus>,
    /// What it printed on standard error.
    text: String,
    computed: Duration,
    /// The most bytes that it had in memory at a time.
    memory: u64,
}

#[expect(clippy::zombie_processes, reason = "`usage` waits for the child, and learns what it took")]
fn run(folder: &Path, arguments: &[String]) -> Ended {
    let mut log = tempfile::NamedTempFile::new().unwrap();
    let mut command = command(folder, arguments);
    let mut child = command.stdout(Stdio::null()).stderr(log.reopen().unwrap()).spawn().unwrap();
    let start = Instant::now();
    let (mut in_time, mut ended) = (true, None);
    while ended.is_none() {
        std::thread::sleep(Duration::from_millis(5));
        if in_time && start.elapsed() > LIMIT {
            in_time = false;
            child.kill().unwrap();
        }
        ended = usage(&child);
    }
    let (status, usage) = ended.unwrap();
    let seconds = |of: libc::timeval| Duration::new(of.tv_sec as u64, of.tv_usec as u32 * 1000);
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).unwrap();
    Ended {
        status: in_time.then_some(status),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        computed: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory: usage.ru_maxrss as u64 * 1024,
    }
}

/// How a child has ended, and what it took, unless it is running.
fn usage(child: &Child) -> Option<(ExitStatus, libc::rusage)> {
    let mut status = 0;
    // SAFETY: numbers, of which zero is one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both outlive the call, and nobody else waits for the child.
    let waited = unsafe { libc::wait4(child.id() as i32, &raw mut status, libc::WNOHANG, &raw mut usage) };
    assert!(waited >= 0, "{}", std::io::Error::last_os_error());
    (waited > 0).then(|| (ExitStatus::from_raw(status), usage))
}

/// The error up to a blank line, or the warnings of a program that goes on.
fn message(text: &str, code: i32) -> String {
    let is_message = |line: &&str| line.starts_with("error: ");
    let lines: Vec<&str> = if code == 0 {
        text.lines().filter(|line| line.starts_with("warning: ")).collect()
    } else {
        text.lines().skip_while(|line| !is_message(line)).take_while(|line| !line.is_empty()).collect()
    };
    lines.join("\n")
}

#[test]
fn every_bad_input_is_named() {
    let (cases, intact) = (cases(), intact());
    assert!(cases.len() >= 200, "{}", cases.len());
    let (mut complaints, mut computed, mut memory) = (Vec::new(), Duration::ZERO, 0);
    for result in side_by_side(&cases, |case| case.complaint(&intact)) {
        match result {
            Ok(ended) => (computed, memory) = (computed.max(ended.computed), memory.max(ended.memory)),
            Err(complaint) => complaints.push(complaint),
        }
    }
    let [memory, on_intact] = [memory, intact.memory].map(|bytes| bytes >> 20);
    println!("at most {:.1} s, and {memory} MiB; on intact input {on_intact} MiB", computed.as_secs_f64());
    assert!(
        complaints.is_empty(),
        "{} of {} cases:\n{}",
        complaints.len(),
        cases.len(),
        complaints.join("\n")
    );
}

#[test]
fn edits_are_as_the_table_means_them() {
    assert_eq!(edited(b"abcdef".to_vec(), "cut 4; flip 0; add 7a7a"), b"`bcdzz");
    assert_eq!(edited(b"abcdef".to_vec(), "cut -1; put 1 5858; put -1 59; swap dY Xe"), b"aXXXe");
    assert_eq!(words("a 'b c'  d='e f'"), ["a", "b c", "d=e f"]);
}
