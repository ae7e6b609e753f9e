//! Where the verbs write: links, pipes, devices, folders, and files that hold something else. `bad_input` has the messages
//! about single arguments.
//!
//! Needs libtorch; makes its own model and data in a temporary folder. `cargo test -p tokensieve-cli --test destinations`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use bench::{Folder, failure, printed, said};
use tokensieve_base::testing::skipped;

const ROWS: &str = "{\"question\": \"What is 2 + 3?\", \"answer\": \"5\"}\n";
const RUN: &str =
    "[model]\nsource = \"model\"\ndtype = \"f32\"\ndevice = \"cpu\"\n[data]\ntrain = \"rows.jsonl\"\n";

/// The verbs that write one file, which is the last word.
const VERBS: [&str; 5] = [
    "make arithmetic -n 2 --out",
    "topk run.toml -k 4",
    "evaluate --suite nll:rows.jsonl --model model --precision f32 --out",
    "generate rows.jsonl --limit 2 --model model --precision f32 --out",
    "uncertainty rows.jsonl --passes 0 --model model --precision f32 --out",
];

fn folder() -> Folder {
    Folder::new(ROWS, RUN)
}

/// A command that writes `file`, whose name may have spaces.
fn writing(folder: &Folder, verb: &str, file: &str) -> Command {
    let mut command = folder.command(verb);
    command.arg(file);
    command
}

fn succeeds(folder: &Folder, verb: &str, file: &str) {
    printed(&mut writing(folder, verb, file));
}

fn fails(folder: &Folder, verb: &str, file: &str) -> String {
    failure(&mut writing(folder, verb, file)).trim_end().to_owned()
}

fn pipe(folder: &Folder, name: &str) -> PathBuf {
    let path = folder.path(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn foreign_files_and_inputs_stay_as_they_are() {
    let folder = folder();
    fs::write(folder.path("mine"), "of the user's own\n").unwrap();
    for verb in VERBS {
        for file in ["mine", "rows.jsonl", "run.toml"] {
            let before = fs::read(folder.path(file)).unwrap();
            let error = fails(&folder, verb, file);
            assert!(error.starts_with(&format!("error: {file}")), "{verb}: {error}");
            assert_eq!(fs::read(folder.path(file)).unwrap(), before, "{verb}");
        }
    }
    // Beside the results lie the answers; --fresh removes nothing else.
    fs::write(folder.path("r.answers.jsonl"), ROWS).unwrap();
    let asked = "evaluate --suite arithmetic --limit 1 --model model --precision f32 --fresh --out";
    assert_eq!(
        fails(&folder, asked, "r.json"),
        "error: r.answers.jsonl:1: is not the header of a file of answers; choose another --out, or remove the file"
    );
    assert_eq!(fs::read_to_string(folder.path("r.answers.jsonl")).unwrap(), ROWS);
}

#[test]
fn the_same_command_may_be_given_again() {
    let folder = folder();
    for (i, verb) in VERBS.into_iter().enumerate() {
        let file = format!("out-{i}.json");
        succeeds(&folder, verb, &file);
        let first = fs::read(folder.path(&file)).unwrap();
        succeeds(&folder, verb, &file);
        if !verb.starts_with("evaluate") {
            assert_eq!(fs::read(folder.path(&file)).unwrap(), first, "{verb}");
        }
    }
    let table = "uncertainty rows.jsonl --passes 0 --model model --precision f32 --out u.jsonl --parquet";
    succeeds(&folder, table, "t.parquet");
    succeeds(&folder, table, "t.parquet");
    // Fewer rows or more of the same, but no others.
    succeeds(&folder, "make arithmetic -n 5 --out", "out-0.json");
    succeeds(&folder, "make arithmetic -n 3 --out", "out-0.json");
    assert_eq!(
        fails(&folder, "make arithmetic -n 3 --seed 1 --out", "out-0.json"),
        "error: out-0.json: holds something other than rows of arithmetic (train) from 0 on, seed 1; choose another \
         name, or remove it"
    );
    let rows = fs::read_to_string(folder.path("out-0.json")).unwrap();
    fs::write(folder.path("out-0.json"), format!("{rows}{ROWS}")).unwrap();
    fails(&folder, "make arithmetic -n 3 --out", "out-0.json");
}

#[test]
fn links_stay() {
    let folder = folder();
    fs::create_dir(folder.path("elsewhere")).unwrap();
    for (i, verb) in VERBS.into_iter().enumerate() {
        let (link, target) = (format!("link-{i}.json"), format!("elsewhere/target-{i}"));
        symlink(&target, folder.path(&link)).unwrap();
        // The target is made, and then replaced.
        for _ in 0..2 {
            succeeds(&folder, verb, &link);
            assert!(folder.path(&link).is_symlink() && folder.path(&target).is_file(), "{verb}");
        }
        let foreign = format!("foreign-{i}.json");
        symlink("../rows.jsonl", folder.path(&format!("elsewhere/{foreign}"))).unwrap();
        fails(&folder, verb, &format!("elsewhere/{foreign}"));
    }
    assert_eq!(fs::read_to_string(folder.path("rows.jsonl")).unwrap(), ROWS);
}

#[test]
fn pipes_are_written_into_or_refused() {
    let folder = folder();
    for (i, verb) in VERBS.into_iter().enumerate() {
        let name = format!("pipe-{i}");
        let path = pipe(&folder, &name);
        if verb.starts_with("make") || verb.starts_with("topk") {
            let reader = thread::spawn({
                let path = path.clone();
                move || fs::read(path).unwrap()
            });
            succeeds(&folder, verb, &name);
            assert!(reader.join().unwrap().len() > 100, "{verb}");
        } else {
            let expected =
                format!("error: {name}: is a pipe or a device, which cannot be read back; name a file");
            assert_eq!(fails(&folder, verb, &name), expected);
        }
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo(), "{verb}");
    }
    pipe(&folder, "unread");
    assert_eq!(
        fails(&folder, "make arithmetic -n 1 --out", "unread"),
        "error: unread: is a pipe that nobody reads; start its reader"
    );
}

/// What `/dev/stdout` leads to. A mistake cannot replace this link, as it could that one.
const STDOUT: &str = "/proc/self/fd/1";

#[test]
fn standard_output_is_written_into() {
    let folder = folder();
    let output = writing(&folder, "make arithmetic -n 2 --out", STDOUT).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("2 rows of arithmetic (train) in {STDOUT}\n")
    );
    // A file that the shell opened is not replaced either.
    let file = fs::File::create(folder.path("shell.jsonl")).unwrap();
    let status = writing(&folder, "make arithmetic -n 2 --out", STDOUT).stdout(file).output().unwrap().status;
    assert!(status.success());
    assert_eq!(fs::read_to_string(folder.path("shell.jsonl")).unwrap().lines().count(), 2);
    for verb in &VERBS[2..] {
        assert_eq!(
            fails(&folder, verb, STDOUT),
            format!("error: {STDOUT}: is a pipe or a device, which cannot be read back; name a file"),
            "{verb}"
        );
    }
    // Its reader goes away.
    let mut child = writing(&folder, "make arithmetic -n 100000 --out", STDOUT)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("error: {STDOUT}: Broken pipe (os error 32)\n")
    );
}

