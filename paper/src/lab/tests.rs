//! The lab with a stand-in for the program: a shell script that notes how often it was started.

use super::queue::{self, Shard};
use super::{Job, Lab, Value, Verb};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A folder that goes when the test is over.
struct Sandbox(PathBuf);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes its output, or fills the folder of a training run; fails where a file `fail` lies beside it.
const SCRIPT: &str = r#"#!/bin/sh
home=$(dirname "$0")
for out; do :; done
echo "$1 starts"
echo "$*" >> "$home/calls"
if [ "$1" = train ]; then
    echo one >> "$out/steps"
    [ ! -e "$home/fail" ] || { echo "error: the loss is no number"; exit 1; }
    [ ! -e "$home/endless" ] || { echo $$ > "$home/process"; exec sleep 600; }
    [ ! -e "$home/slow" ] || sleep 0.02
    echo done > "$out/adapter"
else
    echo partial >> "$(dirname "$out")/seen"
    [ ! -e "$home/fail" ] || { echo "error: no such thing" >&2; exit 3; }
    [ -e "$home/lazy" ] || echo '{}' > "$out"
fi
"#;

impl Sandbox {
    fn new(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tokensieve-lab-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let sandbox = Self(folder);
        sandbox.install(SCRIPT)?;
        Ok(sandbox)
    }

    /// Makes it the program. Another process copies it: while this one writes, another thread's child may hold the file,
    /// which cannot be executed then.
    fn install(&self, script: &str) -> Result<()> {
        fs::write(self.0.join("script"), script)?;
        let install = ["-m", "755", "script", "program.sh"];
        let installed = std::process::Command::new("install").args(install).current_dir(&self.0).status()?;
        assert!(installed.success());
        Ok(())
    }

    fn program(&self) -> PathBuf {
        self.0.join("program.sh")
    }

    fn lab(&self) -> Lab {
        Lab::open(&self.0.join("out")).with_program(self.program())
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.0.join("calls")).map_or(0, |text| text.lines().count())
    }

    fn touch(&self, name: &str) -> Result<()> {
        Ok(fs::write(self.0.join(name), "")?)
    }
}

fn train(seed: i64) -> Arc<Job> {
    Job::new(Verb::Train, format!("train seed {seed}")).set("train.seed", seed).shared()
}

fn evaluate(trained: &Arc<Job>) -> Arc<Job> {
    Job::new(Verb::Evaluate, format!("evaluate {}", trained.name))
        .set("adapter", Value::Result(trained.clone(), "adapter".into()))
        .shared()
}

fn silent(_: &str) {}

#[test]
fn a_job_is_done_once_with_what_it_needs_and_leaves_its_provenance() -> Result<()> {
    let sandbox = Sandbox::new("once")?;
    let (lab, job) = (sandbox.lab(), evaluate(&train(0)));
    assert!(lab.done(&job).is_none());
    let (folder, made) = lab.make(&job, &silent)?;
    assert!(made && folder.join("evaluation.json").exists());
    assert_eq!(sandbox.calls(), 2);
    assert!(!lab.make(&job, &silent)?.1);
    assert_eq!(sandbox.calls(), 2);
    let provenance = lab.done(&job).context("it is done")?;
    assert_eq!(provenance.name, "evaluate train seed 0");
    assert!(provenance.command.contains("evaluate --adapter"), "{}", provenance.command);
    assert!(lab.place(&train(0)).join("job.toml").exists());
    assert!(!folder.with_extension("partial").exists());
    Ok(())
}

