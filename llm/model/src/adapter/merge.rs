//! Merging an adapter into the weights of its base.

use std::path::Path;

use tch::{Device, Kind};

use super::lora::Adapter;
use crate::Result;
use crate::export::{export, finite};
use crate::weights::Checkpoint;

/// Writes a Hugging Face folder with the weights W + s·B·A, summed in f32 and stored as `kind`. NaN and infinite weights
/// are an error.
pub fn merge(checkpoint: &Checkpoint, adapter: &Adapter, folder: &Path, kind: Kind) -> Result<()> {
    adapter.fits(checkpoint.config())?;
    let merged = |name: &str| {
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let Some((_, scale)) = adapter.rank_and_scale(module) else { return checkpoint.tensor(name, kind) };
        let [a, b] = Adapter::names(module).map(|name| adapter.value(&name).to_device(Device::Cpu));
        Ok(checkpoint.tensor(name, Kind::Float)? + b.mm(&a) * scale)
    };
    export(checkpoint, folder, kind, |name| finite(checkpoint, name, merged(name)?, kind, "merged"))
}
