//! Runs that several processes share, with the real program on a tiny random model: the same curve and adapter as one
//! process's to 1e-5, the same bits each time; killed, continued with another number, started as launchers do.
//!
//! Needs libtorch; makes its own model and data in a temporary folder. `cargo test -p tokensieve-cli --test processes`.
#![allow(unsafe_code)]

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bench::{Bench, NO_GROWTH, RESULTS, said};
use serde_json::Value;
use tch::Tensor;
use tokensieve_processes::Store;

const TWO: [&str; 2] = ["--processes", "2"];

/// Every number of a curve, and the keys that they stand under.
fn curve(bench: &Bench, out: &str) -> Vec<(String, f64)> {
    let text = fs::read_to_string(bench.path(out).join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let Value::Object(line) = serde_json::from_str(line).unwrap() else { unreachable!() };
        line.into_iter().filter_map(|(key, value)| Some((key, value.as_f64()?))).collect::<Vec<_>>()
    };
    text.lines().flat_map(line).collect()
}

/// Sees that two runs did the same to 1e-5.
fn alike(bench: &Bench, one: &str, other: &str) {
    let (a, b) = (curve(bench, one), curve(bench, other));
    assert!(a.len() > 20 && a.len() == b.len(), "{} {}", a.len(), b.len());
    for ((key, a), (other_key, b)) in a.into_iter().zip(b) {
        assert_eq!(key, other_key);
        assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{key} of {one} and {other}: {a} {b}");
    }
    let weights = |out: &str| {
        let path = bench.path(out).join("adapter/adapter_model.safetensors");
        let mut tensors = Tensor::read_safetensors(path).unwrap();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors
    };
    for ((name, a), (_, b)) in weights(one).iter().zip(&weights(other)) {
        let away = (a - b).abs().max().double_value(&[]);
        assert!(away <= 1e-5, "{name} of {one} and {other}: {away}");
    }
    bench.same(one, other, &["selection.jsonl"]);
}

#[test]
fn two_processes_compute_what_one_computes() {
    let bench = Bench::new();
    let steps = ["--set", "train.steps=12", "--set", "train.grow_rank=[{step=6,rank=4}]"];
    let reference = format!("reference.adapter={}", bench.path("mle/adapter").display());
    bench
        .undisturbed("mle", &["--set", "train.steps=2", "--set", NO_GROWTH, "--set", "objective.preset=mle"]);
    for (name, sets) in [
        ("plain", vec!["objective={preset=\"mle\"}"]),
        // Selection by a running quantile, dropout, an adapter that grows, early stopping.
        ("masked", vec![]),
        ("documents", vec!["objective={preset=\"masked-mle\",select={of=\"documents\"}}"]),
        ("distilled", vec!["objective={preset=\"masked-mle+distill\"}", &reference]),
        ("corpus", vec!["objective={preset=\"masked-mle\",select={within=\"corpus\"}}"]),
    ] {
        let sets: Vec<&str> = sets.into_iter().flat_map(|set| ["--set", set]).collect();
        let arguments = [&steps[..], &sets].concat();
        let [one, two, again] = ["one", "two", "again"].map(|run| format!("{name}-{run}"));
        bench.undisturbed(&one, &arguments);
        bench.undisturbed(&two, &[&arguments[..], &TWO].concat());
        alike(&bench, &one, &two);
        if name == "masked" {
            bench.undisturbed(&again, &[&arguments[..], &TWO].concat());
            bench.same(&two, &again, &RESULTS);
            let run: Value =
                serde_json::from_slice(&fs::read(bench.path(&two).join("run.json")).unwrap()).unwrap();
            assert_eq!(run["processes"], 2);
        }
    }
}

