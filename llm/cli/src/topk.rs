//! `tokensieve topk`.

use std::num::NonZero;
use std::path::PathBuf;

use super::train::SKIP_BAD;
use tokensieve_train::config::Config;
use tokensieve_train::write_topk;

/// Of what, and whereto.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A run with `reference.topk` = the file distils from it, without the reference model at hand. The file \
    belongs to the data of the configuration: other rows or another tokenizer are refused."
)]
pub struct Arguments {
    /// The run that will read it, as a TOML file
    config: PathBuf,
    /// The file, in safetensors' format
    file: PathBuf,
    /// The reference model, if it is not the configuration's own
    #[arg(long)]
    model: Option<String>,
    /// An adapter on it, in PEFT's format
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// How many tokens of each prediction
    #[arg(short, default_value = "20")]
    k: NonZero<usize>,
    /// Lay a key upon the configuration, as for train
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Leave out bad rows of the data, which are an error else
    #[arg(long)]
    skip_bad: bool,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut overrides = self.set;
        overrides.extend(self.skip_bad.then(|| SKIP_BAD.to_owned()));
        let config = Config::read(&self.config, &overrides)?;
        let (n, k) =
            write_topk(&config, self.model.as_deref(), self.adapter.as_deref(), self.k.get(), &self.file)?;
        tokensieve_model::output!(
            "the {k} most probable tokens of {n} documents in {}\n",
            self.file.display()
        )?;
        Ok(())
    }
}
