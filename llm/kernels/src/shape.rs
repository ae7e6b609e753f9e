//! What a layer is made of, as numbers.

/// Attention's heads. Query head h reads key and value head h / (queries / keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads, H: a multiple of `keys`.
    pub queries: usize,
    /// Key and value heads, G.
    pub keys: usize,
    /// Dimensions of a head, K.
    pub dim: usize,
}

impl Heads {
    /// Columns of the fused `[H·K queries | G·K keys | G·K values]`.
    pub fn width(&self) -> usize {
        (self.queries + 2 * self.keys) * self.dim
    }
}

/// The non-linearity of the gated feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(x): Llama, Phi-3, Qwen.
    Silu,
    /// Gaussian error linear unit in its tanh form: Gemma.
    GeluTanh,
}

/// How tokens attend to those before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The heads.
    pub heads: Heads,
    /// What query·key is multiplied by.
    pub scale: f64,
    /// c: scores become c·tanh(score / c) (Gemma 2).
    pub soft_cap: Option<f64>,
    /// How many latest tokens a token sees, itself included; `None`: all.
    pub window: Option<usize>,
}
