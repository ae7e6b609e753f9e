//! Whoever watches may go, and whoever is impatient may ask twice. Needs libtorch; run:
//! `cargo test -p tokensieve-cli --test watched`.
#![allow(unsafe_code)]

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use bench::{Bench, NO_GROWTH, RESULTS, said};

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn tokensieve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.args(arguments);
    command
}

#[test]
fn a_run_that_nobody_hears_goes_on() {
    let bench = Bench::new();
    let arguments = ["--set", "train.steps=12", "--set", NO_GROWTH];
    bench.undisturbed("heard", &arguments);
    assert!(bench.command("full", &arguments).stderr(full()).status().unwrap().success());
    let mut child = bench.command("closed", &arguments).spawn().unwrap();
    // Its readers go.
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success());
    for out in ["full", "closed"] {
        bench.same("heard", out, &RESULTS);
    }
}

#[test]
fn what_is_asked_for_is_printed_or_an_error() {
    for arguments in [["objectives"].as_slice(), &["evaluate", "--tasks"], &["train", "--keys"]] {
        let output = tokensieve(arguments).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said(&output).starts_with("error: standard output: No space left"), "{}", said(&output));
        let mut child = tokensieve(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let bench = Bench::new();
    // All rows many times over in each step, so that both signals come during one.
    let rows = fs::read_to_string(bench.path("rows.jsonl")).unwrap().repeat(40);
    let batch = format!("train.batch_size={}", rows.lines().count());
    fs::write(bench.path("rows.jsonl"), rows).unwrap();
    let sets = ["train.steps=100000", batch.as_str(), "eval.held.limit=4", NO_GROWTH];
    let arguments = sets.map(|set| ["--set", set]).concat();
    let mut at_once = 0;
    for attempt in 0..8 {
        let out = format!("run-{attempt}");
        let mut child = bench.command(&out, &arguments).spawn().unwrap();
        while bench.steps(&out) < 2 {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(5 * attempt));
        for _ in 0..2 {
            // SAFETY: a signal to a child of ours that has not been waited for.
            unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
            // What comes sooner is the same request.
            sleep(Duration::from_millis(25 + attempt));
        }
        let output = child.wait_with_output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(130), "{} {text}", output.status);
        assert!(text.contains("Ctrl-C again stops at once"), "{text}");
        // After the first one alone the step is completed, and the run says where it stopped.
        at_once += usize::from(!text.contains("interrupted after step"));
    }
    // The first one may come between two steps, where the run ends without another.
    assert!(at_once > 0, "the second Ctrl-C changes nothing");
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let bench = Bench::new();
    let run = bench.command("run", &["--set", NO_GROWTH]);
    let mut command = Command::new("nohup");
    command.arg(run.get_program()).args(run.get_args()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while bench.steps("run") < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        sleep(Duration::from_millis(1));
    }
    for _ in 0..2 {
        // SAFETY: a signal to a child of ours that has not been waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGHUP) };
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{} {}", output.status, said(&output));
}

#[test]
fn nothing_that_is_no_number_is_saved() {
    let bench = Bench::new();
    // Where a gradient is 0, as B's is for A at the start, a step of AdamW is then 0/0: in f32 this is 0.
    let output =
        bench.run("run", &["--set", "train.eps=1e-60", "--set", "train.steps=1", "--set", NO_GROWTH]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("the length of the trained parameters after the step is NaN"),
        "{}",
        said(&output)
    );
    assert!(!bench.path("run/adapter").exists() && !bench.path("run/checkpoints/step-00000001").exists());
}

#[test]
fn a_configuration_by_hand_is_not_written_over() {
    let bench = Bench::new();
    let text = fs::read_to_string(bench.path("run.toml")).unwrap();
    fs::create_dir(bench.path("run")).unwrap();
    let config = bench.path("run/config.toml");
    fs::write(&config, format!("# Notes.\n{text}")).unwrap();
    let train = |arguments: &[&str]| {
        let mut command = tokensieve(&["train"]);
        command.arg(&config).arg("--out").arg(bench.path("run")).args(arguments).output().unwrap()
    };
    let short = ["--set", "train.steps=2", "--set", NO_GROWTH];
    let output = train(&short);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("config.toml: is where the run writes"), "{}", said(&output));
    assert!(fs::read_to_string(&config).unwrap().starts_with("# Notes.\n"));

    // One that a run derived is gone on with.
    fs::remove_file(&config).unwrap();
    bench.undisturbed("run", &short);
    let output = train(&[]);
    assert!(output.status.success(), "{}", said(&output));
}
