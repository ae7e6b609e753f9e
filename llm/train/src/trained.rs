//! What a run trains: an adapter, or all of the model's weights.

use std::path::Path;

use tch::{Device, Kind};
use toml::{Table, Value};

use tokensieve_model::weights::{Checkpoint, save_safetensors};
use tokensieve_model::{Adapter, Error, LoraConfig, Model, Parameters, Result, export};

/// What is trained.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a run has one")]
pub enum Trained {
    /// A low-rank adapter.
    Adapter(Adapter),
    /// Every weight, in f32.
    Weights(Parameters),
}

/// The weights' file in a checkpoint.
const WEIGHTS: &str = "model.safetensors";

impl Trained {
    /// What a new run trains: a new adapter with the settings of `[lora]`, or the model's own weights.
    pub fn new(model: &Model, lora: Option<&Table>, seed: u64) -> Result<Self> {
        let Some(table) = lora else { return Ok(Self::Weights(model.parameters())) };
        let settings: LoraConfig = Value::Table(table.clone())
            .try_into()
            .map_err(|error: toml::de::Error| Error::setting("lora", error.message()))?;
        Ok(Self::Adapter(Adapter::new(model.config(), &settings, seed, model.device())?))
    }

    /// Reads it from a checkpoint's folder.
    pub fn load(model: &Model, adapter: bool, folder: &Path) -> Result<Self> {
        if adapter {
            return Ok(Self::Adapter(Adapter::load(model.config(), folder, model.device())?));
        }
        let parameters = model.parameters();
        let path = folder.join(WEIGHTS);
        let tensors = tch::Tensor::read_safetensors(&path).map_err(|error| Error::file(&path, error))?;
        for (name, tensor) in tensors {
            let target = parameters.value(&name).filter(|value| value.size() == tensor.size());
            let Some(mut target) = target else {
                return Err(Error::file(
                    &path,
                    format!("`{name}` does not fit the model; start over with --fresh"),
                ));
            };
            target.copy_(&tensor);
        }
        Ok(Self::Weights(parameters))
    }

    /// Writes it into a checkpoint's folder.
    pub fn save(&self, folder: &Path, base: &Checkpoint) -> Result<()> {
        let parameters = match self {
            Self::Adapter(adapter) => {
                adapter.save_on(folder, base)?;
                return base.write_template(folder);
            }
            Self::Weights(parameters) => parameters,
        };
        let tensor = |name: &str| Some((name.to_owned(), parameters.value(name)?.to_device(Device::Cpu)));
        let names: Vec<String> = parameters.names().map(str::to_owned).collect();
        let tensors: Vec<_> = names.iter().filter_map(|name| tensor(name)).collect();
        save_safetensors(&folder.join(WEIGHTS), &tensors, &[("format", "pt")])
    }

    /// Writes it in a standard format: an adapter as a PEFT folder, weights as a Hugging Face folder in the base's type.
    /// Tensors of the base that the model does not use (another head, tables) are copied.
    pub fn export(&self, base: &Checkpoint, folder: &Path, kind: Kind) -> Result<()> {
        let parameters = match self {
            Self::Adapter(_) => return self.save(folder, base),
            Self::Weights(parameters) => parameters,
        };
        export(base, folder, kind, |name| {
            let value = parameters.value(name).map(|value| value.to_device(Device::Cpu));
            value.map_or_else(|| base.tensor(name, kind), Ok)
        })
    }

    /// Values and gradients.
    pub fn parameters(&self) -> &Parameters {
        match self {
            Self::Adapter(adapter) => &adapter.parameters,
            Self::Weights(parameters) => parameters,
        }
    }

    /// The adapter, if it is one.
    pub fn adapter(&self) -> Option<&Adapter> {
        match self {
            Self::Adapter(adapter) => Some(adapter),
            Self::Weights(_) => None,
        }
    }

    /// Makes the model compute with the present values.
    pub fn refresh(&self, model: &mut Model) -> Result<()> {
        match self {
            Self::Adapter(adapter) => model.attach(Some(adapter)),
            Self::Weights(parameters) => {
                model.refresh(parameters);
                Ok(())
            }
        }
    }
}
