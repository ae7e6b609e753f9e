//! `tokensieve train`.

use std::path::PathBuf;
use std::process::exit;

use anyhow::Context as _;

use super::interruption::{INTERRUPTED, interruption};
use tokensieve_train::config::{self, Config};
use tokensieve_train::{Begin, Ending, Run};

/// What `--skip-bad` lays upon a configuration.
pub(super) const SKIP_BAD: &str = "data.skip_bad=true";

/// A configuration and what is laid upon it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A run that was stopped or killed continues from its newest checkpoint when the same command is given again, \
    with the same numbers as if nothing had happened.\n\nExit code: 0 done; 1 an error; 2 wrong arguments; 130 stopped by \
    Ctrl-C (once: after the step and a checkpoint; twice: at once)."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Arguments {
    /// The run, as a TOML file (see --keys and llm/examples/)
    #[arg(required_unless_present = "keys")]
    config: Option<PathBuf>,
    /// Lay a key upon the file: --set train.lr=2e-4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Leave out bad rows of the data, which are an error else
    #[arg(long)]
    skip_bad: bool,
    /// Continue the run in the folder; an error if there is none
    #[arg(long)]
    resume: bool,
    /// Remove the run in the folder and begin anew
    #[arg(long, conflicts_with = "resume")]
    fresh: bool,
    /// Folder of the results: train.out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// List every key of a configuration with its default and meaning
    #[arg(long)]
    keys: bool,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.keys {
            return Ok(tokensieve_model::output!("{}", config::listing())?);
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
        let config = Config::read(&file, &overrides)?;
        let interrupted = interruption(
            "Stopping after this step and a checkpoint; once more stops at once.",
            "the steps since the last checkpoint",
        );
        let summary = Run::start(config, begin, interrupted)?.go()?;
        tokensieve_model::output!("{summary}\n")?;
        if summary.ending == Ending::Interrupted {
            exit(INTERRUPTED);
        }
        Ok(())
    }
}
