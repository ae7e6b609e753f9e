//! What is asked of the gradient.

use tch::Tensor;
use tokensieve_kernels::head_rows::Top;
use tokensieve_objective::Pull;

use super::Unembedding;

/// The distribution that the second pull points to, and that a divergence is from, for each of the rows.
#[derive(Clone, Copy, Debug, Default)]
pub enum Distribution<'a> {
    /// None: every pull onto it must be zero.
    #[default]
    None,
    /// The same probability for every token.
    Uniform,
    /// Another model's prediction.
    Model {
        /// Its hidden states, `[R, D]`.
        hidden_rd: &'a Tensor,
        /// Its output matrix.
        unembedding: Unembedding<'a>,
    },
    /// The most probable tokens of another model's prediction, the rest as one bucket.
    Top(&'a Top),
    /// The rows' own prediction, held constant, its logits multiplied by this inverse temperature; no divergence is from it.
    Itself(f64),
}

/// What to make the gradient of, and where else it goes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// One pull per row.
    pub pulls: &'a [Pull],
    /// What the rows' gradients are divided by.
    pub normaliser: f64,
    /// Where the pulls onto a reference point.
    pub reference: Distribution<'a>,
    /// Whether those lower KL(p ‖ q) and not KL(q ‖ p).
    pub reverse: bool,
    /// For full fine-tuning: f32 `[V, D]`, to which the output matrix' gradient is added.
    pub weight_gradient: Option<&'a Tensor>,
}
