//! Rejects checkpoints with weights that the configuration leaves unused: it then describes another model.

use std::collections::BTreeSet;

use super::Model;
use crate::Error;
use crate::Result;
use crate::modules;
use crate::weights::Checkpoint;

impl Model {
    /// An error if the transformer has tensors in the checkpoint that this model does not use. Tensors outside of it (the
    /// head of a classifier) are allowed.
    pub(super) fn check_all_used(&self, checkpoint: &Checkpoint) -> Result<()> {
        let used: BTreeSet<String> = self.names().collect();
        let mut unused = checkpoint.names();
        unused.retain(|name| name.starts_with("model.") || name.starts_with("lm_head."));
        unused.retain(|name| !used.contains(name) && !is_redundant(name));
        let Some(first) = unused.first() else { return Ok(()) };
        let keys: BTreeSet<&str> = unused.iter().filter_map(|name| self.key_of(name)).collect();
        let keys: Vec<&str> = keys.into_iter().collect();
        let remedy = match keys[..] {
            [] => "is it the configuration of another model?".to_owned(),
            _ => format!("correct {} in the configuration", keys.join(", ")),
        };
        let count = unused.len();
        let what = format!("the configuration leaves {count} tensors unused, the first is {first}; {remedy}");
        Err(Error::file(checkpoint.source(), what))
    }

    /// The key of config.json by which a model has the tensor.
    fn key_of(&self, name: &str) -> Option<&'static str> {
        let of = |part: &str| {
            name.rsplit_once('.').is_some_and(|(parent, last)| last == "bias" && parent.contains(part))
        };
        let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
        if layer.is_some_and(|layer: usize| layer >= self.layers.len()) {
            Some("num_hidden_layers")
        } else if of(".self_attn.") {
            Some("attention_bias")
        } else if of(".mlp.") {
            Some("mlp_bias")
        } else if name.ends_with("_norm.weight") || name.ends_with("_layernorm.weight") {
            Some("model_type")
        } else {
            None
        }
    }
}

/// Whether other tensors or the configuration determine the values: rotary frequencies, and the output matrix of a model
/// that ties it to the embedding.
fn is_redundant(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || name == modules::HEAD
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::convert;

    /// The fixture with another number of layers and further tensors.
    fn checkpoint(layers: Option<usize>, further: &[(&str, Tensor)]) -> Checkpoint {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/gemma2");
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(source.join("config.json")).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        if let Some(layers) = layers {
            config["num_hidden_layers"] = json!(layers);
            config["layer_types"] = Value::Null;
        }
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let mut tensors = Tensor::read_safetensors(source.join("model.safetensors")).unwrap();
        tensors.extend(further.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())));
        Tensor::write_safetensors(&tensors, folder.path().join("model.safetensors")).unwrap();
        Checkpoint::open(folder.path().to_str().unwrap()).unwrap()
    }

    fn load(layers: Option<usize>, further: &[(&str, Tensor)]) -> Result<Model> {
        Model::load(&checkpoint(layers, further), Kind::Float, Device::Cpu)
    }

    fn one() -> Tensor {
        Tensor::from_slice(&[1.0_f32])
    }

    fn embedding() -> Tensor {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/gemma2");
        let tensors = Tensor::read_safetensors(source.join("model.safetensors")).unwrap();
        tensors.into_iter().find(|(name, _)| name == modules::EMBEDDING).unwrap().1
    }

    #[test]
    fn tensors_without_a_place_in_the_configuration_are_errors() {
        let error = load(Some(1), &[]).unwrap_err().to_string();
        assert!(error.contains("the first is model.layers.1."), "{error}");
        assert!(error.ends_with("; correct num_hidden_layers in the configuration"), "{error}");
        let error = load(None, &[("model.layers.0.self_attn.q_proj.bias", one())]).unwrap_err().to_string();
        assert!(error.contains("leaves 1 tensors unused"), "{error}");
        assert!(error.ends_with("; correct attention_bias in the configuration"), "{error}");
    }

    #[test]
    fn redundant_tensors_and_those_outside_of_the_transformer_are_allowed() {
        let frequencies = "model.layers.0.self_attn.rotary_emb.inv_freq";
        for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
            let head = (modules::HEAD, embedding().to_kind(kind));
            load(None, &[(frequencies, one()), head, ("score.weight", one())]).unwrap();
        }
    }

    #[test]
    fn an_output_matrix_that_would_be_ignored_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for head in [one(), embedding() * 1.5, (embedding() * 1.5).to_kind(Kind::Double)] {
            let checkpoint = checkpoint(None, &[(modules::HEAD, head)]);
            let loaded = Model::load(&checkpoint, Kind::Float, Device::Cpu).map(drop);
            let converted = convert(&checkpoint, &folder.path().join("new"), Kind::Float);
            let wanted = "but lm_head.weight differs from it; to compute with lm_head.weight, set tie_word_embeddings to \
                          false in config.json, else remove it";
            for error in [loaded, converted].map(|result| result.unwrap_err().to_string()) {
                assert!(error.ends_with(wanted), "{error}");
            }
        }
    }
}
