//! Adapters in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::{Device, Tensor};

use super::lora::{Adapter, LoraConfig};
use crate::Error;
use crate::Result;
use crate::config::Config;
use tokensieve_base::files::{read_text, write_atomically};

use crate::weights::{Checkpoint, LARGEST_JSON, metadata, save_safetensors};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Whether a file of this name is part of a saved adapter.
pub(crate) fn is_of_adapter(name: &str) -> bool {
    [CONFIG, WEIGHTS].contains(&name)
}
/// Key of the base's hash in the metadata of the weights, where PEFT does not look.
const BASE: &str = "base_sha256";

/// PEFT's settings that change what an adapter computes and are not implemented, with the value that disables each.
fn unsupported() -> [(&'static str, Value); 15] {
    [
        ("bias", json!("none")),
        ("use_dora", json!(false)),
        ("use_qalora", json!(false)),
        ("fan_in_fan_out", json!(false)),
        ("lora_bias", json!(false)),
        ("modules_to_save", Value::Null),
        ("exclude_modules", Value::Null),
        ("layers_to_transform", Value::Null),
        ("layer_replication", Value::Null),
        ("trainable_token_indices", Value::Null),
        ("target_parameters", Value::Null),
        ("alora_invocation_tokens", Value::Null),
        ("use_bdlora", Value::Null),
        ("kasa_config", Value::Null),
        ("monteclora_config", Value::Null),
    ]
}

/// Values of `init_lora_weights` with which PEFT does not change the model's own weights. The others (`pissa`, `olora`,
/// `corda`, `loftq`, …) make an adapter of changed weights, which PEFT 0.21 recomputes whenever it loads the adapter.
const INITIALISATIONS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

impl Adapter {
    /// Writes the adapter into a folder, which is created if necessary. `base` is the model that PEFT loads it on: a
    /// folder or a name on the hub.
    pub fn save(&self, folder: &Path, base: &str) -> Result<()> {
        self.save_with(folder, base, &[])
    }

    /// [`Adapter::save`] that also writes the hash of the base's weights, by which [`Adapter::load_on`] recognises them.
    pub fn save_on(&self, folder: &Path, base: &Checkpoint) -> Result<()> {
        self.save_with(folder, base.source(), &[(BASE, &base.hash())])
    }

    fn save_with(&self, folder: &Path, base: &str, metadata: &[(&str, &str)]) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let Value::Object(own) = serde_json::to_value(&self.config).map_err(|e| Error::file(folder, e))?
        else {
            unreachable!("a struct is an object")
        };
        let mut all = Map::new();
        for (key, value) in [
            ("peft_type", json!("LORA")),
            ("task_type", json!("CAUSAL_LM")),
            ("base_model_name_or_path", json!(base)),
            ("inference_mode", json!(true)),
            ("init_lora_weights", json!(true)),
        ] {
            all.insert(key.to_owned(), value);
        }
        // PEFT writes an alpha without a fraction as an integer. Far above 2^53, where no f64 has one, an i64 holds not all.
        all.extend(own.into_iter().map(|(key, value)| match value.as_f64() {
            Some(x) if key == "lora_alpha" && x.fract() == 0.0 && x.abs() < 9e15 => (key, json!(x as i64)),
            _ => (key, value),
        }));
        all.extend(unsupported().map(|(key, value)| (key.to_owned(), value)));
        let names: Vec<String> = self.parameters.names().map(str::to_owned).collect();
        let tensors: Vec<_> = names
            .into_iter()
            .map(|name| {
                let value = self.value(&name).to_device(Device::Cpu);
                (name, value)
            })
            .collect();
        save_safetensors(&folder.join(WEIGHTS), &tensors, &[&[("format", "pt")], metadata].concat())?;
        let path = folder.join(CONFIG);
        let text = serde_json::to_string_pretty(&all).map_err(|error| Error::file(&path, error))?;
        Ok(write_atomically(&path, text + "\n")?)
    }

    /// Reads an adapter for a model, with a warning if it was trained on another one: shapes alone do not tell.
    pub fn load_on(checkpoint: &Checkpoint, folder: &Path, device: Device) -> Result<Self> {
        let adapter = Self::load(checkpoint.config(), folder, device)?;
        if let Some(warning) = other_base(checkpoint, folder) {
            tokensieve_base::status!("warning: {}: {warning}", folder.display());
        }
        Ok(adapter)
    }

    /// Reads an adapter for a model of this configuration.
    pub fn load(config: &Config, folder: &Path, device: Device) -> Result<Self> {
        let config_path = folder.join(CONFIG);
        let lora = read_config(&config_path)?;
        let adapter = Self::zeros(config, &lora, device).map_err(|error| match error {
            // Of the file, not of a run's configuration.
            Error::Setting { key, what } => {
                Error::file(&config_path, format!("{}: {what}", key.trim_start_matches("lora.")))
            }
            other => other,
        })?;
        let path = folder.join(WEIGHTS);
        // Says what is wrong with a file that libtorch would reject without a reason.
        metadata(&path)?;
        let tensors: BTreeMap<String, Tensor> =
            Tensor::read_safetensors(&path).map_err(|error| Error::file(&path, error))?.into_iter().collect();
        let expected: BTreeSet<&str> = adapter.parameters.names().collect();
        let missing: Vec<&str> =
            expected.iter().filter(|name| !tensors.contains_key(**name)).copied().collect();
        if let Some(first) = missing.first() {
            let count = missing.len();
            let what = format!("{count} tensors required by {CONFIG} are missing; the first is {first}");
            return Err(Error::file(&path, what));
        }
        for (name, tensor) in &tensors {
            if !expected.contains(name.as_str()) {
                let what =
                    format!("{name} belongs to none of the modules that {CONFIG} selects from the model");
                return Err(Error::file(&path, what));
            }
            if !tensor.is_floating_point() {
                let what = format!(
                    "{name} is of type {:?}; only floating-point numbers are supported",
                    tensor.kind()
                );
                return Err(Error::file(&path, what));
            }
            let mut value = adapter.value(name);
            let (wanted, found) = (value.size(), tensor.size());
            if wanted != found {
                let what =
                    format!("{name} has the shape {found:?}; the model and {CONFIG} require {wanted:?}");
                return Err(Error::file(&path, what));
            }
            if tensor.isfinite().all().int64_value(&[]) == 0 {
                return Err(Error::file(&path, format!("{name} contains NaN or infinite values")));
            }
            value.copy_(tensor);
        }
        Ok(adapter)
    }
}