#[test]
fn a_failure_names_the_command_and_the_last_words_and_leaves_no_result() -> Result<()> {
    let sandbox = Sandbox::new("failure")?;
    let (lab, job) = (sandbox.lab(), train(0));
    sandbox.touch("fail")?;
    let error = format!("{:#}", lab.make(&job, &silent).unwrap_err());
    for part in ["train seed 0: ", "error: the loss is no number", "To repeat it:", "program.sh train /"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(lab.done(&job).is_none());
    // The next attempt continues in the folder that the failed one left.
    fs::remove_file(sandbox.0.join("fail"))?;
    let (folder, _) = lab.make(&job, &silent)?;
    assert_eq!(fs::read_to_string(folder.join("steps"))?, "one\none\n");
    let log = fs::read_to_string(folder.join("log.txt"))?;
    assert_eq!(log, "train starts\nerror: the loss is no number\ntrain starts\n");
    Ok(())
}

#[test]
fn the_log_has_what_every_program_of_a_job_printed_and_an_error_its_own_lines() -> Result<()> {
    let sandbox = Sandbox::new("log")?;
    let evaluation = Job::new(Verb::Evaluate, "e").set("adapter", Value::Own("adapter".into()));
    let job = Job::new(Verb::Train, "t").set("train.seed", 0).then(evaluation);
    sandbox
        .install(&SCRIPT.replace("echo partial", "[ ! -e \"$home/broken\" ] || exit 3\n    echo partial"))?;
    sandbox.touch("broken")?;
    let error = format!("{:#}", sandbox.lab().make(&job, &silent).unwrap_err());
    assert!(error.contains("evaluate starts") && !error.contains("train starts"), "{error}");
    fs::remove_file(sandbox.0.join("broken"))?;
    let (folder, _) = sandbox.lab().make(&job, &silent)?;
    let log = fs::read_to_string(folder.join("log.txt"))?;
    assert_eq!(log, "train starts\nevaluate starts\n".repeat(2));
    Ok(())
}

#[test]
fn what_cannot_continue_begins_anew_and_a_program_that_writes_nothing_has_failed() -> Result<()> {
    let sandbox = Sandbox::new("anew")?;
    let (lab, job) = (sandbox.lab(), Job::new(Verb::Uncertainty, "u"));
    sandbox.touch("lazy")?;
    let error = format!("{:#}", lab.make(&job, &silent).unwrap_err());
    assert!(error.contains("ended well but left no"), "{error}");
    fs::remove_file(sandbox.0.join("lazy"))?;
    let (folder, _) = lab.make(&job, &silent)?;
    assert_eq!(fs::read_to_string(folder.join("seen"))?, "partial\n");
    Ok(())
}

#[test]
fn a_damaged_result_stays_and_is_named_and_one_without_provenance_is_made_again() -> Result<()> {
    let sandbox = Sandbox::new("torn")?;
    let (lab, job) = (sandbox.lab(), train(0));
    let (folder, _) = lab.make(&job, &silent)?;
    let provenance = folder.join("job.json");
    fs::write(&provenance, "{\"name\"")?;
    assert!(lab.done(&job).is_none());
    let queued = || queue::run(&lab, &[job.clone(), train(1)], Shard::ALL, 1, &|_| ());
    for error in [lab.make(&job, &silent).unwrap_err(), queued().unwrap_err()] {
        let error = format!("{error:#}");
        let what = format!("train seed 0: {} is damaged: restore it, or move", provenance.display());
        assert!(error.contains(&what) && error.contains("EOF while parsing"), "{error}");
    }
    assert!(folder.join("adapter").exists());
    assert!(lab.done(&train(1)).is_some(), "other jobs go on");
    fs::remove_file(&provenance)?;
    assert!(lab.make(&job, &silent)?.1);
    assert_eq!(sandbox.calls(), 3);
    Ok(())
}

#[test]
fn checkpoints_are_removed_from_what_is_done() -> Result<()> {
    let sandbox = Sandbox::new("checkpoints")?;
    let script = SCRIPT.replace("echo done > \"$out/adapter\"", "mkdir -p \"$out/checkpoints/step-1\"");
    sandbox.install(&script)?;
    assert!(!sandbox.lab().make(&train(0), &silent)?.0.join("checkpoints").exists());
    Ok(())
}

fn grid() -> Vec<Arc<Job>> {
    (0..6).map(|seed| evaluate(&train(seed))).collect()
}

#[test]
fn a_queue_does_everything_once_whatever_the_number_of_workers() -> Result<()> {
    for workers in [1, 3] {
        let sandbox = Sandbox::new(&format!("queue-{workers}"))?;
        let lab = sandbox.lab();
        queue::run(&lab, &grid(), Shard::ALL, workers, &|_| ())?;
        assert_eq!(sandbox.calls(), 12);
        assert!(grid().iter().all(|job| lab.done(job).is_some()));
    }
    Ok(())
}

#[test]
fn two_queues_on_one_folder_share_the_work() -> Result<()> {
    let sandbox = Sandbox::new("two")?;
    let run = |shard: Shard| {
        let lab = sandbox.lab();
        queue::run(&lab, &grid(), shard, 1, &|_| ())
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run(Shard::ALL));
        let second = scope.spawn(|| run(Shard::ALL));
        first.join().expect("no panic").and(second.join().expect("no panic"))
    })?;
    assert_eq!(sandbox.calls(), 12);
    Ok(())
}

