//! `generate`, `evaluate` and `uncertainty` in several processes, with the real program on a tiny random model: the same
//! bytes as one process's; killed or interrupted, they continue with another number.
//!
//! Needs libtorch; makes its own model and data in a temporary folder. `cargo test -p tokensieve-cli --test shared_verbs`.
#![allow(unsafe_code)]

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bench::{Bench, said};
use serde_json::Value;

/// How often a verb is started that is over before it can be disturbed.
const TRIES: usize = 20;

/// A verb, what it writes, and enough work that it can be disturbed.
struct Verb {
    name: &'static str,
    arguments: &'static [&'static str],
    /// The file that grows; it is named after --out.
    grows: &'static str,
}

const GENERATE: Verb = Verb {
    name: "generate",
    arguments: &["ROWS", "--model", "MODEL", "--precision", "f32", "--limit", "60", "--batch", "2"],
    grows: "out.jsonl",
};

const UNCERTAINTY: Verb = Verb {
    name: "uncertainty",
    arguments: &["ROWS", "--model", "MODEL", "--precision", "f32", "--passes", "20"],
    grows: "out.jsonl",
};

const EVALUATE: Verb = Verb {
    name: "evaluate",
    arguments: &["--suite", "nll:ROWS,arithmetic", "--limit", "40", "--model", "MODEL", "--precision", "f32"],
    grows: "out.answers.jsonl",
};

impl Verb {
    /// The command, which writes into a folder of its own.
    fn command(&self, bench: &Bench, folder: &str, processes: &str) -> Command {
        fs::create_dir_all(bench.path(folder)).unwrap();
        let place = |name: &str| bench.path(name).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.arg(self.name);
        for argument in self.arguments {
            command.arg(argument.replace("ROWS", &place("rows.jsonl")).replace("MODEL", &place("model")));
        }
        let out = if self.name == "evaluate" { "out.json" } else { "out.jsonl" };
        command.arg("--out").arg(bench.path(folder).join(out)).args(["--processes", processes]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, bench: &Bench, folder: &str, processes: &str) -> Output {
        self.command(bench, folder, processes).output().unwrap()
    }

    fn undisturbed(&self, bench: &Bench, folder: &str, processes: &str) {
        let output = self.run(bench, folder, processes);
        assert!(output.status.success(), "{}", said(&output));
    }

    /// A run that a signal ends when it has written some of the lines that the undisturbed run `whole` has. One that is
    /// over before leaves nothing to continue: it begins again.
    fn disturbed(&self, bench: &Bench, whole: &str, folder: &str, processes: &str, signal: i32) -> Output {
        for _ in 0..TRIES {
            let mut child = self.command(bench, folder, processes).spawn().unwrap();
            while self.lines(bench, folder) < 4 && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if child.try_wait().unwrap().is_none() {
                // SAFETY: a signal to a child of ours that has not been waited for.
                unsafe { libc::kill(child.id() as i32, signal) };
            }
            let output = child.wait_with_output().unwrap();
            let ended_by_it = if signal == libc::SIGINT {
                output.status.code() == Some(130)
            } else {
                output.status.signal() == Some(signal)
            };
            assert!(ended_by_it || output.status.success(), "{}: {}", output.status, said(&output));
            if ended_by_it && self.lines(bench, folder) < self.lines(bench, whole) {
                return output;
            }
            fs::remove_dir_all(bench.path(folder)).unwrap();
        }
        panic!("{} was over {TRIES} times before it could be disturbed", self.name);
    }

    fn lines(&self, bench: &Bench, folder: &str) -> usize {
        fs::read_to_string(bench.path(folder).join(self.grows)).unwrap_or_default().lines().count()
    }

    /// What two folders hold is the same, but for seconds and the order in which answers came.
    fn same(&self, bench: &Bench, one: &str, other: &str) {
        let text = |folder: &str, file| fs::read_to_string(bench.path(folder).join(file)).unwrap();
        if self.name != "evaluate" {
            assert_eq!(text(one, self.grows), text(other, self.grows));
            return;
        }
        let answers = |folder: &str| {
            let line = |line: &str| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                line.as_object_mut().unwrap().remove("seconds");
                line.to_string()
            };
            let mut lines: Vec<String> = text(folder, self.grows).lines().map(line).collect();
            lines.sort();
            lines
        };
        assert_eq!(answers(one), answers(other));
        let tasks = |folder: &str| {
            let mut results: Value = serde_json::from_str(&text(folder, "out.json")).unwrap();
            for task in results["tasks"].as_object_mut().unwrap().values_mut() {
                task.as_object_mut().unwrap().remove("seconds");
            }
            results["tasks"].clone()
        };
        assert_eq!(tasks(one), tasks(other));
    }
}

const ALL: [Verb; 3] = [GENERATE, EVALUATE, UNCERTAINTY];

fn bench() -> Bench {
    let bench = Bench::new();
    // Enough rows that documents fill several passes.
    let row = |i: usize| {
        let words = "one two three four five six seven ".repeat(1 + i % 13);
        let (a, b) = (i * 31 % 17, i * 37 % 101);
        format!("{{\"prompt\": \"Row {i}: {a}\", \"completion\": \"{words}is {b}.\"}}\n")
    };
    fs::write(bench.path("rows.jsonl"), (0..90).map(row).collect::<String>()).unwrap();
    bench
}

#[test]
fn three_processes_write_what_one_writes() {
    let bench = bench();
    for verb in ALL {
        let [one, three] = ["one", "three"].map(|folder| format!("{}-{folder}", verb.name));
        verb.undisturbed(&bench, &one, "1");
        verb.undisturbed(&bench, &three, "3");
        verb.same(&bench, &one, &three);
        assert!(verb.lines(&bench, &one) > 80);
    }
}

#[test]
fn killed_they_continue_with_another_number() {
    let bench = bench();
    for verb in ALL {
        let [whole, killed] = ["whole", "killed"].map(|folder| format!("{}-{folder}", verb.name));
        verb.undisturbed(&bench, &whole, "1");
        verb.disturbed(&bench, &whole, &killed, "3", libc::SIGKILL);
        verb.undisturbed(&bench, &killed, "2");
        verb.same(&bench, &whole, &killed);
    }
}

#[test]
fn interrupted_they_end_together_and_continue() {
    let bench = bench();
    for verb in ALL {
        let [whole, stopped] = ["whole", "stopped"].map(|folder| format!("{}-{folder}", verb.name));
        verb.undisturbed(&bench, &whole, "1");
        let output = verb.disturbed(&bench, &whole, &stopped, "2", libc::SIGINT);
        assert!(!said(&output).contains("error"), "{}", said(&output));
        verb.undisturbed(&bench, &stopped, "3");
        verb.same(&bench, &whole, &stopped);
    }
}

#[test]
fn an_error_is_printed_once() {
    let bench = bench();
    fs::write(bench.path("rows.jsonl"), "{\"prompt\": 1}\n").unwrap();
    for verb in ALL {
        let output = verb.run(&bench, "bad", "3");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!(said(&output).matches("rows.jsonl:1").count(), 1, "{}", said(&output));
    }
}
