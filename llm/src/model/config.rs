//! One transformer, described by its numbers: what `config.json` or a GGUF file's metadata say, family by family.

/// The non-linearity of the gated feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(x): Llama, Phi-3, Qwen.
    Silu,
    /// Gaussian error linear unit in its tanh form: Gemma.
    GeluTanh,
}

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

/// A decoder-only transformer. Names follow `config.json` where it has one.
#[derive(Clone, Debug, PartialEq)]
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
    /// What embeddings are multiplied by (Gemma: the root of the width, rounded to bf16).
    pub embedding_scale: Option<f64>,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
    /// Longest sequence.
    pub max_positions: i64,
}
