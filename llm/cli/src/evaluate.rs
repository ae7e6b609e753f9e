//! `tokensieve evaluate`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokensieve_tasks::judge::Prices;

use super::interruption::{STOPPING, interruption};
use super::model_arguments::{GenerationArguments, count, seed};
use super::processes::{Processes, Sharing, WAY_BACK};
use tokensieve_infer::evaluate::{self, BASELINE, Judging, Results, Settings};
use tokensieve_infer::generate::Options;
use tokensieve_infer::together::Together;
use tokensieve_kernels::machine;
use tokensieve_model::Error;

/// Suite, model and destination, or what to compare or list.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "tokensieve evaluate --suite <TASKS> --out <FILE.json> [OPTIONS]\n       \
                      tokensieve evaluate --compare <A.json> <B.json>\n       \
                      tokensieve evaluate --tasks",
    after_help = "Answers are stored in FILE.answers.jsonl beside FILE.json: the same command continues an interrupted \
    evaluation, and a longer suite or a larger --limit only asks new questions. Held-out text: nll:SET/SPLIT, nll:SET (the \
    test split where there is one), nll:FILE. Documents of `tokensieve make oracle`, against their exact \
    distributions: oracle:FILE (docs/tasks.md).\n\nExit code: 0 done; 1 an error; 2 wrong arguments; 130 stopped by Ctrl-C."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Arguments {
    /// Tasks, separated by commas: gsm8k,ifeval,nll:gsm8k/test (see --tasks; `all` means every task listed there).
    /// math-500@16: the mean over 16 replies to each question, sampled at temperature 1, in place of the greedy reply
    #[arg(long, value_name = "TASKS", required_unless_present_any = ["compare", "tasks"])]
    suite: Vec<String>,
    #[command(flatten)]
    model: GenerationArguments,
    /// Maximum number of questions per task; the questions of a smaller limit are a subset of those of a larger one
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    limit: Option<usize>,
    /// Seed of the order of questions, of sampled replies and of the intervals
    #[arg(long, default_value_t = tokensieve_tasks::Options::default().seed, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Skip bad rows of held-out text
    #[arg(long)]
    skip_bad: bool,
    /// Number of replies that are generated at the same time
    #[arg(long, default_value_t = Options::default().batch, value_parser = count, allow_negative_numbers = true)]
    batch: usize,
    /// File of results to write; only results are replaced
    #[arg(long, value_name = "FILE.json", required_unless_present_any = ["compare", "tasks"])]
    out: Option<PathBuf>,
    /// File to write, in JSON lines: every token of oracle:FILE with its exact KL and entropy, its loss and probability
    #[arg(long, value_name = "FILE.jsonl")]
    tokens: Option<PathBuf>,
    /// Discard the stored answers
    #[arg(long)]
    fresh: bool,
    /// Results of a baseline; the table then shows the gain, (value − baseline) / baseline
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Judge of alpaca-eval: `local:MODEL`, or `https://endpoint/v1#model` (key in `OPENAI_API_KEY`)
    #[arg(long, value_name = "JUDGE")]
    judge: Option<String>,
    /// Outputs to compare with: a file (instruction, output), FILE.answers.jsonl of another evaluation, or the name of a
    /// public model
    #[arg(long, value_name = "FILE|MODEL", default_value = BASELINE, requires = "judge")]
    baseline_outputs: String,
    /// Prices of the endpoint in dollars per million tokens of prompts and of answers: 10,30
    #[arg(long, value_name = "PROMPT,ANSWER", value_parser = prices, requires = "judge")]
    prices: Option<Prices>,
    /// Use the endpoint without confirmation
    #[arg(long, requires = "judge")]
    yes: bool,
    /// Compare two files of results, question by question
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], exclusive = true)]
    compare: Option<Vec<PathBuf>>,
    /// List the tasks
    #[arg(long, exclusive = true)]
    tasks: bool,
    #[command(flatten)]
    sharing: Sharing,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.tasks {
            return Ok(tokensieve_tasks::names().try_for_each(|name| tokensieve_base::output!("{name}\n"))?);
        }
        if let Some([first, second]) = self.compare.as_deref() {
            let (first, second) = (Results::read(first)?, Results::read(second)?);
            let differences = evaluate::differences(&first, &second)?;
            for note in evaluate::unshared(&first, &second) {
                tokensieve_base::status!("note: {note}");
            }
            tokensieve_base::output!("{}", evaluate::differences_table(&differences))?;
            return Ok(());
        }
        let baseline = self.baseline.as_deref().map(Results::read).transpose()?;
        let judging = self.judge.map(|judge| Judging {
            judge,
            baseline: self.baseline_outputs,
            prices: self.prices,
            agree: if self.yes { print_cost } else { confirm },
        });
        if judging.as_ref().is_some_and(Judging::is_local) {
            let of_an_endpoint = [("--prices", self.prices.is_some()), ("--yes", self.yes)];
            if let Some((flag, _)) = of_an_endpoint.into_iter().find(|(_, given)| *given) {
                let what = "has no effect with a judge on this machine, which costs nothing; leave it out";
                return Err(Error::setting(flag, what).into());
            }
        }
        let merge = self.model.merges()?;
        // Only after what the arguments alone may have wrong, so that one process says so.
        let processes = self.sharing.join(WAY_BACK)?;
        let settings = Settings {
            suite: expanded(&self.suite),
            model: self.model.of.model,
            adapter: self.model.of.adapter,
            chat_template: self.model.of.chat_template,
            date: self.model.of.date.unwrap_or_default(),
            precision: self.model.of.precision.resolved(),
            merge,
            device: machine::device(),
            limit: self.limit,
            seed: self.seed,
            skip_bad: self.skip_bad,
            batch: self.batch,
            judging,
            out: self.out.context("--out FILE.json is required")?,
            baseline: self.baseline,
            tokens: self.tokens,
            fresh: self.fresh,
        };
        let stop = interruption(STOPPING, "unfinished replies");
        let together = Together::of(processes.as_ref().map(Processes::group));
        let evaluate = || evaluate::evaluate(&settings, stop, &together);
        let Some(results) = Processes::checked(processes.as_ref(), evaluate)? else {
            Processes::end_interrupted(processes)
        };
        for note in baseline.iter().flat_map(|baseline| evaluate::without_gain(&results, baseline)) {
            tokensieve_base::status!("note: {note}");
        }
        tokensieve_base::output!("{}", evaluate::results_table(&results, baseline.as_ref()))?;
        let groups = evaluate::groups_table(&results);
        if !groups.is_empty() {
            tokensieve_base::output!("\n{groups}")?;
        }
        Ok(())
    }
}

