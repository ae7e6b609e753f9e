//! Runs of the real program on a tiny random model: killed, interrupted, out of disk, begun afresh. Whatever happens, the
//! curve and the adapter of a run that was continued are those of one that was not, byte for byte.
//!
//! Needs libtorch; makes its own model and data in a temporary folder. `cargo test -p tokensieve-cli --test resume`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use bench::{Bench, NO_GROWTH, RESULTS, model, said};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// Kills a child when the curve has got `lines` longer and then some milliseconds have passed. Says whether it still ran.
fn kill_after(bench: &Bench, mut child: Child, out: &str, lines: usize, then: Duration) -> bool {
    let (start, goal) = (Instant::now(), bench.steps(out) + lines);
    while bench.steps(out) < goal && start.elapsed() < Duration::from_secs(30) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(then);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// Runs are killed with SIGKILL at random points, `kills` times, each continued; the end is that of one that was not. A
/// run that is over too soon begins again.
fn killed(bench: &Bench, arguments: &[&str], kills: usize, results: &[&str]) {
    bench.undisturbed("whole", arguments);
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let finish = || {
        bench.undisturbed("killed", arguments);
        bench.same("whole", "killed", results);
    };
    let (mut killed, mut over) = (0, 0);
    while killed < kills {
        let child =
            bench.command("killed", arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Some while it loads, most within steps and checkpoints.
        let lines = random.next_u32() as usize % 6;
        let then = Duration::from_millis(u64::from(random.next_u32() % 40));
        if kill_after(bench, child, "killed", lines, then) {
            killed += 1;
            continue;
        }
        // It was over before; the other kills are another run's.
        finish();
        fs::remove_dir_all(bench.path("killed")).unwrap();
        over += 1;
        assert!(over < 10 * kills, "runs are over after {killed} kills");
    }
    println!("killed {killed} times, the last after {} lines", bench.steps("killed"));
    finish();
}

#[test]
fn an_adapter_killed_twenty_times_is_the_same() {
    killed(&Bench::new(), &[], 20, &RESULTS);
}

#[test]
fn weights_killed_are_the_same() {
    let results = ["metrics.jsonl", "selection.jsonl", "model/model.safetensors"];
    killed(&Bench::full(), &["--set", "train.steps=20"], 4, &results);
}

#[test]
fn one_interruption_ends_with_a_checkpoint() {
    let bench = Bench::new();
    bench.undisturbed("whole", &[]);
    let output = bench.interrupted("out", &["--set", "train.save_every=1000"], 5);
    assert!(said(&output).contains("interrupted after step"), "{}", said(&output));
    bench.undisturbed("out", &["--set", "train.save_every=1000"]);
    bench.same("whole", "out", &RESULTS);
}

#[test]
fn what_changes_no_number_may_change_on_the_way() {
    let bench = Bench::new();
    bench.undisturbed("whole", &[]);
    bench.interrupted("out", &["--set", "train.save_every=1000"], 5);
    let others = ["train.save_every=3", "train.keep_last=1", "log.selection=false", "log.tensorboard=false"];
    bench.undisturbed("out", &others.map(|set| ["--set", set]).concat());
    let results = RESULTS.into_iter().filter(|file| *file != "selection.jsonl").collect::<Vec<_>>();
    bench.same("whole", "out", &results);
}

/// Files and folders below a folder, with what is in them.
fn below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn beginning_afresh_removes_the_former_run_once_everything_is_open() {
    let bench = Bench::new();
    let rows = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    fs::write(bench.path("rows.jsonl"), format!("{rows}{{}}\n")).unwrap();
    let first = ["--set", "train.steps=3", "--set", NO_GROWTH, "--set", "data.skip_bad=true"];
    bench.undisturbed("out", &first);
    let out = bench.path("out");
    for own in ["notes.txt", "tensorboard/other", "model/model.safetensors"].map(|name| out.join(name)) {
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(own, "of the user's own").unwrap();
    }
    let before = below(&out);
    for left in
        ["best/", "adapter/", "checkpoints/step-00000003/", "skipped-train.jsonl", "skipped-eval-held.jsonl"]
    {
        assert!(before.keys().any(|path| path.to_str().unwrap().contains(left)), "{left}: {before:?}");
    }

    let own = format!("reference.adapter={}", out.join("adapter").display());
    for (sets, complaint) in [
        (&["model.source=nowhere"][..], "`nowhere`"),
        (&["data.train=nowhere.jsonl"], "`nowhere.jsonl`"),
        (&["eval.held.data=nowhere.jsonl"], "`nowhere.jsonl`"),
        (&["objective.preset=rho", "reference.adapter=nowhere"], "there is no folder `nowhere`"),
        (&["objective.preset=rho"], "reference.adapter"),
        (&["lora.target_modules=[\"q_porj\"]"], "q_porj"),
        (&["objective.preset=rho", &own], "which --fresh removes"),
    ] {
        let set: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
        let output = bench.run("out", &[&first[..], &["--fresh"], &set].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(complaint), "{complaint}\n{}", said(&output));
        assert!(below(&out) == before, "{sets:?}");
    }

    // A run that writes as little as there is, and does not get far.
    fs::write(bench.path("rows.jsonl"), rows).unwrap();
    let text = fs::read_to_string(bench.path("run.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("early_stop")).collect();
    fs::write(bench.path("run.toml"), lines.join("\n")).unwrap();
    let little =
        ["log.selection=false", "log.tensorboard=false", "train.lr=1e30", "train.clip=0", "train.warmup=0"];
    let little: Vec<&str> = little.iter().flat_map(|set| ["--set", set]).collect();
    let output = bench.run("out", &[&["--fresh", "--set", "train.save_every=50"], &little[..]].concat());
    assert!(said(&output).contains("error: step "), "{}", said(&output));
    let names: Vec<PathBuf> =
        below(&out).keys().map(|path| path.strip_prefix(&out).unwrap().to_owned()).collect();
    let expected =
        [".lock", "config.toml", "metrics.jsonl", "model/model.safetensors", "notes.txt", "run.json"];
    let expected = [&expected[..], &["tensorboard/other", "timing.jsonl"]].concat();
    assert_eq!(names, expected.into_iter().map(PathBuf::from).collect::<Vec<_>>());
}

#[test]
fn a_run_of_which_no_checkpoint_is_left_is_not_written_over() {
    let bench = Bench::new();
    let (short, out) = (["--set", "train.steps=3", "--set", NO_GROWTH], bench.path("out"));
    bench.undisturbed("whole", &short);
    bench.undisturbed("out", &short);
    fs::remove_dir_all(out.join("checkpoints")).unwrap();
    let refused = |arguments: &[&str], left: &str| {
        let before = below(&out);
        let output = bench.run("out", &[&short[..], arguments].concat());
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("holds a run (`{left}`) without a checkpoint")), "{text}");
        assert!(text.contains("--fresh removes it") && text.contains("--out DIR leaves it"), "{text}");
        assert!(below(&out) == before, "{arguments:?}");
    };
    refused(&[], "adapter");
    // As a run leaves it that was killed before its first checkpoint.
    fs::remove_dir_all(out.join("adapter")).unwrap();
    refused(&["--set", "train.lr=0.5"], "metrics.jsonl");
    bench.undisturbed("out", &short);
    bench.same("whole", "out", &RESULTS);
    fs::remove_dir_all(out.join("checkpoints")).unwrap();
    bench.undisturbed("out", &[&short[..], &["--fresh", "--set", "train.lr=0.5"]].concat());
}

#[test]
fn what_lies_beside_a_result_stays() {
    let bench = Bench::new();
    let short = ["--set", "train.steps=3", "--set", NO_GROWTH];
    bench.undisturbed("out", &[&short[..], &["--set", "train.save_at=[3]"]].concat());
    let out = bench.path("out");
    let own = ["adapter/README.md", "best/README.md", "step-3/my-eval.json"].map(|name| out.join(name));
    for path in &own {
        fs::write(path, "of the user's own").unwrap();
    }
    let results = || -> BTreeMap<PathBuf, SystemTime> {
        let all = ["adapter", "best", "step-3"].into_iter().flat_map(|name| below(&out.join(name)));
        all.map(|(path, _)| (path.clone(), fs::metadata(path).unwrap().modified().unwrap())).collect()
    };
    let before = results();
    assert!(own.iter().all(|path| before.contains_key(path)));
    bench.undisturbed("out", &[&short[..], &["--set", "train.save_at=[3]"]].concat());
    assert_eq!(results(), before, "nothing is written again");
    // A result that is not whole is.
    fs::remove_file(out.join("adapter/adapter_config.json")).unwrap();
    bench.undisturbed("out", &short);
    assert!(results().keys().eq(before.keys()));
    bench.undisturbed("whole", &short);
    bench.same("whole", "out", &RESULTS);
}

#[test]
fn fewer_checkpoints_are_kept_before_another_is_written() {
    let bench = Bench::new();
    let steps = ["--set", NO_GROWTH, "--set", "train.save_every=1"];
    let more = |text| [&steps[..], &["--set", text]].concat();
    bench.interrupted("out", &more("train.keep_last=3"), 5);
    let left =
        || fs::read_dir(bench.path("out/checkpoints")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left().count(), 3);
    // As on a full disk: no other checkpoint can be written.
    let last = left().max().unwrap().into_string().unwrap();
    let step: u64 = last.strip_prefix("step-").unwrap().parse().unwrap();
    let blocked = format!(".writing-step-{:08}", step + 1);
    fs::write(bench.path("out/checkpoints").join(&blocked), "").unwrap();
    let output = bench.run("out", &more("train.keep_last=1"));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains(&blocked), "{}", said(&output));
    assert!(left().all(|name| name == last.as_str() || name == blocked.as_str()));
    assert_eq!(left().count(), 2);
}

#[test]
fn a_checkpoint_that_is_damaged_gives_way_to_an_older_one() {
    let bench = Bench::new();
    let short = ["--set", "train.steps=5", "--set", NO_GROWTH];
    bench.undisturbed("whole", &short);
    for file in ["state.toml", "optimizer.safetensors", "config.toml", "adapter_model.safetensors"] {
        bench.undisturbed(file, &short);
        let [older, newest] =
            [4, 5].map(|step| bench.path(file).join(format!("checkpoints/step-0000000{step}")));
        let halve = |folder: &Path| {
            let whole = fs::read(folder.join(file)).unwrap();
            // In the middle of a text or of a word of letters: what is left is not TOML.
            fs::write(folder.join(file), [&whole[..whole.len() / 2], b"\"x"].concat()).unwrap();
        };
        halve(&newest);
        let output = bench.run(file, &short);
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("warning: ") && text.contains("damaged-step-00000005"), "{text}");
        assert!(text.contains("continuing after step 4"), "{text}");
        bench.same("whole", file, &RESULTS);
        bench.undisturbed(file, &short);

        halve(&older);
        halve(&newest);
        let output = bench.run(file, &short);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains("no checkpoint can be read") && said(&output).contains("--fresh"),
            "{}",
            said(&output)
        );
        bench.undisturbed(file, &[&short[..], &["--fresh"]].concat());
    }
}

