//! The program on a disk that becomes full, that fails, that is read-only, and killed, at each of the calls with which
//! it changes files (tests/faults/mod.rs at the workspace's root says what must hold then).
//!
//! Needs libtorch and a C compiler; makes its own model and data in a temporary folder. A verb is killed at [`KILLS`] of
//! the calls that are tried by default. `cargo test -p tokensieve-cli --test faults`.
#![cfg(target_os = "linux")]

#[path = "../../tests/bench/mod.rs"]
mod bench;
#[path = "../../../tests/faults/mod.rs"]
mod faults;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bench::{Folder, MODEL, said};
use faults::{Fate, Fault, Place, only, withstands, withstands_over};

/// At how many calls the commands of a verb are killed, all together, if what it makes takes long to make again.
const KILLS: usize = 20;

/// At how many calls any other command is killed.
const KILLS_OF_OTHERS: usize = 4;

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

impl Place for Folder {
    fn empty() -> Self {
        Self::empty()
    }

    fn root(&self) -> PathBuf {
        self.root()
    }

    fn command(&self, words: &str) -> Command {
        self.command(words)
    }

    fn kills(words: &str) -> usize {
        let scenarios = match words.split(' ').next().unwrap() {
            "convert" | "merge" => 1,
            "uncertainty" => 2,
            "generate" | "topk" | "train" => 3,
            "evaluate" => 4,
            _ => return KILLS_OF_OTHERS,
        };
        KILLS.div_ceil(scenarios)
    }
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
    let words = format!("{words} --adapter ready/adapter");
    withstands(&folder_with_adapter(), &words, &["out.safetensors"]);
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