/// What tells that an adapter was trained on another model: the hash of its base, or, where no hash was written, the
/// last part of its base's name.
fn other_base(checkpoint: &Checkpoint, folder: &Path) -> Option<String> {
    let config: Value = serde_json::from_str(&read_text(&folder.join(CONFIG), LARGEST_JSON).ok()?).ok()?;
    let named = config["base_model_name_or_path"].as_str().unwrap_or_default();
    let source = checkpoint.source();
    if let Some(hash) = metadata(&folder.join(WEIGHTS)).ok()?.get(BASE) {
        return (*hash != checkpoint.hash()).then(|| {
            format!("was trained on other weights than those of `{source}`; its base was `{named}`")
        });
    }
    let last = |name: &str| name.trim_end_matches('/').rsplit('/').next().map(str::to_lowercase);
    (!named.is_empty() && last(named) != last(source))
        .then(|| format!("names `{named}` as its base; it is used on `{source}`"))
}

fn read_config(path: &Path) -> Result<LoraConfig> {
    let text = read_text(path, LARGEST_JSON)?;
    let all: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| Error::line(path, error.line(), error))?;
    if all.get("peft_type").and_then(Value::as_str) != Some("LORA") {
        let found = all.get("peft_type").unwrap_or(&Value::Null);
        return Err(Error::file(path, format!("peft_type is {found}; only \"LORA\" is supported")));
    }
    for (key, without) in unsupported() {
        let is_without = |value: &Value| {
            *value == without || value.is_null() || value.as_array().is_some_and(Vec::is_empty)
        };
        if let Some(value) = all.get(key).filter(|value| !is_without(value)) {
            return Err(Error::file(path, format!("{key} = {value} is not supported; only {without} is")));
        }
    }
    let method = all.get("init_lora_weights").unwrap_or(&Value::Null);
    if method
        .as_str()
        .map_or(!method.is_null() && !method.is_boolean(), |name| !INITIALISATIONS.contains(&name))
    {
        let what = format!(
            "init_lora_weights = {method} is not supported because it changes the model's own weights; supported are \
             true, false, \"{}\". PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…) converts it to a \
             plain adapter",
            INITIALISATIONS.join("\", \"")
        );
        return Err(Error::file(path, what));
    }
    // PEFT writes null for the default.
    let present = all.into_iter().filter(|(_, value)| !value.is_null()).collect();
    serde_json::from_value(Value::Object(present)).map_err(|error| Error::file(path, error))
}