#[test]
fn all_weights_are_shared_too() {
    let bench = Bench::full();
    let steps = ["--set", "train.steps=6"];
    bench.undisturbed("one", &steps);
    bench.undisturbed("two", &[&steps[..], &TWO].concat());
    for ((key, a), (_, b)) in curve(&bench, "one").into_iter().zip(curve(&bench, "two")) {
        assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{key}: {a} {b}");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_processes() {
    let bench = Bench::new();
    let whole = ["--set", "train.steps=12", "--set", NO_GROWTH];
    bench.undisturbed("whole", &whole);
    let slow = [&whole[..], &["--set", "train.save_every=1000"]].concat();
    let output = bench.interrupted("out", &[&slow[..], &TWO].concat(), 4);
    assert!(said(&output).contains("interrupted after step"), "{}", said(&output));
    let output = bench.run("out", &[&slow[..], &["--processes", "3"]].concat());
    assert!(output.status.success() && said(&output).contains("continuing after step"), "{}", said(&output));
    alike(&bench, "whole", "out");
    // Each line once, as if one process had printed it.
    assert_eq!(said(&output).matches("continuing after step").count(), 1);
}

/// What a launcher would start: process `rank` of `size`.
fn process(bench: &Bench, out: &str, arguments: &[&str], places: [usize; 2], port: u16) -> Command {
    launched(bench.command(out, arguments), places, port)
}

fn launched(mut command: Command, [rank, size]: [usize; 2], port: u16) -> Command {
    for (name, value) in
        [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", size), ("LOCAL_WORLD_SIZE", size)]
    {
        command.env(name, value.to_string());
    }
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    command
}

/// Processes that a launcher started which keeps the store, as torchrun does.
struct Started {
    children: Vec<Child>,
    _store: Store,
}

fn started(bench: &Bench, out: &str, arguments: &[&str], size: usize) -> Started {
    started_with(bench, out, &vec![arguments; size])
}

/// Each with arguments of its own.
fn started_with(bench: &Bench, out: &str, arguments: &[&[&str]]) -> Started {
    let store = Store::keep("127.0.0.1", 0, Duration::from_secs(20)).unwrap();
    let start = |(rank, own): (usize, &&[&str])| {
        let mut command = process(bench, out, own, [rank, arguments.len()], store.port());
        command.env("TORCHELASTIC_USE_AGENT_STORE", "True").spawn().unwrap()
    };
    Started { children: arguments.iter().enumerate().map(start).collect(), _store: store }
}

fn ends(child: Child) -> Output {
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    output
}

#[test]
fn launchers_variables_make_one_run_whose_first_process_speaks() {
    let bench = Bench::new();
    let arguments = ["--set", "train.steps=6", "--set", NO_GROWTH];
    bench.undisturbed("one", &arguments);
    let two = started(&bench, "two", &arguments, 2);
    let outputs: Vec<Output> = two.children.into_iter().map(ends).collect();
    assert!(
        outputs.iter().all(|output| output.status.success()),
        "{}",
        outputs.iter().map(said).collect::<String>()
    );
    assert!(
        said(&outputs[0]).contains("all 6 steps done") && said(&outputs[1]).is_empty(),
        "{}",
        said(&outputs[1])
    );
    alike(&bench, "one", "two");
}

#[test]
fn one_that_replies_with_other_settings_is_named() {
    let bench = Bench::new();
    for arguments in [
        &["generate", "rows.jsonl", "--out", "g.jsonl", "--limit", "2"][..],
        &["evaluate", "--suite", "nll:rows.jsonl", "--out", "e.json"],
        &["uncertainty", "rows.jsonl", "--out", "u.jsonl", "--passes", "2"],
    ] {
        let store = Store::keep("127.0.0.1", 0, Duration::from_secs(20)).unwrap();
        let start = |rank: usize| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
            command.args(arguments).args(["--model", "model", "--seed", ["1", "2"][rank]]);
            command.current_dir(bench.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut command = launched(command, [rank, 2], store.port());
            command.env("TORCHELASTIC_USE_AGENT_STORE", "True").spawn().unwrap()
        };
        let outputs: Vec<Output> = [0, 1].map(start).into_iter().map(ends).collect();
        let said: String = outputs.iter().map(said).collect();
        assert!(outputs.iter().all(|output| !output.status.success()), "{said}");
        assert!(said.contains("process 1 has another adapter or setting than process 0"), "{said}");
    }
}

#[test]
fn when_one_is_killed_the_others_end_and_say_how_to_go_on() {
    let bench = Bench::new();
    let endless =
        ["--set", "train.steps=100000", "--set", NO_GROWTH, "--set", "train.early_stop.patience=100000"];
    for victim in [0, 2] {
        let Started { mut children, _store } = started(&bench, "out", &endless, 3);
        let goal = bench.steps("out") + 8;
        while bench.steps("out") < goal {
            assert!(
                children[0].try_wait().unwrap().is_none(),
                "{}",
                said(&children.remove(0).wait_with_output().unwrap())
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut killed = children.remove(victim);
        killed.kill().unwrap();
        let since = Instant::now();
        killed.wait().unwrap();
        for child in children {
            let output = ends(child);
            // The docs' promise; emulated processors take their time.
            assert!(since.elapsed() < Duration::from_secs(30) || cfg!(target_arch = "aarch64"), "{since:?}");
            let text = said(&output);
            assert_eq!(output.status.code(), Some(1), "{text}");
            let name = format!("process {victim} of 0 to 2 on 127.0.0.1 ended without a word");
            assert!(text.contains("error: step ") && text.contains(&name), "{text}");
            assert!(text.contains("is intact: the same command continues from it"), "{text}");
        }
    }
    let output = bench.interrupted("out", &endless, bench.steps("out") + 2);
    assert!(said(&output).contains("continuing after step"), "{}", said(&output));
}

#[test]
fn when_one_hangs_the_others_end() {
    let bench = Bench::new();
    let endless =
        ["--set", "train.steps=100000", "--set", NO_GROWTH, "--set", "train.early_stop.patience=100000"];
    let Started { mut children, _store } = started(&bench, "out", &endless, 2);
    while bench.steps("out") < 5 {
        assert!(children[0].try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut hung = children.pop().unwrap();
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { libc::kill(hung.id() as i32, libc::SIGSTOP) };
    let output = ends(children.pop().unwrap());
    assert!(
        said(&output).contains("process 1 of 0 to 1 on 127.0.0.1 has been silent for 12 s"),
        "{}",
        said(&output)
    );
    hung.kill().unwrap();
    hung.wait().unwrap();
}

#[test]
fn an_error_of_the_data_is_printed_once() {
    let bench = Bench::new();
    let output = bench.run("out", &["--processes", "3", "--set", "lora.target_modules=[\"q_porj\"]"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output).matches("q_porj").count(), 1, "{}", said(&output));
}

#[test]
fn what_cannot_be_is_refused() {
    let bench = Bench::new();
    let mut command = process(&bench, "out", &TWO, [0, 3], 1);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(said(&output).contains("--processes is 2, but 3 processes were started"), "{}", said(&output));

    // Two processes with different data.
    let two = started_with(&bench, "out", &[&[], &["--set", "data.limit=20"]]);
    for output in two.children.into_iter().map(ends) {
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).contains("process 1 has another configuration than process 0"),
            "{}",
            said(&output)
        );
    }
}
