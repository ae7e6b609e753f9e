//! The configuration of a decoder-only transformer, read from a Hugging Face `config.json` or a GGUF file's metadata.
//!
//! All families share one implementation; [`Config`] holds what they differ in.

mod gguf;
mod json;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;

pub use tokensieve_kernels::Activation;

use crate::Error;
use crate::Result;

/// The supported families, as `model_type` of config.json.
pub const FAMILIES: [&str; 6] = ["llama", "gemma", "gemma2", "phi3", "qwen2", "qwen3"];

/// Upper limit on the number of layers, well above any model's: a larger number is a mistake in the file.
const MAX_LAYERS: usize = 4096;

/// How rotary frequencies are scaled for sequences longer than those of pre-training.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// No scaling.
    None,
    /// All positions divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: frequencies of long wavelengths are divided by `factor`, those of short ones kept, with a linear ramp
    /// in between.
    Llama3 {
        /// The divisor for long wavelengths.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are short.
        high_freq_factor: f64,
        /// Sequence length of pre-training.
        original: f64,
    },
    /// Phi-3's longrope: one divisor per frequency, in two sets: for sequences up to `original`, and for longer ones.
    Long {
        /// Divisors up to `original` positions.
        short: Vec<f64>,
        /// Divisors beyond `original` positions.
        long: Vec<f64>,
        /// Sequence length of pre-training.
        original: f64,
        /// Factor on cosine and sine.
        attention_factor: f64,
    },
    /// One divisor per frequency, as GGUF files store them (computed from Llama 3.1's settings by the converter).
    Divisors(Vec<f64>),
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many of a head's dimensions are rotated, counted from the first.
    pub dimensions: i64,
    /// Scaling for long sequences.
    pub scaling: RopeScaling,
}

impl Rope {
    /// Whether a token's angles depend on its document's length (longrope). Equal beginnings of two documents then have
    /// different hidden states, and truncating a document changes those of the tokens that remain.
    pub fn depends_on_length(&self) -> bool {
        matches!(self.scaling, RopeScaling::Long { .. })
    }
}

/// A decoder-only transformer. Names follow `config.json` where it has one.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property in which families differ")]
pub struct Config {
    /// `model_type` of config.json: llama, gemma, gemma2, phi3, qwen2, qwen3.
    pub family: String,
    /// Rows of the embedding.
    pub vocab_size: i64,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width of the feed-forward layer.
    pub intermediate_size: i64,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads.
    pub kv_heads: i64,
    /// Dimensions of a head.
    pub head_dim: i64,
    /// Epsilon of the norms, added to the mean square.
    pub norm_eps: f64,
    /// Whether norms scale by 1 + weight (Gemma).
    pub norm_plus_one: bool,
    /// Whether the outputs of attention and of the feed-forward layer are normalised as well (Gemma 2).
    pub post_norms: bool,
    /// Whether queries and keys are normalised per head (Qwen3).
    pub qk_norm: bool,
    /// Whether the projections to query, key and value have biases (Qwen2).
    pub qkv_bias: bool,
    /// Whether attention's output projection has a bias (Llama's `attention_bias`).
    pub o_bias: bool,
    /// Whether the feed-forward layer's projections have biases (`mlp_bias`).
    pub mlp_bias: bool,
    /// The gate's non-linearity.
    pub activation: Activation,
    /// Rotary embedding.
    pub rope: Rope,
    /// Factor on query·key.
    pub attention_scale: f64,
    /// c of the soft cap on attention scores, c·tanh(score / c) (Gemma 2).
    pub attention_soft_cap: Option<f64>,
    /// c of the soft cap on logits, c·tanh(logit / c) (Gemma 2).
    pub final_soft_cap: Option<f64>,
    /// Sliding window of each layer: how many of the latest tokens a token attends to, itself included. `None`: all.
    pub windows: Vec<Option<i64>>,
    /// Factor on embeddings (Gemma: the square root of the width, rounded to the embedding's type as in
    /// `transformers`).
    pub embedding_scale: Option<f64>,
    /// Whether the output matrix is the embedding (tied weights).
    pub tied: bool,
    /// Maximum sequence length.
    pub max_positions: i64,
}

impl Config {
    /// Checks what holds for every family. Errors name the file at `path`.
    fn check(self, path: &Path) -> Result<Self> {
        let wrong = |what: String| Err(Error::file(path, what));
        let sizes = [
            ("vocabulary", self.vocab_size),
            ("hidden size", self.hidden_size),
            ("feed-forward size", self.intermediate_size),
            ("number of heads", self.heads),
            ("number of key-value heads", self.kv_heads),
            ("head size", self.head_dim),
            ("longest sequence", self.max_positions),
        ];
        // Far above any model's sizes, and low enough that products of two sizes stay far below 2⁶³.
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !(1..1 << 28).contains(size)) {
            return wrong(format!("the {name} is {size}; it must be between 1 and 2^28"));
        }
        if self.layers == 0 {
            return wrong("the number of layers is 0; it must be at least 1".into());
        }
        if self.heads % self.kv_heads != 0 {
            return wrong(format!(
                "{} query heads are not a multiple of {} key-value heads",
                self.heads, self.kv_heads
            ));
        }
        let turning = self.rope.dimensions;
        if turning < 2 || turning % 2 != 0 || turning > self.head_dim {
            return wrong(format!(
                "{turning} rotary dimensions; it must be an even number from 2 to the head size, {}",
                self.head_dim
            ));
        }
        let divisors = match &self.rope.scaling {
            RopeScaling::Long { short, long, .. } => vec![short, long],
            RopeScaling::Divisors(divisors) => vec![divisors],
            _ => vec![],
        };
        for divisors in divisors {
            if divisors.len() as i64 != turning / 2 || divisors.iter().any(|d| !d.is_finite() || *d <= 0.0) {
                return wrong(format!("rotary divisors must be {} positive numbers", turning / 2));
            }
        }
        let mut positive = vec![self.norm_eps, self.rope.theta, self.attention_scale];
        positive.extend(self.attention_soft_cap.into_iter().chain(self.final_soft_cap));
        positive.extend(match &self.rope.scaling {
            RopeScaling::None | RopeScaling::Divisors(_) => vec![],
            RopeScaling::Linear { factor } => vec![*factor],
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                vec![*factor, *low_freq_factor, high_freq_factor - low_freq_factor, *original]
            }
            RopeScaling::Long { original, attention_factor, .. } => vec![*original, *attention_factor],
        });
        if positive.iter().any(|number| !number.is_finite() || *number <= 0.0) {
            let what = "norm epsilon, rotary base and scaling, attention scale and soft caps must be positive numbers";
            return wrong(what.into());
        }
        Ok(self)
    }

    /// The number of layers, checked against [`MAX_LAYERS`].
    fn layers(path: &Path, layers: i64) -> Result<usize> {
        usize::try_from(layers)
            .ok()
            .filter(|layers| *layers <= MAX_LAYERS)
            .ok_or_else(|| Error::file(path, format!("{layers} layers; at most {MAX_LAYERS} are supported")))
    }

    fn unknown(path: &Path, family: &str) -> Error {
        Error::file(
            path,
            format!("model type `{family}` is not supported; supported are {}", FAMILIES.join(", ")),
        )
    }
}

/// Longrope's default factor on cosine and sine: √(1 + ln stretch / ln original).
fn usual_attention_factor(stretch: f64, original: f64) -> f64 {
    if stretch <= 1.0 { 1.0 } else { (1.0 + stretch.ln() / original.ln()).sqrt() }
}
