//! `tokensieve convert`.

use std::path::PathBuf;

use tch::Kind;

use tokensieve_model::convert;
use tokensieve_model::weights::Checkpoint;

/// Source, destination and data type.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "SOURCE is the name of a model (smollm2-135m), a GGUF file, a Hugging Face folder, or \
    organisation/name on the hub. The new folder has config.json, the weights as safetensors (in parts of 5 GB), the \
    tokenizer and the chat template; transformers, vLLM and llama.cpp's converter read it."
)]
pub struct Arguments {
    /// Model to convert
    source: String,
    /// Folder to create
    folder: PathBuf,
    /// Data type of the weights
    #[arg(long, default_value = "bf16")]
    dtype: Dtype,
}

/// Data type of the weights.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Dtype {
    Bf16,
    F16,
    F32,
}

impl Dtype {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
            Self::F32 => Kind::Float,
        }
    }
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let checkpoint = Checkpoint::open(&self.source)?;
        convert(&checkpoint, &self.folder, self.dtype.kind())?;
        tokensieve_base::output!(
            "{} tensors of {} in {}\n",
            checkpoint.names().len(),
            self.source,
            self.folder.display()
        )?;
        Ok(())
    }
}
