//! `tokensieve make`.

use std::path::PathBuf;

use tokensieve_tasks::make;

use tokensieve_base::files::write_atomically_with;
use tokensieve_model::Error;

/// Task, split, number of rows and destination.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Row i depends only on task, split and seed: it is the same on every machine and for every N. \
    `tokensieve train` reads the file as data.train. `tokensieve evaluate` has a task for each, whose questions do not \
    occur among the rows; for oracle it is oracle:FILE, with another split or other rows. docs/tasks.md describes the \
    rows."
)]
pub struct Arguments {
    /// Task: arithmetic, instructions, figfont, cipher, alpaca, oracle
    task: String,
    /// Split of the task
    #[arg(long, default_value = "train")]
    split: String,
    /// Number of rows
    #[arg(short, long, value_name = "N")]
    n: usize,
    /// Index of the first row: rows from N on are held out from the N rows without this flag
    #[arg(long, value_name = "I", default_value_t = 0)]
    first: u64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// File to write, in JSON lines
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows =
            make(&self.task, &self.split, self.first..self.first.saturating_add(self.n as u64), self.seed)?;
        let mut written = 0;
        write_atomically_with(&self.out, |out| {
            for row in rows {
                writeln!(out, "{row}").map_err(Error::io(&self.out))?;
                written += 1;
            }
            Ok::<_, Error>(())
        })?;
        tokensieve_model::output!(
            "{written} rows of {} ({}) in {}\n",
            self.task,
            self.split,
            self.out.display()
        )?;
        Ok(())
    }
}