#[test]
fn shards_one_after_the_other_finish_and_do_nothing_twice() -> Result<()> {
    let sandbox = Sandbox::new("shards")?;
    let lab = sandbox.lab();
    for index in 1..=3 {
        queue::run(
            &lab,
            &grid(),
            Shard::parse(&format!("{index}/3")).map_err(anyhow::Error::msg)?,
            1,
            &|_| (),
        )?;
    }
    assert_eq!(sandbox.calls(), 12);
    assert!(grid().iter().all(|job| lab.done(job).is_some()));
    Ok(())
}

#[test]
fn a_failed_job_fails_the_queue_but_not_the_others() -> Result<()> {
    let sandbox = Sandbox::new("some-fail")?;
    let script = SCRIPT
        .replace("echo \"$*\"", "grep -q 'seed = 2' \"$2\" && { echo 'error: two'; exit 1; }; echo \"$*\"");
    sandbox.install(&script)?;
    let error = format!("{:#}", queue::run(&sandbox.lab(), &grid(), Shard::ALL, 2, &|_| ()).unwrap_err());
    assert!(error.contains("1 of 12 jobs failed") && error.contains("error: two"), "{error}");
    assert!(error.contains("1 more could not be done"), "{error}");
    assert_eq!(sandbox.calls(), 10);
    Ok(())
}

#[test]
fn where_nothing_can_be_written_no_other_job_is_begun() -> Result<()> {
    let sandbox = Sandbox::new("no-room")?;
    let script = SCRIPT.replace("echo \"$*\"", "rm -r \"$home/out/lab\"; : > \"$home/out/lab\"; echo \"$*\"");
    sandbox.install(&script)?;
    let error = format!("{:#}", queue::run(&sandbox.lab(), &grid(), Shard::ALL, 1, &|_| ()).unwrap_err());
    assert!(error.contains("1 of 12 jobs failed, and 11 more were not begun: writing in "), "{error}");
    assert!(error.contains("train seed 0: `tokensieve train` failed"), "{error}");
    assert_eq!(sandbox.calls(), 1);
    Ok(())
}

#[test]
fn a_program_that_is_replaced_while_it_runs_ends_the_queue_and_leaves_nothing() -> Result<()> {
    let sandbox = Sandbox::new("replaced")?;
    let replace =
        "rm \"$home/replace\"; install -m 755 \"$home/script\" \"$home/new\"; mv \"$home/new\" \"$0\"";
    let script = format!("[ ! -e \"$home/replace\" ] || {{ {replace}; }}\necho \"$*\"");
    sandbox.install(&SCRIPT.replace("echo \"$*\"", &script))?;
    sandbox.touch("replace")?;
    let lab = sandbox.lab();
    let error = format!("{:#}", queue::run(&lab, &grid(), Shard::ALL, 1, &|_| ()).unwrap_err());
    let what = format!("11 more were not begun: {} was built anew or replaced", sandbox.program().display());
    assert!(error.contains(&what), "{error}");
    assert_eq!(sandbox.calls(), 1);
    let place = lab.place(&train(0));
    assert!(!place.exists() && !place.with_extension("partial").exists());
    // The lab that found the program before does not run this one.
    let error = format!("{:#}", lab.make(&train(1), &silent).unwrap_err());
    assert!(error.contains("train seed 1: ") && error.contains("type the command again"), "{error}");
    assert_eq!(sandbox.calls(), 1);
    queue::run(&sandbox.lab(), &grid(), Shard::ALL, 1, &|_| ())?;
    assert_eq!(sandbox.calls(), 13);
    Ok(())
}

