//! The program `paper` on a disk that becomes full, that fails, that is read-only, and killed, at each of the calls with
//! which it changes files (tests/faults/mod.rs at the workspace's root says what must hold then), and killed at moments
//! that have nothing to do with its calls.
//!
//! Needs a C compiler and git; a script stands in for the program that trains and evaluates.
//! `cargo test -p tokensieve-paper --test faults`.
#![cfg(target_os = "linux")]

#[path = "../../tests/faults/mod.rs"]
mod faults;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use faults::{Content, Fate, Place, only, same, withstands_over};
use tempfile::TempDir;
use tokensieve_base::testing::{said, skipped};

/// At how many calls a command is killed.
const KILLS: usize = 4;

/// A checkout with one recorded figure, whose results go to `out`.
struct Folder(TempDir);

impl Place for Folder {
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paper"));
        command.args(words.split(' ')).current_dir(self.root()).stdin(Stdio::null());
        // One thread, so that the calls come in one order.
        command.env("TOKENSIEVE_OUT", self.root().join("out")).env("RAYON_NUM_THREADS", "1");
        command.env("TOKENSIEVE_BIN", self.root().join("program.sh"));
        command
    }

    fn kills(_words: &str) -> usize {
        KILLS
    }
}

impl Folder {
    fn new() -> Self {
        let folder = Self::empty();
        let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")), folder.root().join("paper"));
        fs::create_dir_all(to.join("recorded")).unwrap();
        for name in ["a-3.csv", "a-3.json", "ledger.csv"].map(|name| format!("recorded/{name}")) {
            fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
        folder
    }

    fn runs(&self, words: &str) {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words}\n{}", said(&output));
    }

    /// Says that another version has written these files.
    fn age(&self, name: &str) {
        let path = self.root().join(name);
        let older = fs::read_to_string(&path).unwrap() + "\n";
        fs::write(path, older).unwrap();
    }

    /// A script in the place of `tokensieve`, which says that it was built from the same sources.
    fn install_program(&self) {
        static SOURCES: OnceLock<String> = OnceLock::new();
        let install = |sources: &str| {
            let path = self.root().join("program.sh");
            let script = format!(
                "#!/bin/sh\n[ \"$1\" != --version ] || exec echo 'code {sources}'\nfor out; do :; done\necho \"$1\"\n\
                 case $out in *.*json* | *.safetensors) echo '{{}}' > \"$out\" ;; *) echo done > \"$out/adapter\" ;; esac\n"
            );
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let sources = SOURCES.get_or_init(|| {
            install("of others");
            let refused = said(&self.command(&lab(1)).output().unwrap());
            let named = refused.split_once("here ").and_then(|(_, rest)| rest.split_once(')'));
            named.unwrap_or_else(|| panic!("{refused}")).0.to_owned()
        });
        install(sources);
    }
}

/// Every file that a command leaves is a result, but for what programs printed, an interrupted one too.
fn whole(folder: &Folder, words: &str, fate: impl Fn(&str, &Content) -> Fate) {
    let (left, _) = folder.undisturbed(words);
    let names = left.keys().map(|path| path.to_str().unwrap());
    let results: Vec<&str> = names.filter(|name| !name.ends_with("/log.txt")).collect();
    withstands_over(folder, words, &results, fate);
}

const FIGURE: &str = "figure b-gradient-weight --profile smoke --png";

#[test]
fn a_figure() {
    whole(&Folder::new(), FIGURE, |_, _| Fate::Kept);
}

#[test]
fn a_figure_over_an_older_one() {
    let folder = Folder::new();
    folder.runs("figure b-gradient-weight --profile smoke");
    let results =
        [".csv", ".json", ".svg", "-dark.svg"].map(|end| format!("out/smoke/b-gradient-weight{end}"));
    for name in &results {
        folder.age(name);
    }
    let fates = results.each_ref().map(|name| (name.as_str(), Fate::Replaced));
    whole(&folder, FIGURE, only(&fates));
}

#[test]
fn a_report() {
    let words = "report --recorded";
    whole(&Folder::new(), words, |_, _| Fate::Kept);
    let folder = Folder::new();
    folder.runs(words);
    folder.age("out/report/index.html");
    fs::write(folder.root().join("out/report/gone.html"), "of a figure that is no more").unwrap();
    whole(&folder, words, |path, left| {
        let Some(page) = path.strip_prefix("out/report/") else { return Fate::Kept };
        if left.contains_key(Path::new("out/report/index.html")) && page != "gone.html" {
            return Fate::Replaced;
        }
        // Between the two names the old folder has neither; the next report gives it its own again.
        let is_there = left.keys().any(|path| path.starts_with("out/report"));
        assert!(is_there || left.contains_key(&Path::new("out/.report.old").join(page)), "{path}");
        Fate::Discarded
    });
}

#[test]
fn recorded_verdicts() {
    let folder = Folder::new();
    let ledger = folder.root().join("paper/recorded/ledger.csv");
    let text = fs::read_to_string(&ledger).unwrap();
    let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("a-3/")).collect();
    fs::write(&ledger, others.join("\n") + "\n").unwrap();
    let fates = ["ledger.csv", "a-3.csv", "a-3.json"].map(|name| format!("paper/recorded/{name}"));
    let fates = fates.each_ref().map(|name| (name.as_str(), Fate::Replaced));
    whole(&folder, "record a-3 --verdicts", only(&fates));
}

