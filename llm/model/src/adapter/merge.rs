//! An adapter folded into its base's weights.

use std::path::Path;

use tch::{Device, Kind};

use super::lora::Adapter;
use crate::Result;
use crate::weights::{Checkpoint, export};

/// Writes W + s·B·A as a Hugging Face folder with weights of the given kind; sums are made in f32.
pub fn merge(checkpoint: &Checkpoint, adapter: &Adapter, folder: &Path, kind: Kind) -> Result<()> {
    adapter.fits(checkpoint.config())?;
    export(checkpoint, folder, kind, |name| {
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let Some((_, scale)) = adapter.on(module) else { return checkpoint.tensor(name, kind) };
        let [a, b] = Adapter::names(module).map(|name| adapter.value(&name).to_device(Device::Cpu));
        Ok(checkpoint.tensor(name, Kind::Float)? + b.mm(&a) * scale)
    })
}