/// A scratch folder's own devices: a mistake must not replace the machine's.
#[test]
fn a_device_is_no_file_to_replace() {
    let folder = folder();
    for (name, minor) in [("null", "3"), ("full", "7")] {
        let made = Command::new("mknod").arg(folder.path(name)).args(["c", "1", minor]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            return skipped("only root makes devices");
        }
    }
    assert_eq!(
        fails(&folder, "make arithmetic -n 2 --out", "full"),
        "error: full: No space left on device (os error 28)"
    );
    succeeds(&folder, "make arithmetic -n 2 --out", "null");
    assert!(fs::metadata(folder.path("null")).unwrap().file_type().is_char_device());
}

/// Before anything is computed: the model is not even there.
#[test]
fn what_cannot_be_written_is_said_first() {
    let folder = folder();
    fs::remove_dir_all(folder.path("model")).unwrap();
    fs::create_dir(folder.path("model")).unwrap();
    for (file, expected) in [
        ("model", "is a folder; name a file in it"),
        ("absent/x.json", "No such file or directory (os error 2)"),
        ("rows.jsonl/x.json", "Not a directory (os error 20)"),
    ] {
        for verb in &VERBS[..3] {
            assert_eq!(fails(&folder, verb, file), format!("error: {file}: {expected}"), "{verb}");
        }
        let table = "uncertainty rows.jsonl --passes 0 --model model --out u.jsonl --parquet";
        assert_eq!(fails(&folder, table, file), format!("error: {file}: {expected}"));
    }
}

#[test]
fn names_may_have_spaces_and_line_breaks() {
    let folder = folder();
    for (i, name) in
        ["a b.json", "zwei\nZeilen.json", "ü — 世界.json", "-.json", "'quoted\".json"].into_iter().enumerate()
    {
        let file = format!("{i}{name}");
        for (j, verb) in VERBS.into_iter().enumerate() {
            succeeds(&folder, verb, &format!("{j}{file}"));
            assert!(folder.path(&format!("{j}{file}")).is_file(), "{verb} {file:?}");
        }
    }
}
