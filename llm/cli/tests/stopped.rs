//! The programs that write lines as they go, stopped in the middle: the same command goes on, and the file is in the end
//! what it would have been. Needs libtorch and the model (`./just setup libtorch model`).
#![allow(unsafe_code)]

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bench::{Bench, NO_GROWTH, said};

/// Lines of results that stand in the file when the program is stopped: the settings and two more.
const STOPPED_AFTER: usize = 3;
/// What is answered, or scored.
const ROWS: usize = 7;

fn command(arguments: &[&str], rows: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg(arguments[0]).arg(rows).arg("--out").arg(out).args(&arguments[1..]);
    command.env("OMP_NUM_THREADS", "1").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn lines(path: &Path) -> Vec<String> {
    let mut lines: Vec<String> =
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect();
    // Replies come as they are done.
    lines.sort();
    lines
}

/// Waits until some lines are there, but not all.
fn midway(child: &mut Child, out: &Path) {
    let patience = Instant::now() + Duration::from_secs(300);
    while lines(out).len() < STOPPED_AFTER {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(Instant::now() < patience, "it does not get on");
        sleep(Duration::from_millis(5));
    }
}

fn rows(folder: &Path) -> PathBuf {
    let path = folder.join("rows.jsonl");
    let row = |i: usize| {
        let answer = format!("{i} and {i} are {}.", 2 * i);
        format!("{{\"question\": \"How many are {i} and {i}?\", \"answer\": \"{answer}\"}}\n")
    };
    fs::write(&path, (0..ROWS).map(row).collect::<String>()).unwrap();
    path
}

#[test]
fn replies_go_on_where_they_were_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(folder.path());
    let [whole, stopped] = ["whole.jsonl", "stopped.jsonl"].map(|name| folder.path().join(name));
    let generate = |out: &Path| command(&["generate", "--limit", "48", "--batch", "1"], &rows, out);
    assert!(generate(&whole).status().unwrap().success());
    assert_eq!(lines(&whole).len(), 1 + ROWS);

    let mut child = generate(&stopped).spawn().unwrap();
    midway(&mut child, &stopped);
    // SAFETY: a signal to a child that was not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let kept = lines(&stopped);
    assert!(kept.len() < 1 + ROWS && kept.iter().all(|line| lines(&whole).contains(line)), "{kept:?}");

    // Killed without warning, while it loads or later.
    let mut child = generate(&stopped).spawn().unwrap();
    sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(generate(&stopped).status().unwrap().success());
    assert_eq!(lines(&stopped), lines(&whole));
}

#[test]
fn replies_of_another_adapter_of_the_same_name_are_not_gone_on_with() {
    let bench = Bench::new();
    let (model, adapter, out) = (bench.path("model"), bench.path("run/adapter"), bench.path("replies.jsonl"));
    let generate = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.arg("generate").arg(bench.path("rows.jsonl")).args(["-n", "2", "--limit", "3"]);
        command.arg("--model").arg(&model).arg("--adapter").arg(&adapter).arg("--out").arg(&out);
        command.output().unwrap()
    };
    let train = |seed| {
        bench.undisturbed("run", &["--fresh", "--set", "train.steps=2", "--set", NO_GROWTH, "--set", seed]);
    };
    let refused = || {
        let output = generate();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("was made with other settings:\n  adapter: "), "{}", said(&output));
    };
    train("train.seed=1");
    for _ in 0..2 {
        let output = generate();
        assert!(output.status.success(), "{}", said(&output));
    }
    train("train.seed=2");
    refused();

    // Of before the adapter's content was written down.
    let text = fs::read_to_string(&out).unwrap();
    let (header, replies) = text.split_once('\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_str(header).unwrap();
    header["header"]["adapter"] = adapter.to_str().unwrap().into();
    fs::write(&out, format!("{header}\n{replies}")).unwrap();
    refused();
}

#[test]
fn uncertainties_go_on_after_the_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let (rows, out) = (rows(folder.path()), folder.path().join("out.jsonl"));
    let uncertainty = || command(&["uncertainty", "--passes", "3"], &rows, &out).status().unwrap();
    assert!(uncertainty().success());
    let whole = fs::read_to_string(&out).unwrap();
    assert_eq!(whole.lines().count(), 1 + ROWS);
    let kept: usize = whole.lines().take(STOPPED_AFTER).map(|line| line.len() + 1).sum();
    fs::write(&out, &whole[..kept + 40]).unwrap();
    assert!(uncertainty().success());
    let again = fs::read_to_string(&out).unwrap();
    assert_eq!(again.lines().count(), 1 + ROWS);
    assert_eq!(again[..kept], whole[..kept]);
    // Nothing is left to do: the file stays as it is.
    assert!(uncertainty().success());
    assert_eq!(fs::read_to_string(&out).unwrap(), again);
}
