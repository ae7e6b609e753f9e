//! Every command that the documentation shows is run, and what it prints is compared with what is shown. Needs libtorch and the
//! model (`./just setup libtorch model`); `TOKENSIEVE_BIN` names another program to try the pages with.
//!
//! A page is run from top to bottom in a folder of its own.
//!
//! | in the page | means |
//! |---|---|
//! | a `console` block | each line after `$ ` is run by sh; the lines below it are the output, or none are compared |
//! | `…` | any words; on a line of its own, any lines |
//! | a first line `error: …` | the command fails; otherwise it must not |
//! | a `toml` block whose first line is `# NAME.toml` | is that file |
//! | `<!-- file: NAME = PATH -->` | a copy of the repository's file |
//! | `<!-- numbers within 30% -->` above a block | measured numbers may differ that far, or by 0.03 |
//! | an `sh` block, or `<!-- not run: REASON -->` above a block | only the commands' flags are compared with the program's help |
//!
//! Speeds, times, memory and the back end are the machine's and never compared.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tokensieve_base::testing::side_by_side;

/// Blocks that are not run: whoever adds one changes this number.
const NOT_RUN: usize = 17;
/// A number before one of these words is the machine's.
const MACHINE: [&str; 4] = ["tokens/s", "seconds", "GiB", "s"];

#[test]
fn what_the_pages_show_is_what_the_program_prints() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![repository.join("README.md")];
    for folder in ["docs", "docs/plans", "docs/objectives"] {
        let entries = fs::read_dir(repository.join(folder)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages.sort();
    let (mut run, mut not_run, mut wrong) = (0, 0, String::new());
    for page in side_by_side(&pages, |page| run_page(page, &repository)) {
        run += page.0;
        not_run += page.1;
        wrong += &page.2;
    }
    println!("{run} blocks run, {not_run} not");
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(not_run, NOT_RUN, "blocks marked as not run");
}

/// Runs a page: how many blocks were run and how many not, and what is wrong.
fn run_page(page: &Path, repository: &Path) -> (usize, usize, String) {
    let (mut run, mut not_run, mut wrong) = (0, 0, String::new());
    let folder = Folder::new(repository);
    let name = page.strip_prefix(repository).unwrap().display();
    for block in blocks(&fs::read_to_string(page).unwrap()) {
        let result = match block.language.as_str() {
            "console" if block.not_run => {
                not_run += 1;
                folder.only_flags(&block)
            }
            "console" => {
                run += 1;
                folder.run(&block)
            }
            "sh" => folder.only_flags(&block),
            _ => folder.write(&block),
        };
        if let Err(what) = result {
            let _ = writeln!(wrong, "{name}:{}: {what}", block.line);
        }
    }
    (run, not_run, wrong)
}

/// A fenced block, and what the comments above it say.
#[derive(Debug, Default)]
struct Block {
    line: usize,
    language: String,
    text: String,
    not_run: bool,
    /// Relative difference that measured numbers may have.
    tolerance: f64,
    /// Files to copy beforehand: name and path.
    files: Vec<(String, String)>,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut next, mut fence) = (Vec::new(), Block::default(), None::<String>);
    for (index, line) in page.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(indent) = &fence {
            if trimmed == "```" {
                fence = None;
                blocks.push(std::mem::take(&mut next));
            } else {
                next.text += line.strip_prefix(indent.as_str()).unwrap_or(line);
                next.text += "\n";
            }
        } else if let Some(language) = trimmed.strip_prefix("```") {
            (next.line, next.language) = (index + 1, language.to_owned());
            fence = Some(line[..line.len() - trimmed.len()].to_owned());
        } else if let Some(comment) = trimmed.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"))
        {
            if comment.starts_with("not run: ") {
                next.not_run = true;
            } else if let Some(percent) = comment.strip_prefix("numbers within ") {
                next.tolerance = percent.trim_end_matches('%').parse::<f64>().unwrap() / 100.0;
            } else if let Some(file) = comment.strip_prefix("file: ") {
                let (name, path) = file.split_once(" = ").unwrap();
                next.files.push((name.to_owned(), path.to_owned()));
            }
        } else if !trimmed.is_empty() {
            // A comment speaks of the block right below it.
            (next.not_run, next.tolerance) = (false, 0.0);
        }
    }
    blocks
}

