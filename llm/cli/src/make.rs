//! `tokensieve make`.

use std::path::PathBuf;

use tokensieve_tasks::make;

use tokensieve_base::files::write_atomically_with;
use tokensieve_model::Error;

/// What, how much, and whereto.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Row i of a task, split and seed is the same on every machine and for every N. `tokensieve train` reads the \
    file as data.train; `tokensieve evaluate` asks the task of the same name, whose questions are none of the rows."
)]
pub struct Arguments {
    /// The task: arithmetic, instructions, figfont, alpaca
    task: String,
    /// Which of its rows
    #[arg(long, default_value = "train")]
    split: String,
    /// How many
    #[arg(short, long, value_name = "N")]
    n: usize,
    /// Of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The file, as JSON lines
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows = make(&self.task, &self.split, self.n, self.seed)?;
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