#[test]
fn every_job_belongs_to_exactly_one_shard() {
    for shards in 1..7 {
        for job in grid() {
            let owners = (1..=shards).filter(|index| {
                Shard::parse(&format!("{index}/{shards}")).is_ok_and(|shard| shard.owns(&job))
            });
            assert_eq!(owners.count(), 1, "{}", job.name);
        }
    }
    for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
        assert!(Shard::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn jobs_come_after_what_they_need_and_each_once() {
    let mut jobs = grid();
    jobs.extend(grid());
    let all = queue::with_needs(&jobs);
    assert_eq!(all.len(), 12);
    for (at, job) in all.iter().enumerate() {
        assert!(
            job.needs().all(|needed| all[..at].iter().any(|other| other.id() == needed.id())),
            "{}",
            job.name
        );
    }
}

#[test]
fn the_programs_absence_is_an_error_that_says_what_to_type() {
    let look = |named: Option<&str>| super::program::look(named.map(Into::into)).unwrap_err().to_string();
    // A test's program lies in deps/, where no tokensieve is.
    for unset in [None, Some("")] {
        let error = look(unset);
        assert!(error.contains("./just setup libtorch model"), "{error}");
    }
    assert_eq!(look(Some("/no/program")), "TOKENSIEVE_BIN names /no/program, which is no file");
}

#[test]
fn a_program_built_from_other_sources_is_refused() -> Result<()> {
    let sandbox = Sandbox::new("sources")?;
    let check_version = |version: &str| -> Result<()> {
        sandbox.install(&format!("#!/bin/sh\ncat <<END\n{version}\nEND\n"))?;
        super::program::check(&sandbox.program())
    };
    check_version(&format!("tokensieve {}\ncode {}", env!("CARGO_PKG_VERSION"), crate::code::ALL))?;
    for version in ["tokensieve 0.1.0", "tokensieve 0.1.0\ncode 0123"] {
        let error = check_version(version).unwrap_err().to_string();
        assert!(error.contains("program.sh was built from other sources"), "{error}");
        assert!(error.contains("cargo build --release -p tokensieve-cli --bin tokensieve"), "{error}");
    }
    sandbox.install("#!/bin/sh\necho no libtorch >&2\nexit 127\n")?;
    let error = super::program::check(&sandbox.program()).unwrap_err().to_string();
    assert!(error.contains("--version` failed") && error.contains("no libtorch"), "{error}");
    Ok(())
}

/// Where [`a_lab_of_its_own`] works.
const FOLDER: &str = "TOKENSIEVE_TEST_LAB";

/// The process that tests kill: in a folder that a test made it trains, and evaluates what it trained.
#[test]
fn a_lab_of_its_own() -> Result<()> {
    let Some(folder) = std::env::var_os(FOLDER) else { return Ok(()) };
    let sandbox = std::mem::ManuallyDrop::new(Sandbox(folder.into()));
    let jobs: Vec<Arc<Job>> = (0..12).map(|seed| evaluate(&train(seed))).collect();
    queue::run(&sandbox.lab(), &jobs, Shard::ALL, 2, &|_| {})
}

fn started(sandbox: &Sandbox) -> Result<std::process::Child> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["lab::tests::a_lab_of_its_own", "--exact"]).env(FOLDER, &sandbox.0);
    Ok(command.stdout(std::process::Stdio::null()).spawn()?)
}

/// Kills a lab whose programs are at work; returns the process of one of them.
fn killed_at_work(sandbox: &Sandbox) -> Result<String> {
    sandbox.touch("endless")?;
    let mut lab = started(sandbox)?;
    let mut process = String::new();
    while !process.ends_with('\n') {
        std::thread::sleep(Duration::from_millis(5));
        process = fs::read_to_string(sandbox.0.join("process")).unwrap_or_default();
        assert!(lab.try_wait()?.is_none(), "the lab ended before it was killed");
    }
    lab.kill()?;
    lab.wait()?;
    Ok(process)
}

