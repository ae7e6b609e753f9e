//! Arguments as typed.

use clap::{Args, Parser, Subcommand};
use std::num::NonZero;
use std::path::PathBuf;
use tokensieve_paper::Profile;
use tokensieve_paper::lab::queue::Shard;
use tokensieve_paper::planned::Stage;

/// Recomputes the figures of two papers on token selection, tests their claims, and writes the report.
#[derive(Debug, Parser)]
#[command(name = "paper", version, max_term_width = 100)]
#[command(
    after_help = "Results are written to out/, or to the folder in TOKENSIEVE_OUT. Finished work is kept in out/cache/, so a run may be \
    stopped at any time and continued later.\n\nExit codes: 0 success; 1 error; 2 wrong arguments; 3 a verdict \
    contradicts the recorded one (claims); 130 stopped by Ctrl-C."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make every figure, test every claim, write the report
    Reproduce {
        #[command(flatten)]
        size: Size,
        #[command(flatten)]
        jobs: Jobs,
    },
    /// Make the given figures: table, provenance, drawing
    Figure {
        /// Ids of figures, as `paper list` shows them
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        source: Source,
        /// Also write each drawing as PNG
        #[arg(long)]
        png: bool,
    },
    /// List the figures
    List,
    /// Print the claims ledger; exit code 3 if a verdict contradicts the recorded one
    Claims(Source),
    /// Write the report
    Report {
        #[command(flatten)]
        source: Source,
        /// Serve it on 127.0.0.1 until Ctrl-C
        #[arg(long)]
        serve: bool,
    },
    /// Record tables and verdicts in the repository, for others to compare with
    Record {
        /// Ids of figures; all by default
        ids: Vec<String>,
        #[command(flatten)]
        size: Size,
        /// Only test the recorded tables again, after a change to a claim; no experiment is run
        #[arg(long, conflicts_with = "profile")]
        verdicts: bool,
    },
    /// Write the manuscript's text, numbers and drawings, from the recorded tables
    Manuscript,
    /// Write the README's part on results, from the recorded verdicts
    Readme,
    /// Write the book's generated pages and drawings, from the preset objectives
    Book,
    /// Print which figures' numbers and verdicts moved since a commit, as Markdown; write both drawings side by side
    Moved {
        /// A commit, branch or tag; of a branch that has gone on, what counts is where this one left it
        base: String,
    },
    /// The training and evaluation runs behind the figures
    #[command(subcommand)]
    Lab(Lab),
    /// Print the hash of every figure's smoke table on generated data, for comparing processors
    Bits {
        /// Ids of figures; all by default
        ids: Vec<String>,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Lab {
    /// Do every missing run of a profile; run the command again to continue after an interruption
    Run {
        #[command(flatten)]
        which: Runs,
        #[command(flatten)]
        jobs: Jobs,
        /// Only this share of the work: 2/4 is the second of four machines on one folder
        #[arg(long, default_value = "1/1", value_name = "I/N", value_parser = Shard::parse)]
        shard: Shard,
    },
    /// List the runs of a profile: which are done, which are missing, and about how long those take
    List(Runs),
    /// What tuning found of each arm's learning rates in a study
    Rates(OfPlan),
    /// What the tests of a study's primary claims will find, by the spread of the pilot's runs
    Power(OfPlan),
    /// Keep what came of a study's finished runs at full size, so that no run has to be repeated
    Collect {
        #[command(flatten)]
        of: OfPlan,
        /// What another machine collected; runs that are not kept yet are added, with --restate as runs of the plan's settings
        #[arg(long, value_name = "FILE.jsonl.gz")]
        from: Vec<PathBuf>,
        /// The file, to which new runs are added; paper/recorded/PLAN.jsonl.gz by default
        #[arg(long, value_name = "FILE.jsonl.gz")]
        out: Option<PathBuf>,
        /// File kept runs under the settings that the plan has now: what was changed since changes no result
        #[arg(long)]
        restate: bool,
    },
    /// Do some kept runs again, from nothing, and compare: does this program find on this machine what the repository keeps?
    Check {
        #[command(flatten)]
        of: OfPlan,
        /// How many runs, from the first to the last evenly
        #[arg(long, default_value = "3", value_name = "N")]
        runs: NonZero<usize>,
        #[command(flatten)]
        jobs: Jobs,
    },
}

/// Which study.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OfPlan {
    /// The study by its plan, paper/plans/PLAN.toml
    #[arg(long, value_enum)]
    pub(crate) plan: Plan,
}

/// The studies that have a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Plan {
    /// Small models in the oracle language, where every token's truth is known
    Oracle,
    /// A fine-tuned language model
    Study,
    /// How often what `tokensieve diagnose` recommends is right
    Proof,
}

/// Which runs.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Runs {
    #[command(flatten)]
    pub(crate) size: Size,
    /// Only the runs of this plan, paper/plans/PLAN.toml
    #[arg(long, value_enum)]
    pub(crate) plan: Option<Plan>,
    /// What the plan's runs are for
    #[arg(long, value_enum, default_value_t, requires = "plan")]
    pub(crate) stage: Stage,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Size {
    /// How much of the protocol to run
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: Profile,
}

