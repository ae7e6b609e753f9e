//! `tokensieve merge`.

use std::path::PathBuf;

use tch::Device;

use super::convert::Dtype;
use tokensieve_model::text::ChatTemplate;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, merge};

/// What becomes what.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The adapter is a folder in PEFT's format, as `tokensieve train` and peft write it. The result is \
    one for any tool that reads Hugging Face folders."
)]
pub struct Arguments {
    /// The model that the adapter was trained on: a name (smollm2-135m), a GGUF file, a Hugging Face folder, or
    /// organisation/name on the hub
    model: String,
    /// The adapter's folder
    adapter: PathBuf,
    /// A new folder
    folder: PathBuf,
    /// Type of the weights
    #[arg(long, default_value = "bf16")]
    dtype: Dtype,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let template = ChatTemplate::resolve(None, Some(&self.adapter))?;
        let checkpoint = Checkpoint::open_with(&self.model, template)?;
        let adapter = Adapter::load(checkpoint.config(), &self.adapter, Device::Cpu)?;
        merge(&checkpoint, &adapter, &self.folder, self.dtype.kind())?;
        tokensieve_model::output!(
            "{} with {} in {}\n",
            self.model,
            self.adapter.display(),
            self.folder.display()
        )?;
        Ok(())
    }
}
