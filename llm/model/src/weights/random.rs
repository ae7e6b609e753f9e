//! A checkpoint without files: weights drawn at random, a tokenizer of characters.

use std::collections::BTreeMap;

use serde_json::json;
use tch::{Kind, Tensor};
use tokensieve_base::streams::HashedStream;

use crate::Error;
use crate::Result;
use crate::config::Config;
use crate::modules;
use crate::text::BuiltTokenizer;
use crate::text::characters::characters;

/// What a randomly initialised model is named in messages: the configuration's table.
pub(super) const NAME: &str = "model.init";

/// A model to be trained from the beginning.
///
/// Weights are drawn as GPT-2's were: normal with standard deviation `std`, the projections onto the residual stream
/// (`o_proj`, `down_proj`) with `std` / √(2·layers), so that the stream's variance does not grow with depth. Biases are 0
/// and norms scale by 1. Every tensor has a random stream of its own, derived from the seed and its name, and the same on
/// every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomModel {
    /// `model_type` of config.json: one of [`FAMILIES`](crate::config::FAMILIES).
    pub family: String,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Number of layers.
    pub layers: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Width of the feed-forward layer.
    pub intermediate_size: u64,
    /// Maximum sequence length.
    pub context: u64,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
    /// The alphabet: each character is a token.
    pub characters: String,
    /// The character that ends a text; none: a special token does.
    pub end: Option<String>,
    /// Standard deviation of the weights.
    pub std: f64,
    /// Seed of the weights.
    pub seed: u64,
}

impl RandomModel {
    /// The model's configuration. Errors say what is wrong with its sizes or its alphabet.
    pub fn config(&self) -> Result<Config> {
        let wrong = |what: String| Error::setting(NAME, what);
        if self.heads == 0 || !self.hidden_size.is_multiple_of(self.heads) {
            let what = format!("hidden_size {} is not a multiple of {} heads", self.hidden_size, self.heads);
            return Err(wrong(what));
        }
        let vocabulary = self.tokenizer()?.tokenizer.get_vocab_size(true);
        let head_dim = self.hidden_size / self.heads;
        let text = json!({
            "model_type": self.family,
            "vocab_size": vocabulary,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": head_dim,
            "query_pre_attn_scalar": head_dim,
            "max_position_embeddings": self.context,
            "tie_word_embeddings": self.tied,
        });
        Config::from_json(NAME.as_ref(), &text.to_string()).map_err(|error| match error {
            Error::File { what, .. } => wrong(what),
            other => other,
        })
    }

    pub(super) fn tokenizer(&self) -> Result<BuiltTokenizer> {
        characters(&self.characters, self.end.as_deref()).map_err(|what| Error::setting(NAME, what))
    }
}

/// The tensors of a [`RandomModel`].
#[derive(Debug)]
pub(super) struct Random {
    model: RandomModel,
    shapes: BTreeMap<String, Vec<i64>>,
    /// What norms' weights are: 1, or 0 where norms scale by 1 + weight.
    norm: f64,
}

impl Random {
    pub(super) fn new(model: &RandomModel, config: &Config) -> Self {
        let norm = if config.norm_plus_one { 0.0 } else { 1.0 };
        Self { model: model.clone(), shapes: modules::shapes(config).into_iter().collect(), norm }
    }

    pub(super) fn tokenizer(&self) -> Result<BuiltTokenizer> {
        self.model.tokenizer()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.shapes.keys()
    }

    pub(super) fn shape(&self, name: &str) -> Option<&Vec<i64>> {
        self.shapes.get(name)
    }

    /// Of everything that the weights follow from.
    pub(super) fn identity(&self) -> String {
        format!("{:?}", self.model)
    }

    pub(super) fn tensor(&self, name: &str, kind: Kind) -> Result<Tensor> {
        let Some(shape) = self.shapes.get(name) else {
            return Err(Error::setting(NAME, format!("the model has no tensor {name}")));
        };
        let count = shape.iter().product::<i64>() as usize;
        let values = if name.ends_with("norm.weight") {
            vec![self.norm as f32; count]
        } else if name.rsplit('.').next() == Some("bias") {
            vec![0.0; count]
        } else {
            self.draw(name, count)
        };
        Ok(Tensor::from_slice(&values).view(shape.as_slice()).to_kind(kind))
    }

    fn draw(&self, name: &str, count: usize) -> Vec<f32> {
        let RandomModel { seed, std, layers, .. } = self.model;
        let onto_stream = ["o_proj.weight", "down_proj.weight"].iter().any(|end| name.ends_with(end));
        let std = if onto_stream { std / ((2 * layers) as f64).sqrt() } else { std };
        let mut stream = HashedStream::new(seed, &format!("{NAME}/{name}"));
        let pairs = std::iter::repeat_with(|| stream.normals()).flatten();
        pairs.take(count).map(|normal| (std * normal) as f32).collect()
    }
}
