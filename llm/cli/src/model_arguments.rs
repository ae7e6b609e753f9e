//! Arguments that several verbs share: model, adapter, precision, sampling.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokensieve_infer::generate::Sampling;
use tokensieve_kernels::{Backend, machine, memory};
use tokensieve_model::text::{ChatTemplate, Moment, Tokenizer};
use tokensieve_model::weights::{self, Checkpoint};
use tokensieve_model::{Adapter, Model, Precision, Result};

/// A model as the user names it.
#[derive(clap::Args, Debug)]
pub(super) struct ModelArguments {
    /// Name (smollm2-135m), GGUF file, Hugging Face folder, or organisation/name on the hub
    #[arg(long, default_value = weights::DEFAULT)]
    pub(super) model: String,
    /// Folder of an adapter on the model, in PEFT's format
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// Data type of the computation; `auto`: bf16, or f32 where the processor has no instructions for bf16; `nf4`: the same,
    /// with the layers' matrices in four bits
    #[arg(long, default_value = "auto", value_parser = PrecisionWord::parser())]
    pub(super) precision: PrecisionWord,
    /// Chat template: a Jinja file, or `plain`. Default: the template that the adapter was trained with, else the model's
    #[arg(long, value_name = "FILE|plain")]
    pub(super) chat_template: Option<ChatTemplate>,
    /// Date for chat templates that print today's date. Default: today for a chat or a single prompt, else 2024-07-26
    #[arg(long, value_name = "DAY")]
    pub(super) date: Option<Moment>,
}

/// A model that generates replies, as the user names it.
#[derive(clap::Args, Debug)]
pub(super) struct GenerationArguments {
    #[command(flatten)]
    pub(super) of: ModelArguments,
    /// Merge the adapter into the weights first: faster, but the merged weights are rounded
    #[arg(long, requires = "adapter")]
    pub(super) merge: bool,
}

impl GenerationArguments {
    /// Whether to merge the adapter into the weights; an error where these take none up.
    pub(super) fn merges(&self) -> anyhow::Result<bool> {
        let frozen = self.merge && self.of.precision.resolved().nf4;
        anyhow::ensure!(!frozen, "--merge: weights in four bits take up no adapter; leave it out");
        let backend = Backend::of(machine::device());
        let keeps = self.merge && matches!(backend, Backend::Plain | Backend::Cuda);
        anyhow::ensure!(
            !keeps,
            "--merge: the back end {backend} computes adapters beside the weights; leave it out"
        );
        Ok(self.merge)
    }
}

/// One of [`Precision::NAMES`].
#[derive(Clone, Debug)]
pub(super) struct PrecisionWord(String);

impl PrecisionWord {
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        PossibleValuesParser::new(Precision::NAMES).map(Self)
    }

    /// What it means on this machine.
    pub(super) fn resolved(&self) -> Precision {
        let fastest = Backend::of(machine::device()).fastest_kind();
        Precision::named(&self.0, fastest).expect("the parser knows these words alone")
    }

    pub(super) fn name(&self) -> &'static str {
        self.resolved().name()
    }
}

/// A model in memory.
pub(super) struct LoadedModel {
    pub(super) checkpoint: Checkpoint,
    pub(super) tokenizer: Tokenizer,
    pub(super) model: Model,
}

impl ModelArguments {
    /// Loads the model with its adapter. `default_date`: the date for chat templates without --date.
    pub(super) fn open(&self, default_date: Moment) -> Result<LoadedModel> {
        memory::keep();
        let mut loaded = self.without_adapter(self.template(None)?, default_date)?;
        if let Some(folder) = &self.adapter {
            let adapter = Adapter::load_on(&loaded.checkpoint, folder, loaded.model.device())?;
            loaded.model.attach(Some(&adapter))?;
        }
        Ok(loaded)
    }

    /// Loads the model alone.
    pub(super) fn without_adapter(
        &self,
        template: Option<ChatTemplate>,
        default_date: Moment,
    ) -> Result<LoadedModel> {
        let opened = Checkpoint::open_with(&self.model, template);
        let checkpoint = opened.map_err(|error| error.model_named_by("--model"))?;
        let tokenizer = Tokenizer::open_on(&checkpoint, self.date.unwrap_or(default_date))?;
        let model = Model::load(&checkpoint, self.precision.resolved(), machine::device())?;
        Ok(LoadedModel { checkpoint, tokenizer, model })
    }

    /// The chat template that replaces the model's own: the chosen one, or the one beside the adapter (or beside `another`).
    pub(super) fn template(&self, another: Option<&Path>) -> Result<Option<ChatTemplate>> {
        ChatTemplate::resolve(self.chat_template.as_ref(), self.adapter.as_deref().or(another))
    }
}

/// How tokens are sampled.
#[derive(clap::Args, Debug)]
pub(super) struct SamplingArguments {
    /// Divisor of the logits; 0: always the most probable token (greedy)
    #[arg(long, default_value_t = Sampling::default().temperature, allow_negative_numbers = true)]
    temperature: f64,
    /// Sample from the k most probable tokens
    #[arg(long, value_parser = count, allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Sample from the smallest set of tokens with at least this total probability
    #[arg(long, default_value_t = Sampling::default().top_p, allow_negative_numbers = true)]
    top_p: f64,
    /// Sample from tokens with at least this fraction of the highest probability
    #[arg(long, default_value_t = Sampling::default().min_p, allow_negative_numbers = true)]
    min_p: f64,
    /// Penalty for tokens that already occur; above 1, they become less likely
    #[arg(long, default_value_t = Sampling::default().repetition_penalty, allow_negative_numbers = true)]
    repetition_penalty: f64,
}

impl SamplingArguments {
    pub(super) fn sampling(&self) -> Result<Sampling> {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        };
        sampling.check()?;
        Ok(sampling)
    }
}

/// Reads a number of things to do.
pub(super) fn count(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|n| *n > 0).ok_or("expected a whole number, at least 1")
}

/// Reads the seed of random numbers.
pub(super) fn seed(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "expected a whole number from 0 to 18446744073709551615")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        sampling: SamplingArguments,
    }

    #[test]
    fn negative_numbers_are_rejected_with_the_range() {
        for (flag, wanted) in [
            ("--temperature", "temperature: must be a finite number, 0 or more, not -1"),
            ("--top-p", "top-p: must be above 0 and at most 1, not -1"),
            ("--min-p", "min-p: must be from 0 to 1, not -1"),
            ("--repetition-penalty", "repetition-penalty: must be a finite number above 0, not -1"),
        ] {
            let error = Line::parse_from(["", flag, "-1"]).sampling.sampling().unwrap_err().to_string();
            assert_eq!(error, wanted);
        }
    }
}
