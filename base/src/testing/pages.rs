//! The documentation's commands: they are run, and what they print is compared with what is shown; in every command line
//! programs, verbs, flags and files are looked up.
//!
//! A page is run from top to bottom in a folder of its own, by the tests of the program that a block calls first.
//!
//! | in a page | means |
//! |---|---|
//! | a `console` block | each line after `$ ` is run by sh; the lines below it are the output, or none are compared |
//! | `…` | any words; on a line of its own, any lines |
//! | a first line `error: …` | the command fails; otherwise it must not |
//! | an `sh` block | is run as a script, and must not fail |
//! | `<!-- not run: REASON, REASON -->` above a block | its lines are only looked up, as are commands in the text: `` `./just lint` `` |
//! | a `toml` block whose first line is `# NAME.toml` | is that file |
//! | `<!-- file: NAME = PATH -->` | a copy of the repository's file |
//! | `<!-- numbers within 30% -->` above a block | measured numbers may differ that far, or by 0.03; the ends of an interval by that share of the value before it |
//!
//! Speeds, times, memory and the back end are the machine's and never compared.

mod agreement;
mod lines;
mod page;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use self::agreement::lines_agree;
use self::lines::{Recipes, Repository, simple_commands};
use self::page::{Block, Page};
use super::side_by_side;

pub use self::lines::Program;

/// README.md, CONTRIBUTING.md and the pages of docs/.
#[derive(Debug)]
pub struct Documentation {
    root: PathBuf,
    pages: Vec<Page>,
    recipes: Recipes,
}

/// What came of a program's blocks.
#[derive(Debug, Default)]
pub struct Tried {
    /// How many were run.
    pub run: usize,
    /// How many are marked as not run.
    pub not_run: usize,
    /// What is wrong, with page and line.
    pub wrong: Vec<String>,
}

impl Documentation {
    /// Reads the pages of a repository, and its justfile.
    ///
    /// # Panics
    /// If a file cannot be read.
    pub fn read(root: &Path) -> Self {
        let mut paths = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
        for folder in ["docs", "docs/plans", "docs/objectives"] {
            let entries = fs::read_dir(root.join(folder)).expect("a folder of pages");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
        paths.sort();
        let text = |path: &Path| fs::read_to_string(path).expect("a text");
        let name = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        Self {
            root: root.to_owned(),
            pages: paths.iter().map(|path| Page::new(name(path), &text(path))).collect(),
            recipes: Recipes::new(&text(&root.join("justfile"))),
        }
    }

    /// Runs the blocks that call a program first, the pages side by side, each in a new folder.
    pub fn run<F: AsRef<Path>>(&self, program: &Program, folder: impl Fn() -> F + Sync) -> Tried {
        let pages = side_by_side(&self.pages, |page| {
            let kept = folder();
            self.run_page(page, program, kept.as_ref())
        });
        pages.into_iter().fold(Tried::default(), |mut all, page| {
            all.run += page.run;
            all.not_run += page.not_run;
            all.wrong.extend(page.wrong);
            all
        })
    }

    fn run_page(&self, page: &Page, program: &Program, folder: &Path) -> Tried {
        let mut tried = Tried::default();
        let folder = Folder::new(folder, &self.root, program, &self.recipes);
        for block in &page.blocks {
            let result = match (block.is_commands(), block.not_run.is_some()) {
                (false, _) => folder.write(block),
                (true, _) if self.owner(block) != program.name => continue,
                (true, true) => {
                    tried.not_run += 1;
                    Ok(())
                }
                (true, false) => {
                    tried.run += 1;
                    folder.run(block)
                }
            };
            tried.wrong.extend(result.err().map(|what| page.place(block.line, &what)));
        }
        tried
    }

    /// The program that a block calls first.
    fn owner(&self, block: &Block) -> String {
        let lines = block.command_lines();
        let mut calls = lines.iter().flat_map(|(_, line)| simple_commands(line));
        let first = calls.find_map(|words| self.recipes.call(&words).ok().flatten());
        first.map_or_else(|| "tokensieve".to_owned(), |call| call.program)
    }

    /// Verbs and flags that a program's help does not have.
    pub fn unknown_to(&self, program: &Program) -> Vec<String> {
        self.wrong_lines(|words| match self.recipes.call(words) {
            Ok(Some(call)) if call.program == program.name => program.knows(&call.words),
            _ => Ok(()),
        })
    }

    /// What the repository does not have: recipes of the justfile, crates, tests and files. And marks that no test
    /// understands.
    pub fn unknown_to_the_repository(&self) -> Vec<String> {
        let repository = Repository::new(&self.root);
        let mut wrong: Vec<String> = self.pages.iter().flat_map(Page::misread).collect();
        wrong.extend(self.wrong_lines(|words| {
            self.recipes.call(words)?;
            repository.has(words)
        }));
        wrong
    }

    fn wrong_lines(&self, wrong: impl Fn(&[&str]) -> Result<(), String>) -> Vec<String> {
        let mut all = Vec::new();
        for page in &self.pages {
            for (number, line) in page.command_lines() {
                for words in simple_commands(&line) {
                    all.extend(wrong(&words).err().map(|what| page.place(number, &what)));
                }
            }
        }
        all
    }
}

/// Where a page is run.
struct Folder<'a> {
    folder: &'a Path,
    root: &'a Path,
}

impl<'a> Folder<'a> {
    /// A folder with the program in its path, and a `./just` that hands its recipes to it.
    fn new(folder: &'a Path, root: &'a Path, program: &Program, recipes: &Recipes) -> Self {
        fs::create_dir(folder.join("bin")).expect("a new folder");
        symlink(&program.path, folder.join("bin").join(program.name)).expect("a link to the program");
        let just = folder.join("just");
        fs::write(&just, recipes.script()).expect("a file");
        fs::set_permissions(&just, fs::Permissions::from_mode(0o755)).expect("a script");
        Self { folder, root }
    }

    /// Writes the file that a block names in its first line, if it does.
    fn write(&self, block: &Block) -> Result<(), String> {
        let first = block.text.lines().next().and_then(|line| line.strip_prefix("# ")).map(Path::new);
        let named = first.filter(|name| name.extension().is_some_and(|ending| ending == "toml"));
        if let ("toml", Some(name)) = (block.language.as_str(), named) {
            fs::write(self.folder.join(name), &block.text).map_err(|error| error.to_string())?;
        }
        self.copy(block)
    }

    fn copy(&self, block: &Block) -> Result<(), String> {
        for (name, path) in &block.files {
            let copied = fs::copy(self.root.join(path), self.folder.join(name));
            copied.map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(())
    }

    fn shell(&self, script: &str) -> (bool, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-e", "-c", &format!("exec 2>&1\n{script}")])
            .current_dir(self.folder)
            .env("PATH", format!("{}:{path}", self.folder.join("bin").display()))
            .env("TOKENSIEVE_OUT", self.folder.join("out"))
            .output()
            .expect("sh");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(&self, block: &Block) -> Result<(), String> {
        self.copy(block)?;
        for (command, shown) in block.commands() {
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
}