/// A page's commands, each with the output that is shown.
fn commands(text: &str) -> Vec<(String, Vec<&str>)> {
    let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), Vec::new()));
            continued = command.ends_with('\\');
        } else if let Some((command, shown)) = commands.last_mut() {
            if continued {
                let _ = write!(command, "\n{line}");
                continued = line.ends_with('\\');
            } else {
                shown.push(line);
            }
        }
    }
    commands
}

/// What stands after `tokensieve` in each command of a line. What starts it comes before: `just`, `srun`, `torchrun` with
/// flags of its own.
fn calls(line: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
    let commands = words.split(|word| ["&&", "&", "|", ";"].contains(word));
    commands
        .map(|words| words.iter().copied().skip_while(|word| *word != "tokensieve").skip(1).collect())
        .collect()
}

struct Folder {
    folder: tempfile::TempDir,
    repository: PathBuf,
}

impl Folder {
    /// A folder with `tokensieve` in its path, and a `./just` that runs it.
    fn new(repository: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::var_os("TOKENSIEVE_BIN")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tokensieve")), PathBuf::from);
        fs::create_dir(folder.path().join("bin")).unwrap();
        symlink(program, folder.path().join("bin/tokensieve")).unwrap();
        let just = folder.path().join("just");
        fs::write(
            &just,
            "#!/bin/sh\n[ \"$1\" = train ] || [ \"$1\" = bundle ] || shift\nexec tokensieve \"$@\"\n",
        )
        .unwrap();
        fs::set_permissions(&just, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, repository: repository.to_owned() }
    }

    /// Writes the file that a block names in its first line, if it does.
    fn write(&self, block: &Block) -> Result<(), String> {
        let first = block.text.lines().next().and_then(|line| line.strip_prefix("# ")).map(Path::new);
        let named = first.filter(|name| name.extension().is_some_and(|ending| ending == "toml"));
        if let ("toml", Some(name)) = (block.language.as_str(), named) {
            fs::write(self.folder.path().join(name), &block.text).map_err(|error| error.to_string())?;
        }
        self.copy(block)
    }

    fn copy(&self, block: &Block) -> Result<(), String> {
        for (name, path) in &block.files {
            let copied = fs::copy(self.repository.join(path), self.folder.path().join(name));
            copied.map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(())
    }

    fn shell(&self, command: &str) -> (bool, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()))
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(&self, block: &Block) -> Result<(), String> {
        self.copy(block)?;
        for (command, shown) in commands(&block.text) {
            let (success, printed) = self.shell(&command);
            let should_fail = shown.first().is_some_and(|line| line.starts_with("error: "));
            let lines: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
            let shown: Vec<&str> = shown.into_iter().skip_while(|line| line.is_empty()).collect();
            if success == should_fail || !shown.is_empty() && !lines_agree(&shown, &lines, block.tolerance) {
                let how = if success { "it succeeded" } else { "it failed" };
                return Err(format!(
                    "$ {command}\n--- shown\n{}\n--- printed, and {how}\n{printed}",
                    shown.join("\n")
                ));
            }
        }
        Ok(())
    }

