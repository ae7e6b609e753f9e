//! One transformer, described by its numbers: what `config.json` or a GGUF file's metadata say, family by family.

mod gguf;
mod json;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;

pub use tokensieve_kernels::Activation;

use crate::Error;
use crate::Result;

/// The families that can be read.
pub const FAMILIES: [&str; 6] = ["llama", "gemma", "gemma2", "phi3", "qwen2", "qwen3"];

/// More layers than any model has: a larger number is a mistake.
const MAX_LAYERS: usize = 4096;

/// How rotary angles are stretched beyond the length a model was first trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All positions divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between.
    Llama3 {
        /// The divisor of long wavelengths.
        factor: f64,
        /// Wavelengths above original / this are divided.
        low_freq_factor: f64,
        /// Wavelengths below original / this are kept.
        high_freq_factor: f64,
        /// Length of the first training.
        original: f64,
    },
    /// Phi-3's longrope: a divisor per frequency, one set for sequences up to `original`, one for longer ones.
    Long {
        /// Divisors up to `original` positions.
        short: Vec<f64>,
        /// Divisors beyond.
        long: Vec<f64>,
        /// Length of the first training.
        original: f64,
        /// What cosine and sine are multiplied by.
        attention_factor: f64,
    },
    /// A divisor per frequency, as GGUF files give them (Llama 3.1's, computed by who wrote the file).
    Divisors(Vec<f64>),
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many of a head's dimensions turn (from the first on).
    pub dimensions: i64,
    /// Stretching.
    pub scaling: RopeScaling,
}

impl Rope {
    /// Whether a token's angles depend on its document's length (longrope): the same beginning of two documents then
    /// differs, and so does a document that is cut.
    pub fn depends_on_length(&self) -> bool {
        matches!(self.scaling, RopeScaling::Long { .. })
    }
}

/// A decoder-only transformer. Names follow `config.json` where it has one.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "what families differ in")]
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
    /// Added to the mean square under the root.
    pub norm_eps: f64,
    /// Whether norms multiply by 1 + weight (Gemma).
    pub norm_plus_one: bool,
    /// Whether attention's and the feed-forward layer's results are normalised too (Gemma 2).
    pub post_norms: bool,
    /// Whether queries and keys are normalised per head (Qwen3).
    pub qk_norm: bool,
    /// Whether the projections to query, key and value have biases (Qwen2).
    pub qkv_bias: bool,
    /// Whether attention's output projection has one (Llama's `attention_bias`).
    pub o_bias: bool,
    /// Whether the feed-forward layer's projections have biases (`mlp_bias`).
    pub mlp_bias: bool,
    /// The gate's non-linearity.
    pub activation: Activation,
    /// Rotary embedding.
    pub rope: Rope,
    /// What query·key is multiplied by.
    pub attention_scale: f64,
    /// c·tanh(score / c) before the softmax (Gemma 2).
    pub attention_soft_cap: Option<f64>,
    /// The same for the logits (Gemma 2).
    pub final_soft_cap: Option<f64>,
    /// Per layer: how many latest tokens a token sees, itself included; `None`: all.
    pub windows: Vec<Option<i64>>,
    /// What embeddings are multiplied by (Gemma: the root of the width, which `transformers` rounds to the
    /// type of the embedding first).
    pub embedding_scale: Option<f64>,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
    /// Longest sequence.
    pub max_positions: i64,
}

impl Config {
    /// What can be wrong in any family, said of the file at `path`.
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
        // Twice the largest that any model has would still pass: products of two stay far below 2⁶³.
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !(1..1 << 28).contains(size)) {
            return wrong(format!("a {name} of {size}"));
        }
        if self.layers == 0 {
            return wrong("0 layers".into());
        }
        if self.heads % self.kv_heads != 0 {
            return wrong(format!(
                "{} heads cannot share {} key-value heads evenly",
                self.heads, self.kv_heads
            ));
        }
        let turning = self.rope.dimensions;
        if turning < 2 || turning % 2 != 0 || turning > self.head_dim {
            return wrong(format!("{turning} rotary dimensions of a head's {}", self.head_dim));
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
            let what = "norm epsilon, rotary base and scaling, attention scale and soft-caps must be positive numbers";
            return wrong(what.into());
        }
        Ok(self)
    }

    /// The number of layers, if it is one that a model can have.
    fn layers(path: &Path, layers: i64) -> Result<usize> {
        usize::try_from(layers)
            .ok()
            .filter(|layers| *layers <= MAX_LAYERS)
            .ok_or_else(|| Error::file(path, format!("{layers} layers; no model has more than {MAX_LAYERS}")))
    }

    fn unknown(path: &Path, family: &str) -> Error {
        Error::file(path, format!("a model of type `{family}`; those read are {}", FAMILIES.join(", ")))
    }
}

/// What longrope multiplies cosine and sine by where nothing else is said: √(1 + ln stretch / ln original).
fn usual_attention_factor(stretch: f64, original: f64) -> f64 {
    if stretch <= 1.0 { 1.0 } else { (1.0 + stretch.ln() / original.ln()).sqrt() }
}
