//! `tokensieve topk`.

use std::path::PathBuf;

use tokensieve_base::files::Destination;
use tokensieve_infer::truth;
use tokensieve_model::head::TopFile;
use tokensieve_train::config::Config;
use tokensieve_train::{TopkData, write_topk};

use super::model_arguments::{count, seed};
use super::train::SKIP_BAD;

/// Configuration, reference and destination.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A run whose `reference.topk` is this file distils from it without loading the reference model. The file \
    belongs to the data of the configuration: a run with other rows or another tokenizer rejects it.\n\nWith --oracle \
    the file holds the exact distribution of every token instead of a model's prediction. The data are rows of `tokensieve \
    make oracle` with this split and seed, and the model's tokenizer has one token per symbol (docs/tasks.md)."
)]
pub struct Arguments {
    /// Configuration of the run that will read the file (TOML)
    config: PathBuf,
    /// File to write, as safetensors; only a file of `tokensieve topk` is replaced
    file: PathBuf,
    /// Reference model. Default: the model of the configuration
    #[arg(long)]
    model: Option<String>,
    /// Folder of an adapter on the reference model, in PEFT's format
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Number of tokens to store for each prediction. Default: the `top_k` of the objective, else 20
    #[arg(short, value_parser = count, allow_negative_numbers = true)]
    k: Option<usize>,
    /// Store the exact distribution of the oracle language instead: split of the rows
    #[arg(long, value_name = "SPLIT", conflicts_with_all = ["model", "adapter", "k"])]
    oracle: Option<String>,
    /// Seed of the oracle language, as for make
    #[arg(long, requires = "oracle", default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Override a key of the configuration, as for train
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Skip bad rows of the data instead of stopping with an error
    #[arg(long)]
    skip_bad: bool,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut overrides = self.set;
        overrides.extend(self.skip_bad.then(|| SKIP_BAD.to_owned()));
        let config = Config::read(&self.config, &overrides)?;
        Destination::of(&self.file)?.replacing("a file of `tokensieve topk`", TopFile::is_one)?;
        if let Some(split) = &self.oracle {
            let TopkData { base, tokenizer, set } = TopkData::read(&config)?;
            let vocabulary = base.config().vocab_size;
            let k = truth::write(split, self.seed, &tokenizer, &set, vocabulary, &self.file)?;
            tokensieve_base::output!(
                "the exact distributions of {} documents, of at most {k} tokens each, in {}\n",
                set.documents.len(),
                self.file.display()
            )?;
            return Ok(());
        }
        let (n, k) = write_topk(&config, self.model.as_deref(), self.adapter.as_deref(), self.k, &self.file)?;
        tokensieve_base::output!(
            "the {k} most probable tokens of {n} documents in {}\n",
            self.file.display()
        )?;
        Ok(())
    }
}
