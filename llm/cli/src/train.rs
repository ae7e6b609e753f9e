//! `tokensieve train`.

use std::path::PathBuf;
use std::process::exit;

use anyhow::Context as _;

use super::interruption::{INTERRUPTED, interruption};
use super::processes::{Processes, Sharing};
use tokensieve_train::config::{self, Config};
use tokensieve_train::{Begin, Ending, Run};

/// The override that `--skip-bad` stands for.
pub(super) const SKIP_BAD: &str = "data.skip_bad=true";

/// A configuration, overrides, and what to do with an existing run.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A run that was stopped or killed continues from its latest checkpoint when the same command is given again; \
    its numbers are the same as without the interruption.\n\nExit code: 0 done; 1 an error; 2 wrong arguments; 130 stopped by \
    Ctrl-C (once: after this step, with a checkpoint; twice: at once)."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Arguments {
    /// Configuration of the run (TOML; see --keys and llm/examples/)
    #[arg(required_unless_present = "keys")]
    config: Option<PathBuf>,
    /// Override a key of the configuration: --set train.lr=2e-4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Skip bad rows of the data instead of stopping with an error
    #[arg(long)]
    skip_bad: bool,
    /// Continue the run in the folder; without one, stop with an error
    #[arg(long)]
    resume: bool,
    /// Delete the run in the folder and start over
    #[arg(long, conflicts_with = "resume")]
    fresh: bool,
    /// Folder of the results; overrides train.out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    sharing: Sharing,
    /// List all keys of a configuration with their defaults and meanings
    #[arg(long)]
    keys: bool,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.keys {
            return Ok(tokensieve_base::output!("{}", config::listing())?);
        }
        let file = self.config.context("a configuration is needed")?;
        let mut overrides = self.set;
        if let Some(out) = self.out {
            overrides.push(format!("train.out={}", toml::Value::String(out.to_string_lossy().into_owned())));
        }
        overrides.extend(self.skip_bad.then(|| SKIP_BAD.to_owned()));
        let begin = match (self.resume, self.fresh) {
            (true, _) => Begin::Resume,
            (_, true) => Begin::Fresh,
            _ => Begin::Either,
        };
        let mut config = Config::read(&file, &overrides)?;
        let way_back = format!(
            "the same command continues from the newest checkpoint in {}",
            config.train.out.display()
        );
        let processes = self.sharing.join(way_back)?;
        config.share_devices();
        let interrupted = interruption(
            "Stopping after this step, with a checkpoint; Ctrl-C again stops at once.",
            "the steps since the last checkpoint",
        );
        let group = processes.as_ref().map(Processes::group);
        let run = || Run::start(config, begin, interrupted, group).and_then(Run::go);
        let summary = Processes::checked(processes.as_ref(), run)?;
        drop(processes);
        tokensieve_base::output!("{summary}\n")?;
        if summary.ending == Ending::Interrupted {
            exit(INTERRUPTED);
        }
        Ok(())
    }
}