#[test]
fn programs_end_with_the_lab() -> Result<()> {
    let sandbox = Sandbox::new("killed")?;
    let process = killed_at_work(&sandbox)?;
    let folder = Path::new("/proc").join(process.trim());
    let begun = Instant::now();
    // One that has ended has no program; nobody here waits for it.
    while fs::read_link(folder.join("exe")).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "process {process} goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn a_program_that_ends_after_the_lab_keeps_its_folder_until_then() -> Result<()> {
    let sandbox = Sandbox::new("lingering")?;
    // As the real one it refuses a folder that another process is in, and takes its time to leave it.
    let leave = "trap 'sleep 1; rmdir \"$out/busy\"; exit 1' TERM";
    let script = SCRIPT
        .replace("echo one", &format!("{leave}\nmkdir \"$out/busy\" || exit 1\necho one"))
        .replace("exec sleep 600", "while sleep 0.05; do :; done")
        .replace("echo done", "rmdir \"$out/busy\"\necho done");
    sandbox.install(&script)?;
    killed_at_work(&sandbox)?;
    fs::remove_file(sandbox.0.join("endless"))?;
    queue::run(&sandbox.lab(), &[train(0), train(1)], Shard::ALL, 2, &|_| ())
}

/// A lab whose results say what they were made from.
fn telling(name: &str) -> Result<Sandbox> {
    let sandbox = Sandbox::new(name)?;
    let adapter = "echo half > \"$out/adapter\"; sleep 0.01; grep 'seed = ' \"$2\" > \"$out/adapter\"";
    let script = SCRIPT.replace("echo done > \"$out/adapter\"", adapter);
    sandbox.install(&script.replace("echo '{}' > \"$out\"", "{ cat \"$3\"; echo evaluated; } > \"$out\""))?;
    Ok(sandbox)
}

/// What a job's result consists of, without the folder's name, seconds and the date.
fn result(sandbox: &Sandbox, job: &Job) -> Result<[String; 3]> {
    let lab = sandbox.lab();
    let read = |name: &str| fs::read_to_string(lab.place(job).join(name));
    let output = read(if job.verb == Verb::Train { "adapter" } else { "evaluation.json" })?;
    let configuration = if job.is_configured() { read("job.toml")? } else { String::new() };
    let mut provenance = lab.done(job).context("it is done")?;
    (provenance.seconds, provenance.date) = (0.0, String::new());
    let folder = sandbox.0.display().to_string();
    let texts = [output, configuration, serde_json::to_string(&provenance)?];
    Ok(texts.map(|text| text.replace(&folder, "FOLDER")))
}

#[test]
fn a_lab_that_is_killed_twenty_times_does_each_job_once_to_its_end() -> Result<()> {
    let (sandbox, undisturbed) = (telling("twenty")?, telling("undisturbed")?);
    assert!(started(&undisturbed)?.wait()?.success());
    sandbox.touch("slow")?;
    let jobs: Vec<Arc<Job>> = (0..12).flat_map(|seed| [train(seed), evaluate(&train(seed))]).collect();
    let kept = |job: &Arc<Job>| sandbox.lab().place(job).join("kept").exists();
    let mut kills = 0_u64;
    // More often and later where a busy machine has done nothing by then that could be left alone.
    while kills < 20 || !jobs.iter().any(kept) {
        let mut lab = started(&sandbox)?;
        std::thread::sleep(Duration::from_millis(5 + kills * 7 % 60 + 20 * kills.saturating_sub(20)));
        lab.kill()?;
        lab.wait()?;
        kills += 1;
        assert!(kills < 100, "no job came to its end in {kills} runs");
        let whole = sandbox.lab();
        for job in jobs.iter().filter(|job| whole.done(job).is_some()) {
            let folder = whole.place(job);
            let file = if job.verb == Verb::Train { "adapter" } else { "evaluation.json" };
            assert!(folder.join(file).exists(), "{}", job.name);
            // It goes when the job is done again.
            fs::write(folder.join("kept"), "")?;
        }
    }
    let lab = sandbox.lab();
    let before = jobs.iter().filter(|job| kept(job)).count();
    assert!(before > 0);
    assert!(started(&sandbox)?.wait()?.success());
    assert!(jobs.iter().all(|job| lab.done(job).is_some()));
    assert_eq!(jobs.iter().filter(|job| kept(job)).count(), before, "what was done is left alone");
    for job in &jobs {
        assert_eq!(result(&sandbox, job)?, result(&undisturbed, job)?, "{}", job.name);
        assert!(result(&sandbox, job)?[0].contains("seed = "), "{}", job.name);
    }
    let partial = fs::read_dir(sandbox.0.join("out/lab"))?.flatten();
    let left: Vec<_> = partial
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().ends_with("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