/// How many runs go on side by side.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Jobs {
    /// Number of concurrent runs, which share the machine's cores; default: one per core, at most four, and a single one
    /// for profile paper, whose models are large
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
}

impl Jobs {
    /// Small models: two runs on a core each are done sooner than one after the other on both.
    pub(crate) fn number(self, profile: Profile) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        match self.jobs {
            Some(jobs) => jobs.get(),
            None if profile == Profile::Paper => 1,
            None => cores().min(4),
        }
    }
}

/// Where figures come from.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Source {
    #[command(flatten)]
    pub(crate) size: Size,
    /// Use the tables recorded in the repository; no experiment is run
    #[arg(long, conflicts_with = "profile")]
    pub(crate) recorded: bool,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{Command, CommandFactory as _, Parser as _};
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::fs;
    use std::path::Path;

    /// Scripts and habits depend on these: adding one is fine, changing one is a breaking change.
    #[test]
    fn commands_and_flags_are_frozen() {
        let mut cli = Cli::command();
        cli.build();
        let lab = cli.find_subcommand("lab").cloned();
        let list: Vec<String> = cli
            .get_subcommands()
            .chain(lab.iter().flat_map(Command::get_subcommands))
            .filter(|command| command.get_name() != "help")
            .map(|command| {
                let arguments = command.get_arguments().filter(|argument| argument.get_id() != "help");
                let names = arguments.map(|argument| {
                    argument
                        .get_long()
                        .map_or_else(|| argument.get_id().to_string(), |long| format!("--{long}"))
                });
                format!("{} {}", command.get_name(), names.collect::<Vec<_>>().join(" ")).trim().to_owned()
            })
            .collect();
        assert_eq!(list, COMMANDS);
    }
    const COMMANDS: [&str; 18] = [
        "reproduce --profile --jobs",
        "figure ids --profile --recorded --png",
        "list",
        "claims --profile --recorded",
        "report --profile --recorded --serve",
        "record ids --profile --verdicts",
        "manuscript",
        "readme",
        "book",
        "moved base",
        "lab",
        "bits ids",
        "run --profile --plan --stage --jobs --shard",
        "list --profile --plan --stage",
        "rates --plan",
        "power --plan",
        "collect --plan --from --out --restate",
        "check --plan --runs --jobs",
    ];

    /// The justfile's recipes, each with the arguments of its calls of `paper`; `"$@"` and `"$1"` stand for the recipe's own.
    fn recipes(justfile: &str) -> BTreeMap<&str, Vec<&str>> {
        let (mut recipes, mut current) = (BTreeMap::<&str, Vec<&str>>::new(), None);
        for line in justfile.lines() {
            if let Some(arguments) = line.trim().strip_prefix("{{ paper }} ") {
                current.and_then(|name| recipes.get_mut(name)).unwrap().push(arguments);
            } else if line.starts_with(|c: char| c.is_ascii_lowercase()) && !line.contains(":=") {
                let name = line.split([' ', ':']).next().unwrap();
                recipes.entry(name).or_default();
                current = Some(name);
            }
        }
        recipes
    }

    /// What follows `./just` in the lines of a page's blocks, and in the code within its sentences.
    fn commands(page: &str) -> Vec<Vec<&str>> {
        let lines = page.lines().map(|line| line.trim_start().trim_start_matches("$ "));
        let within = page.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
        lines.chain(within).filter_map(command).collect()
    }

    fn command(text: &str) -> Option<Vec<&str>> {
        let words = text.strip_prefix("./just ")?.split_whitespace();
        Some(
            words
                .take_while(|word| !word.starts_with('#') && !["|", "&&", ">", "&"].contains(word))
                .collect(),
        )
    }

    #[test]
    fn the_pages_name_recipes_and_arguments_that_there_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let justfile = fs::read_to_string(root.join("justfile")).unwrap();
        let recipes = recipes(&justfile);
        let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
        for folder in ["docs", "docs/plans"] {
            pages.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
        }
        // Entries of the log keep the names of their day.
        pages.retain(|page| {
            page.extension().is_some_and(|ending| ending == "md") && !page.ends_with("LOG.md")
        });
        let (mut parsed, mut wrong) = (0, String::new());
        for page in pages {
            let text = fs::read_to_string(&page).unwrap();
            for command in commands(&text) {
                let Some((name, given)) = command.split_first().filter(|(name, _)| !name.starts_with('-'))
                else {
                    continue;
                };
                let Some(calls) = recipes.get(name) else {
                    let _ = writeln!(wrong, "{}: no recipe is called {name}", page.display());
                    continue;
                };
                for call in calls {
                    let arguments = call.split(' ').flat_map(|word| match word {
                        "\"$@\"" => given.to_vec(),
                        "\"$1\"" => vec![given.first().copied().unwrap_or("laptop")],
                        word => vec![word],
                    });
                    parsed += 1;
                    if let Err(error) = Cli::try_parse_from(std::iter::once("paper").chain(arguments)) {
                        let _ = writeln!(wrong, "{}: ./just {}: {error}", page.display(), command.join(" "));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
        assert!(parsed > 40, "{parsed} commands");
    }
}
