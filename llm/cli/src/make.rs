//! `tokensieve make`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokensieve_base::files::{Destination, read_line};
use tokensieve_model::Error;
use tokensieve_tasks::{self as tasks, make};

use super::model_arguments::seed;

/// The most rows of a file (choice: tens of gigabytes).
const MOST: usize = 100_000_000;

/// Task, split, number of rows and destination.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Row i depends only on task, split and seed: it is the same on every machine and for every N. \
    A file of the same rows, fewer or more, is replaced; any other file is an error. `tokensieve train` reads the file as \
    data.train. `tokensieve evaluate` has a task for each but sharegpt, whose questions do \
    not occur among the rows of split train; for oracle it is oracle:FILE, with another split or other rows. \
    docs/tasks.md describes the rows."
)]
pub struct Arguments {
    /// Task: arithmetic, instructions, figfont, cipher, alpaca, gsm8k, sharegpt, oracle
    task: String,
    /// Split of the task
    #[arg(long, default_value = "train")]
    split: String,
    /// Number of rows
    #[arg(short, long, value_name = "N", value_parser = number_of_rows, allow_negative_numbers = true)]
    n: usize,
    /// Index of the first row: rows from N on are held out from the N rows without this flag
    #[arg(long, value_name = "I", default_value_t = 0)]
    first: u64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// File to write, in JSON lines; a pipe or /dev/stdout is written into
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows =
            |n: u64| make(&self.task, &self.split, self.first..self.first.saturating_add(n), self.seed);
        self.check_last()?;
        let mut new = rows(self.n as u64)?.peekable();
        if new.peek().is_none() {
            // Only sets end.
            let all = make(&self.task, &self.split, 0..u64::MAX, self.seed)?.count();
            let what = format!("{} ({}) has only {all} rows; name one below", self.task, self.split);
            return Err(Error::setting(format!("--first {}", self.first), what).into());
        }
        let what =
            format!("rows of {} ({}) from {} on, seed {}", self.task, self.split, self.first, self.seed);
        let destination =
            Destination::of(&self.out)?.replacing(&what, |path| holds_only(path, rows).unwrap_or(false))?;
        let mut written = 0;
        destination.write_with(|out| {
            for row in new {
                writeln!(out, "{row}").map_err(Error::io(&self.out))?;
                written += 1;
            }
            Ok::<_, Error>(())
        })?;
        let done = format!("{written} rows of {} ({}) in {}", self.task, self.split, self.out.display());
        // Not among the rows, where they go to standard output.
        if destination.is_stream() {
            tokensieve_base::status!("{done}");
        } else {
            tokensieve_base::output!("{done}\n")?;
        }
        Ok(())
    }

    /// Checks that the last row has an index.
    fn check_last(&self) -> anyhow::Result<()> {
        if self.first.checked_add(self.n as u64).is_some() {
            return Ok(());
        }
        let last = u64::MAX - self.n as u64;
        let what = format!("with -n {} it must be a whole number from 0 to {last}", self.n);
        Err(Error::setting(format!("--first {}", self.first), what).into())
    }
}

/// Reads how many rows to write.
fn number_of_rows(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=MOST).contains(n));
    number.ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

/// Whether every line of a file is the row of this place. `rows` makes the first so many.
fn holds_only(
    path: &Path,
    rows: impl Fn(u64) -> tasks::Result<Box<dyn Iterator<Item = Value>>>,
) -> Option<bool> {
    let all_lines = |fit: &mut dyn FnMut(&[u8]) -> bool| {
        let (mut input, mut line) = (BufReader::new(File::open(path).ok()?), Vec::new());
        loop {
            read_line(&mut input, &mut line).ok()?;
            if line.is_empty() {
                return Some(true);
            }
            if !fit(line.strip_suffix(b"\n").unwrap_or(&line)) {
                return Some(false);
            }
        }
    };
    let is_row = |row: Option<Value>, line: &[u8]| row.is_some_and(|row| line == row.to_string().as_bytes());
    let (mut first, mut count) = (rows(1).ok()?, 0);
    // Foreign files may be large, and mostly differ at once.
    let begins = all_lines(&mut |line| {
        count += 1;
        count > 1 || is_row(first.next(), line)
    });
    let mut rows = begins.filter(|begins| *begins).and_then(|_| rows(count).ok())?;
    all_lines(&mut |line| is_row(rows.next(), line))
}