    /// Compares the flags of commands that are not run with the program's help.
    fn only_flags(&self, block: &Block) -> Result<(), String> {
        self.copy(block)?;
        let text = block.text.replace("\\\n", " ");
        let lines = text.lines().filter(|line| block.language == "sh" || line.starts_with("$ "));
        for call in lines.flat_map(calls) {
            let Some((verb, words)) = call.split_first() else { continue };
            let (known, help) = self.shell(&format!("tokensieve {verb} --help"));
            if !known && !verb.starts_with('-') {
                return Err(format!("tokensieve has no {verb}"));
            }
            for flag in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                let flag = flag.split('=').next().unwrap_or(flag);
                if !help.split(|c: char| !(c == '-' || c.is_ascii_alphanumeric())).any(|word| word == flag) {
                    return Err(format!("tokensieve {verb} has no {flag}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether lines agree, or words: `…` stands for any number of them. `same` compares the first of what is shown with one
/// that is printed.
fn agree(shown: &[&str], printed: &[&str], same: &dyn Fn(&[&str], &str) -> bool) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => (0..=printed.len()).any(|skip| agree(rest, &printed[skip..], same)),
        (Some((_, rest)), Some((other, printed))) => same(shown, other) && agree(rest, printed, same),
        _ => false,
    }
}

fn lines_agree(shown: &[&str], printed: &[&str], tolerance: f64) -> bool {
    agree(shown, printed, &|shown, line| words_agree(&words(shown[0]), &words(line), tolerance))
}

fn words_agree(shown: &[&str], printed: &[&str], tolerance: f64) -> bool {
    agree(shown, printed, &|shown, word| {
        let of_machine = shown.get(1).is_some_and(|unit| MACHINE.contains(unit));
        word_agrees(shown[0], word, if of_machine { 1e9 } else { tolerance })
    })
}

/// The words of a line, without the back end, which is the machine's.
fn words(line: &str) -> Vec<&str> {
    line.split(", in bf16 on ")
        .next()
        .and_then(|line| line.split(", in f32 on ").next())
        .unwrap_or(line)
        .split_whitespace()
        .collect()
}

fn word_agrees(shown: &str, printed: &str, tolerance: f64) -> bool {
    if let Some((before, after)) = shown.split_once('…') {
        return printed.len() >= before.len() + after.len()
            && printed.starts_with(before)
            && printed.ends_with(after);
    }
    let (shown, printed) = (pieces(shown), pieces(printed));
    shown.len() == printed.len()
        && shown.iter().zip(&printed).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => {
                let far = if tolerance > 0.0 { (tolerance * a.abs()).max(0.03) } else { 0.0 };
                (a - b).abs() <= far
            }
            _ => a == b,
        })
}

/// A word cut between its numbers and the rest: `[5.0477,` is `[`, `5.0477`, `,`.
fn pieces(word: &str) -> Vec<&str> {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let mut pieces = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_digit(c) != is_digit(first)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[test]
fn what_agrees_and_what_does_not() {
    assert!(lines_agree(&["a", "…", "d 1.0"], &["a", "b", "c", "d 1.0"], 0.0));
    assert!(!lines_agree(&["a", "…", "d"], &["a", "b"], 0.0));
    assert!(
        word_agrees("[5.00,", "[5.40,", 0.1)
            && !word_agrees("[5.00,", "[5.60,", 0.1)
            && !word_agrees("5.0", "5.1", 0.0)
    );
    assert!(
        words_agree(&["9", "tokens/s"], &["473", "tokens/s"], 0.0) && word_agrees("…/a.svg", "/x/a.svg", 0.0)
    );
    let page = "<!-- not run: why -->\n```console\n$ a \\\n  b\nc\n```\ntext\n```console\n$ d\n```\n";
    let found = blocks(page);
    assert_eq!((found[0].not_run, found[1].not_run, found[1].line), (true, false, 8));
    assert_eq!(commands(&found[0].text), [("a \\\n  b".to_owned(), vec!["c"])]);
}

#[test]
fn a_wrong_flag_is_found_whatever_starts_the_program() {
    let folder = Folder::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let checked = |language: &str, text: &str| {
        let (language, text) = (language.to_owned(), text.to_owned());
        folder.only_flags(&Block { language, text, ..Block::default() })
    };
    let right =
        "torchrun --nnodes 2 --no-python tokensieve train a.toml --set a=b # --other\ncd tokensieve\n";
    assert_eq!(checked("sh", right), Ok(()));
    let wrong = Err("tokensieve train has no --sett".to_owned());
    assert_eq!(checked("sh", "X=1 taskset -c 0 tokensieve train a.toml \\\n    --sett a=b &\n"), wrong);
    assert_eq!(checked("console", "$ ./just tokensieve show a && tokensieve train a.toml --sett\n"), wrong);
    assert_eq!(checked("sh", "srun tokensieve trian a.toml\n"), Err("tokensieve has no trian".to_owned()));
    assert_eq!(checked("console", "$ tokensieve train\nnext  tokensieve trian --sett\n"), Ok(()));
}
