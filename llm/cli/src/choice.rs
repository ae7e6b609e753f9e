//! Which model is asked, and how.

use std::path::{Path, PathBuf};

use tch::Kind;

use tokensieve_infer::generate::Sampling;
use tokensieve_kernels::{Backend, machine, memory};
use tokensieve_model::Result;
use tokensieve_model::text::{ChatTemplate, Moment, Tokenizer};
use tokensieve_model::weights::{self, Checkpoint};
use tokensieve_model::{Adapter, Model};

/// A model, as typed.
#[derive(clap::Args, Debug)]
pub(super) struct ModelChoice {
    /// A name (smollm2-135m), a GGUF file, a Hugging Face folder, or organisation/name on the hub
    #[arg(long, default_value = weights::DEFAULT)]
    pub(super) model: String,
    /// An adapter on it, in PEFT's format
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// The type that it computes in; auto: what is fast here, bf16, or f32 where the back end is plain
    #[arg(long, default_value = "auto")]
    pub(super) precision: Precision,
    /// A chat template in the place of the model's own: a file of Jinja, or `plain`; if not given, the one beside the
    /// adapter, where it was trained with another than the model's
    #[arg(long, value_name = "FILE|plain")]
    pub(super) chat_template: Option<ChatTemplate>,
    /// The day that chat templates are told which ask for it; if not given, today for what is said on the terminal, else
    /// 2024-07-26
    #[arg(long, value_name = "DAY")]
    pub(super) date: Option<Moment>,
}

/// A model that answers, as typed.
#[derive(clap::Args, Debug)]
pub(super) struct AnswererChoice {
    #[command(flatten)]
    pub(super) of: ModelChoice,
    /// Add the adapter to the weights first: faster, and rounded once more
    #[arg(long)]
    pub(super) merge: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Precision {
    Auto,
    F32,
    Bf16,
}

impl Precision {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Auto => Backend::of(machine::device()).fastest_kind(),
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }

    pub(super) fn name(self) -> &'static str {
        if self.kind() == Kind::Float { "f32" } else { "bf16" }
    }
}

/// A model, read.
pub(super) struct Chosen {
    pub(super) checkpoint: Checkpoint,
    pub(super) tokenizer: Tokenizer,
    pub(super) model: Model,
}

impl ModelChoice {
    /// Opens it with its adapter; templates that ask for the day are told `otherwise` if none is chosen.
    pub(super) fn open(&self, otherwise: Moment) -> Result<Chosen> {
        memory::keep();
        let mut chosen = self.without_adapter(self.template(None)?, otherwise)?;
        if let Some(folder) = &self.adapter {
            let adapter = Adapter::load(chosen.checkpoint.config(), folder, chosen.model.device())?;
            chosen.model.attach(Some(&adapter))?;
        }
        Ok(chosen)
    }

    pub(super) fn without_adapter(
        &self,
        template: Option<ChatTemplate>,
        otherwise: Moment,
    ) -> Result<Chosen> {
        let opened = Checkpoint::open_with(&self.model, template);
        let checkpoint = opened.map_err(|error| error.model_named_by("--model"))?;
        let tokenizer = Tokenizer::open_on(&checkpoint, self.date.unwrap_or(otherwise))?;
        let model = Model::load(&checkpoint, self.precision.kind(), machine::device())?;
        Ok(Chosen { checkpoint, tokenizer, model })
    }

    /// The chat template in the place of the model's own: the one chosen, or the one beside its adapter or `another`.
    pub(super) fn template(&self, another: Option<&Path>) -> Result<Option<ChatTemplate>> {
        ChatTemplate::resolve(self.chat_template.as_ref(), self.adapter.as_deref().or(another))
    }
}

/// How tokens are drawn, as typed.
#[derive(clap::Args, Debug)]
pub(super) struct SamplingChoice {
    /// Logits are divided by it; 0: the most probable token, always
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Only the k most probable tokens
    #[arg(long)]
    top_k: Option<usize>,
    /// Only the fewest tokens that have this probability together
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Only tokens of at least this share of the most probable one's probability
    #[arg(long, default_value_t = 0.0)]
    min_p: f64,
    /// Above 1, tokens that occur already are less likely
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
}

impl SamplingChoice {
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
