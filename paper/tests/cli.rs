//! The `paper` binary from outside: files, exit codes, and that a second run computes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

fn paper(out: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_paper")).args(arguments).env("TOKENSIEVE_OUT", out).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn fresh(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// When each entry of the cache was written.
fn written(out: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut entries: Vec<_> = fs::read_dir(out.join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
        .collect();
    entries.sort();
    entries
}

#[test]
fn a_figure_is_written_once_and_cached() {
    let out = fresh("cli-figure");
    let figure = ["figure", "b-gradient-weight", "--profile", "smoke", "--png"];
    let files = stdout(&paper(&out, &figure));
    for file in files.lines() {
        assert!(fs::metadata(file).unwrap().len() > 1000, "{file}");
    }
    assert_eq!(files.lines().count(), 2);
    let svg = fs::read(out.join("smoke/b-gradient-weight.svg")).unwrap();
    let before = written(&out);
    assert!(!before.is_empty());
    // A picture of earlier numbers does not stay beside the table.
    fs::write(out.join("smoke/b-gradient-weight.png"), "old").unwrap();
    stdout(&paper(&out, &figure[..4]));
    assert!(fs::metadata(out.join("smoke/b-gradient-weight.png")).unwrap().len() > 1000);
    assert_eq!(written(&out), before);
    assert_eq!(fs::read(out.join("smoke/b-gradient-weight.svg")).unwrap(), svg);
}

/// What a reader does first: see everything that is recorded, without waiting for it to be computed.
#[test]
fn what_is_recorded_is_shown_and_nothing_computed() {
    let out = fresh("cli-recorded");
    let index = stdout(&paper(&out, &["report", "--recorded"]));
    let page = fs::read_to_string(index.trim()).unwrap();
    let ledger = stdout(&paper(&out, &["claims", "--recorded"]));
    // "paper's measure (123 tests of 45 claims): 67 hold, …"
    let summary = ledger.lines().find(|line| line.starts_with("paper's measure (")).unwrap();
    let numbers: Vec<&str> =
        summary.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty()).take(3).collect();
    let cells: Vec<String> =
        numbers.iter().map(|count| format!(r#"<td class="number">{count}</td>"#)).collect();
    let cells = cells.concat();
    assert!(page.contains(&cells), "the ledger says {summary}");
    assert!(page.contains("<b>How we know:</b>"), "the first page answers questions");
    let json = fs::read_to_string(out.join("report/ledger.json")).unwrap();
    assert!(json.contains("\"command\": \"./just figure "), "{json}");
    assert!(!page.contains("Recorded</th>"), "a column that says of everything that it is as recorded");
    assert!(out.join("report/viewer.html").exists() && out.join("report/a-3.html").exists());

    let svg = stdout(&paper(&out, &["figure", "a-3", "--recorded"]));
    assert_eq!(Path::new(svg.trim()), out.join("recorded/a-3.svg"));
    assert!(!out.join("cache").exists(), "something was computed");

    let refused = paper(&out, &["figure", "a-3", "a-7", "--recorded"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("no table is recorded of a-7"), "{error}");
}

#[test]
fn what_another_machine_collected_is_added_once() {
    let out = fresh("cli-collect");
    fs::create_dir_all(&out).unwrap();
    let (there, here) =
        (concat!(env!("CARGO_MANIFEST_DIR"), "/recorded/proof.jsonl.gz"), out.join("here.jsonl.gz"));
    let to = here.to_str().unwrap();
    let collect = || {
        let printed =
            stdout(&paper(&out, &["lab", "collect", "--plan", "proof", "--from", there, "--out", to]));
        let first = |line: Option<&str>| line.unwrap().split(' ').next().unwrap().parse::<usize>().unwrap();
        [first(printed.lines().next()), first(printed.lines().last())]
    };
    let [added, total] = collect();
    assert!(added > 50 && total == added, "{added} of {total}");
    assert_eq!(collect(), [0, total]);
}

#[test]
fn bits_are_hashes_and_the_same_twice() {
    let out = fresh("cli-bits");
    let bits = || stdout(&paper(&out, &["bits", "b-gradient-weight"]));
    let (hash, id) =
        bits().trim().split_once("  ").map(|(hash, id)| (hash.to_owned(), id.to_owned())).unwrap();
    assert_eq!((hash.len(), id.as_str()), (64, "b-gradient-weight"));
    assert_eq!(bits(), format!("{hash}  {id}\n"));
}

/// The picture of the README, with a script in the browser's place.
#[test]
fn a_report_is_photographed_by_a_relative_path_too() {
    let out = fresh("cli-screenshot");
    for folder in ["report", "clone/scripts", "clone/docs"] {
        fs::create_dir_all(out.join(folder)).unwrap();
    }
    let script = out.join("clone/scripts/screenshot");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/screenshot"), &script).unwrap();
    let browser = out.join("chromium");
    let stand_in = r#"#!/bin/sh
for word; do case $word in --screenshot=*) picture=${word#*=} ;; esac; done
[ ! -e "$0.broken" ] || { echo "no display" >&2; exit 1; }
printf '%s' "$word" | tee "$0.opened" >"$picture"
"#;
    fs::write(&browser, stand_in).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", out.display(), std::env::var("PATH").unwrap());
    let photographed =
        || Command::new(&script).arg("report").current_dir(&out).env("PATH", &path).output().unwrap();
    let refused = photographed();
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("report holds no report"), "{error}");
    fs::write(out.join("report/index.html"), "").unwrap();
    stdout(&photographed());
    let index = out.canonicalize().unwrap().join("report/index.html");
    let opened = fs::read_to_string(out.join("chromium.opened")).unwrap();
    assert_eq!(opened, format!("file://{}", index.display()));
    assert_eq!(fs::read_to_string(out.join("clone/docs/report.png")).unwrap(), opened);
    // A browser that fails says why, and leaves the picture that was there.
    fs::write(out.join("chromium.broken"), "").unwrap();
    let refused = photographed();
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("no display\nscreenshot: "), "{error}");
    assert!(out.join("clone/docs/report.png").exists());
}

/// `scripts/clean` in a clone of its own, whose cache is a folder that holds other things too.
#[test]
fn clean_deletes_of_the_caches_folder_what_was_fetched() {
    let out = fresh("cli-clean");
    let (clone, cache) = (out.join("clone/scripts"), out.join("cache"));
    fs::create_dir_all(&clone).unwrap();
    for script in ["clean", "lib.sh"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(script), clone.join(script))
            .unwrap();
    }
    // In cargo's place: this clone is no workspace, and lies in one.
    fs::write(out.join("cargo"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(out.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["data/mnist", "libtorch-2.11.0/torch", "tools/bin", "my-work"] {
        fs::create_dir_all(cache.join(folder)).unwrap();
    }
    let clean = || {
        let path = format!("{}:{}", out.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.arg(clone.join("clean")).arg("cache").env("PATH", path).env("TOKENSIEVE_CACHE", &cache);
        stdout(&command.env_remove("CARGO_TARGET_DIR").output().unwrap())
    };
    clean();
    let left: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["my-work"]);
    fs::remove_dir(cache.join("my-work")).unwrap();
    clean();
    assert!(!cache.exists());
}

/// `in_turn` of `scripts/lib.sh`, by two processes at once.
#[test]
fn set_up_does_one_thing_at_a_time() {
    if Command::new("flock").arg("--version").output().is_err() {
        return tokensieve_base::testing::skipped("flock is not installed");
    }
    let out = fresh("cli-alone");
    // It fails where another is between its first and its last command.
    let inside = r#"mkdir "$0/busy" && sleep 0.3 && rmdir "$0/busy""#;
    let script = format!(r#". "$root/scripts/lib.sh"; in_turn "$0/made/lock" sh -c '{inside}' "$0""#);
    let start = || {
        let mut command = Command::new("sh");
        command.args(["-euc", &script]).arg(&out).env("root", concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    fs::create_dir_all(&out).unwrap();
    for process in [start(), start()] {
        stdout(&process.wait_with_output().unwrap());
    }
}

#[test]
fn the_clone_that_one_stands_in_counts_wherever_the_program_lies() {
    let clone = fresh("cli-clone");
    fs::create_dir_all(clone.join("paper/recorded")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_paper"));
    command.args(["figure", "b-gradient-weight", "--profile", "smoke"]).current_dir(&clone);
    let svg = stdout(&command.env_remove("TOKENSIEVE_OUT").output().unwrap());
    let clone = clone.canonicalize().unwrap();
    assert_eq!(Path::new(svg.trim()), clone.join("out/smoke/b-gradient-weight.svg"));
}

#[test]
fn mistakes_end_with_what_would_be_right() {
    let out = fresh("cli-mistakes");
    let output = paper(&out, &["figure", "b-gradient-wait"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("b-gradient-wait") && error.contains("there are: "), "{error}");
    assert_eq!(paper(&out, &["figures"]).status.code(), Some(2));
    assert!(stdout(&paper(&out, &["list"])).contains("b-gradient-weight"));
    // A file without an end.
    let kept = out.join("kept.jsonl.gz");
    let kept = kept.to_str().unwrap();
    let output = paper(&out, &["lab", "collect", "--plan", "proof", "--from", "/dev/zero", "--out", kept]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && error.contains("/dev/zero: decompressing line 1: "),
        "{error}"
    );
    // The power of a test is that of pilot runs, which nobody did here.
    let output = paper(&out, &["lab", "power", "--plan", "oracle"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
    assert!(error.contains("no claim has pilot runs") && error.contains("--stage pilot"), "{error}");
}
