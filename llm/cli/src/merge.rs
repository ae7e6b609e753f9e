//! `tokensieve merge`.

use std::path::PathBuf;

use tch::Device;

use super::convert::Dtype;
use tokensieve_model::text::ChatTemplate;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, merge};

/// Model, adapter, destination and data type.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The adapter is a folder in PEFT's format, as `tokensieve train` and peft write it. Any tool that reads \
    Hugging Face folders can read the result."
)]
pub struct Arguments {
    /// Base model of the adapter: name (smollm2-135m), GGUF file, Hugging Face folder, or organisation/name on the hub
    model: String,
    /// Folder of the adapter
    adapter: PathBuf,
    /// Folder to create
    folder: PathBuf,
    /// Data type of the weights
    #[arg(long, default_value = "bf16")]
    dtype: Dtype,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let template = ChatTemplate::resolve(None, Some(&self.adapter))?;
        let checkpoint = Checkpoint::open_with(&self.model, template)?;
        let adapter = Adapter::load_on(&checkpoint, &self.adapter, Device::Cpu)?;
        merge(&checkpoint, &adapter, &self.folder, self.dtype.kind())?;
        tokensieve_base::output!(
            "{} with {} in {}\n",
            self.model,
            self.adapter.display(),
            self.folder.display()
        )?;
        Ok(())
    }
}