/// The names in a suite. A comma separates them where it does not belong to the path of a file.
fn split(suite: &str) -> Vec<&str> {
    let (mut names, mut rest) = (Vec::new(), Some(suite));
    while let Some(text) = rest {
        let ends = text.match_indices(',').map(|(end, _)| end).chain([text.len()]);
        let is_file = |end: &usize| {
            let named = text[..*end].split_once(':').filter(|(kind, _)| !kind.contains(','));
            named.is_some_and(|(_, path)| Path::new(path).is_file())
        };
        let end = ends.clone().rfind(is_file).or(ends.clone().next()).unwrap_or(text.len());
        names.push(&text[..end]);
        rest = text.get(end + 1..);
    }
    names
}

/// The suite with `all` replaced by the names of all tasks, without duplicates.
fn expanded(suite: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in suite.iter().flat_map(|names| split(names)) {
        let members = if name == "all" { tokensieve_tasks::names().collect() } else { vec![name] };
        for name in members {
            if !names.iter().any(|known| known == name) {
                names.push(name.into());
            }
        }
    }
    names
}

fn prices(text: &str) -> Result<Prices, String> {
    let price =
        |text: &str| text.trim().parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    let numbers = text.split_once(',').and_then(|(a, b)| Some((price(a)?, price(b)?)));
    let (prompt, reply) = numbers.ok_or("expected two numbers, 0 or more, separated by a comma: 10,30")?;
    Ok(Prices { prompt, reply })
}

/// Prints the cost.
fn print_cost(what: &str) -> bool {
    tokensieve_base::status!("{what}");
    true
}

/// Prints the cost and asks for confirmation; without a terminal the answer is no.
fn confirm(what: &str) -> bool {
    tokensieve_base::status!("{what}");
    if !io::stdin().is_terminal() {
        return false;
    }
    tokensieve_base::status!("Proceed? [y/N]");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_means_every_task_and_duplicates_are_removed() {
        let suite = ["gsm8k", "all", "nll:gsm8k/test", "gsm8k"].map(String::from);
        let names = expanded(&suite);
        assert_eq!(names[0], "gsm8k");
        assert_eq!(names.last().unwrap(), "nll:gsm8k/test");
        assert_eq!(names.len(), tokensieve_tasks::names().count() + 1);
    }

    #[test]
    fn a_comma_may_belong_to_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("nll:{}", folder.path().join(name).display());
        for name in ["a,b.jsonl", "c"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let (both, one) = (path("a,b.jsonl"), path("c"));
        assert_eq!(split(&format!("gsm8k,{both},{one},x:y,z")), ["gsm8k", &both, &one, "x:y", "z"]);
        assert_eq!(split("nll:a,nll:b"), ["nll:a", "nll:b"]);
        assert_eq!(split(""), [""]);
    }

    #[test]
    fn prices_are_finite_and_not_negative() {
        assert_eq!(prices("0.5, 30"), Ok(Prices { prompt: 0.5, reply: 30.0 }));
        for wrong in ["nan,1", "1,inf", "-1,2", "1,-2", "1", "a,b"] {
            assert!(prices(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn usage_shows_what_is_required() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            _arguments: Arguments,
        }
        let usage = <Line as clap::CommandFactory>::command().render_usage().to_string();
        assert!(usage.contains("--suite <TASKS> --out <FILE.json> [OPTIONS]"), "{usage}");
    }
}
