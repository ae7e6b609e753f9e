//! `tokensieve evaluate`.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::exit;

use anyhow::Context as _;
use tokensieve_tasks::judge::Prices;

use super::choice::AnswererChoice;
use super::interruption::{INTERRUPTED, interruption};
use tokensieve_infer::evaluate::{self, BASELINE, Judging, Results, Settings};
use tokensieve_infer::generate::Options;
use tokensieve_kernels::machine;

/// What is measured, of which model.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Answers are kept in FILE.answers.jsonl beside FILE.json: the same command goes on where it was stopped, and a \
    longer suite or a larger --limit asks only what is new. Held-out text: nll:SET/SPLIT, nll:SET (its \
    test split, where it has one), nll:FILE.\n\nExit code: \
    0 done; 1 an error; 2 wrong arguments; 130 stopped by Ctrl-C."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Arguments {
    /// Tasks, separated by commas: gsm8k,ifeval,nll:gsm8k/test (--tasks lists them; `all` is every one of those)
    #[arg(long, value_delimiter = ',', value_name = "TASKS", required_unless_present_any = ["compare", "tasks"])]
    suite: Vec<String>,
    #[command(flatten)]
    answerer: AnswererChoice,
    /// Questions per task, at most; a smaller limit asks some of a larger one's
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Of the order of questions and of the intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Leaves out bad rows of held-out text
    #[arg(long)]
    skip_bad: bool,
    /// Replies that are written at the same time
    #[arg(long, default_value_t = Options::default().batch)]
    batch: usize,
    /// The file of results
    #[arg(long, value_name = "FILE.json", required_unless_present_any = ["compare", "tasks"])]
    out: Option<PathBuf>,
    /// Forget the answers that are there
    #[arg(long)]
    fresh: bool,
    /// Results of a model to measure the gain against: (value − baseline) / baseline
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Who judges alpaca-eval: `local:MODEL`, or `https://endpoint/v1#model` (key in `OPENAI_API_KEY`)
    #[arg(long, value_name = "JUDGE")]
    judge: Option<String>,
    /// Against whose outputs: a file (instruction, output), another evaluation's FILE.answers.jsonl, or a public
    /// model's by name
    #[arg(long, value_name = "FILE|MODEL", default_value = BASELINE)]
    baseline_outputs: String,
    /// What the endpoint takes, in dollars per million tokens of prompts and of answers: 10,30
    #[arg(long, value_name = "PROMPT,ANSWER", value_parser = prices)]
    prices: Option<Prices>,
    /// Ask the endpoint without asking first
    #[arg(long)]
    yes: bool,
    /// Compare two files of results instead, question by question
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], exclusive = true)]
    compare: Option<Vec<PathBuf>>,
    /// List the tasks instead
    #[arg(long, exclusive = true)]
    tasks: bool,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.tasks {
            return Ok(tokensieve_tasks::names().try_for_each(|name| tokensieve_model::output!("{name}\n"))?);
        }
        if let Some([first, second]) = self.compare.as_deref() {
            let differences = evaluate::differences(&Results::read(first)?, &Results::read(second)?)?;
            tokensieve_model::output!("{}", evaluate::differences_table(&differences))?;
            return Ok(());
        }
        let baseline = self.baseline.as_deref().map(Results::read).transpose()?;
        let judging = self.judge.map(|judge| Judging {
            judge,
            baseline: self.baseline_outputs,
            prices: self.prices,
            agree: if self.yes { told } else { agreed },
        });
        let settings = Settings {
            suite: spelled_out(&self.suite),
            model: self.answerer.of.model,
            adapter: self.answerer.of.adapter,
            chat_template: self.answerer.of.chat_template,
            date: self.answerer.of.date.unwrap_or_default(),
            kind: self.answerer.of.precision.kind(),
            merge: self.answerer.merge,
            device: machine::device(),
            limit: self.limit,
            seed: self.seed,
            skip_bad: self.skip_bad,
            batch: self.batch,
            judging,
            out: self.out.context("--out FILE.json is needed")?,
            fresh: self.fresh,
        };
        let stop = interruption("Stopping; the same command goes on.", "unfinished replies");
        let Some(results) = evaluate::evaluate(&settings, stop)? else { exit(INTERRUPTED) };
        tokensieve_model::output!("{}", evaluate::results_table(&results, baseline.as_ref()))?;
        Ok(())
    }
}

/// The suite with the names of all tasks in the place of `all`, each once.
fn spelled_out(suite: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in suite {
        let meant = if name == "all" { tokensieve_tasks::names().collect() } else { vec![name.as_str()] };
        for name in meant {
            if !names.iter().any(|known| known == name) {
                names.push(name.into());
            }
        }
    }
    names
}

fn prices(text: &str) -> Result<Prices, String> {
    let numbers =
        text.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    let (prompt, reply) = numbers.ok_or("two numbers with a comma between: 10,30")?;
    Ok(Prices { prompt, reply })
}

/// Says what it will take.
fn told(what: &str) -> bool {
    tokensieve_model::status!("{what}");
    true
}

/// Says what it would take, and waits for a yes; without a terminal there is nobody to give it.
fn agreed(what: &str) -> bool {
    tokensieve_model::status!("{what}");
    if !io::stdin().is_terminal() {
        return false;
    }
    tokensieve_model::status!("Go on? [y/N]");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_task_and_no_task_comes_twice() {
        let suite = ["gsm8k", "all", "nll:gsm8k/test", "gsm8k"].map(String::from);
        let names = spelled_out(&suite);
        assert_eq!(names[0], "gsm8k");
        assert_eq!(names.last().unwrap(), "nll:gsm8k/test");
        assert_eq!(names.len(), tokensieve_tasks::names().count() + 1);
    }
}