#[test]
fn what_moved() {
    let folder = Folder::new();
    let git = |words: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
        Command::new("git").arg("-C").arg(folder.root()).args(who).args(words).output()
    };
    if git(&["init", "--quiet"]).is_err() {
        return skipped("git is not installed");
    }
    for words in [&["add", "paper"][..], &["commit", "--quiet", "-m", "recorded"]] {
        let output = git(words).unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    fs::remove_dir_all(folder.root().join(".git/hooks")).unwrap();
    let table = folder.root().join("paper/recorded/a-3.csv");
    let text = fs::read_to_string(&table).unwrap();
    let shorter: Vec<&str> = text.lines().take(text.lines().count() / 2).collect();
    fs::write(table, shorter.join("\n") + "\n").unwrap();
    whole(&folder, "moved HEAD", |_, _| Fate::Kept);
}

/// A share of the runs of a plan.
fn lab(share: usize) -> String {
    format!("lab run --plan oracle --profile smoke --shard {share}/40 --jobs 1")
}

#[test]
fn runs_of_the_lab() {
    let folder = Folder::new();
    folder.install_program();
    // Which share a run belongs to follows from the sources.
    let has_runs = |words: &String| folder.undisturbed(words).1.len() > 30;
    let words = (1..=40).map(lab).find(has_runs).expect("a share with runs");
    whole(&folder, &words, |_, _| Fate::Kept);
}

/// As `reproduce` makes them, in one process: some figures, each with what it keeps for the next time.
#[test]
fn figures_killed_twenty_times_are_the_same() {
    let words = "figure b-gradient-weight b-crossover b-identity a-11 --profile smoke --png";
    let (whole, killed) = (Folder::new(), Folder::new());
    let begun = Instant::now();
    whole.runs(words);
    let (mut took, whole) = (begun.elapsed(), whole.content());
    let finished = || {
        killed.runs(words);
        let left = killed.content();
        assert!(left.keys().eq(whole.keys()), "{:?}\n{:?}", left.keys(), whole.keys());
        for (path, content) in &whole {
            assert!(same(&left[path], content), "{} differs", path.display());
        }
    };
    let (mut kills, mut over) = (0, 0);
    while kills < 20 {
        let mut child = killed.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Anywhere from its start to its end.
        let then = took * ((kills + over) * 7 % 20) / 20;
        thread::sleep(then);
        if child.try_wait().unwrap().is_some() {
            // It goes on from what it finds, and is over sooner each time.
            over += 1;
            took = took.min(then);
            assert!(over < 60, "over before it was killed, after {kills} kills");
            finished();
            fs::remove_dir_all(killed.root().join("out")).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    println!("{kills} kills, {over} more runs that were over before");
    finished();
}