/// Flips the last byte.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_reference_that_changed_is_refused() {
    let bench = Bench::new();
    bench.undisturbed("mle", &["--set", "train.steps=1", "--set", NO_GROWTH]);
    model(&bench.path("other"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg("topk").arg(bench.path("run.toml")).arg(bench.path("top.safetensors"));
    assert!(command.output().unwrap().status.success());
    for (key, reference, file) in [
        ("adapter", "mle/adapter", "mle/adapter/adapter_model.safetensors"),
        ("model", "other", "other/model.safetensors"),
        ("topk", "top.safetensors", "top.safetensors"),
    ] {
        let reference = format!("reference.{key}={}", bench.path(reference).display());
        let distill = "objective.preset=masked-mle+distill";
        let arguments = ["--set", "train.steps=2", "--set", NO_GROWTH, "--set", distill, "--set", &reference];
        bench.undisturbed(key, &arguments);
        bench.undisturbed(key, &arguments);
        spoil(&bench.path(file));
        let output = bench.run(key, &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("made with another reference, though under"), "{}", said(&output));
        spoil(&bench.path(file));
        bench.undisturbed(key, &arguments);

        let state = bench.path(key).join("checkpoints/step-00000002/state.toml");
        // As an older version left it, without checksums.
        let text = fs::read_to_string(&state).unwrap();
        let (older, _) = text.split_once("[files]").unwrap();
        let lines: Vec<&str> = older.lines().filter(|line| !line.starts_with("reference")).collect();
        fs::write(&state, lines.join("\n")).unwrap();
        let output = bench.run(key, &arguments);
        assert!(said(&output).contains("does not say what its reference was"), "{}", said(&output));
    }
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let bench = Bench::new();
    let mut first = bench.command("out", &["--set", "train.steps=100000"]).spawn().unwrap();
    while bench.steps("out") < 1 {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = bench.run("out", &[]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("another run is writing into this folder"), "{}", said(&second));
}

/// A limit on the size of files stands for a disk that is full: the checkpoint after the rank has grown does not fit.
#[test]
fn a_full_disk_costs_nothing_that_was_written() {
    let bench = Bench::new();
    let grows = ["--set", "train.grow_rank=[{step=5,rank=64}]", "--set", "train.steps=8"];
    bench.undisturbed("whole", &grows);
    let command = bench.command("out", &grows);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\""]);
    let output = limited.arg(command.get_program()).args(command.get_args()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("checkpoints"), "{}", said(&output));
    let left: Vec<_> =
        fs::read_dir(bench.path("out/checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    bench.undisturbed("out", &grows);
    bench.same("whole", "out", &RESULTS);
}
