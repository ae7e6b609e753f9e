//! What the head's row kernels read and give back.

use tch::{Kind, Tensor};

/// How many of the most probable tokens [`RowStats::top_entropy`] is the entropy of.
pub const TOP_ENTROPY: usize = 20;

/// Inverse temperatures besides 1 that [`RowStats::tempered`] is the loss at: multiples of a quarter, so that one exponential
/// a logit is enough.
pub const INVERSE_TEMPERATURES: [f64; 7] = [0.25, 0.5, 0.75, 1.25, 1.5, 2.0, 3.0];

/// What one row's logits say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowStats {
    /// −log p of the label, nats.
    pub loss: f64,
    /// Entropy of the prediction, nats.
    pub entropy: f64,
    /// Entropy of the 20 most probable tokens' distribution; NaN where it was not asked for.
    pub top_entropy: f64,
    /// log Σ exp of the logits (capped, where they are).
    pub log_sum_exp: f64,
    /// Whether the label is the most probable token, of several (which rounded logits make often) the first.
    pub greedy: bool,
    /// log p of the most probable token, nats.
    pub best: f64,
    /// KL(q ‖ p) from a reference q, nats, where it was asked for.
    pub divergence: Option<f64>,
    /// The label's loss with logits multiplied by each of [`INVERSE_TEMPERATURES`], where it was asked for.
    pub tempered: Option<[f64; INVERSE_TEMPERATURES.len()]>,
    /// The probability of all tokens that are no more probable than the label, itself included, where it was asked for: 1,
    /// without rounding, where none is more probable.
    pub mass: Option<f64>,
}

impl RowStats {
    /// Σ p² over the vocabulary, where the losses at other temperatures were asked for: at twice the inverse temperature
    /// the label's loss is log Σ exp(2z) − 2z, and Σ p² = exp(log Σ exp(2z) − 2·log Σ exp(z)).
    pub fn concentration(&self) -> Option<f64> {
        let doubled = INVERSE_TEMPERATURES.iter().position(|by| by.total_cmp(&2.0).is_eq())?;
        self.tempered.map(|losses| (losses[doubled] - 2.0 * self.loss).exp().min(1.0))
    }

    /// Whether the logits were finite: statistics of others are not.
    pub fn is_finite(&self) -> bool {
        [self.loss, self.entropy, self.best].into_iter().all(f64::is_finite)
    }
}

/// n rows of hidden states, the token that each should predict, and the output matrix.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Hidden states `[n, D]`.
    pub hidden_nd: Tensor,
    /// The labels.
    pub labels: &'a [u32],
    /// The labels, i64, on the hidden states' device.
    pub labels_n: Tensor,
    /// The output matrix `[V, D]`.
    pub weight_vd: &'a Tensor,
    /// c: logits become c·tanh(logit / c).
    pub soft_cap: Option<f64>,
}

impl Chunk<'_> {
    /// The labels' logits as f32 products. Logits in bf16 are rounded to 8 bits, up to 0.06 where they are near 20.
    pub fn label_logits(&self) -> Tensor {
        let weight_nd = self.weight_vd.index_select(0, &self.labels_n).to_kind(Kind::Float);
        (self.hidden_nd.to_kind(Kind::Float) * weight_nd).sum_dim_intlist(1, false, Kind::Float)
    }
}

/// What statistics of a chunk hold besides loss and entropy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// [`RowStats::top_entropy`].
    pub top_entropy: bool,
    /// [`RowStats::tempered`].
    pub tempered: bool,
    /// [`RowStats::mass`].
    pub mass: bool,
    /// The q of [`RowStats::divergence`].
    pub reference: Option<Reference<'a>>,
}

/// A distribution q for each row of a chunk.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// The same probability for every token.
    Uniform,
    /// Another model's prediction.
    Logits(ReferenceLogits<'a>),
    /// The most probable tokens of another model's prediction, the rest as one bucket. The chunk's first row is this
    /// one.
    Top(&'a Top, usize),
}

/// Statistics of one chunk, where they were computed.
#[derive(Debug)]
pub enum ChunkStats {
    /// By kernels, on the host.
    Host(Vec<RowStats>),
    /// By libtorch's operators or on a GPU: f64 `[n, 7]`, `[n, 8]`, `[n, 12]` or `[n, 13]`, in the order of [`RowStats`]'
    /// fields, the last two where they were asked for, on the hidden states' device.
    Device(Tensor),
}

/// The k most probable tokens of R predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Top {
    /// How many tokens of each row.
    pub k: usize,
    /// Their ids, row after row; within a row each once.
    pub ids: Vec<u32>,
    /// Their probabilities under the whole distribution.
    pub probabilities: Vec<f32>,
    /// Of each row the probability of all other tokens, the bucket: summed by itself, for 1 − Σ has no digits of a small
    /// one. 0 where nothing is left.
    pub tails: Vec<f32>,
}

impl Top {
    /// No rows yet, of `k` tokens each.
    pub fn of(k: usize) -> Self {
        Self { k, ids: Vec::new(), probabilities: Vec::new(), tails: Vec::new() }
    }

    /// Appends other rows.
    pub fn extend(&mut self, rows: &Self) {
        self.ids.extend_from_slice(&rows.ids);
        self.probabilities.extend_from_slice(&rows.probabilities);
        self.tails.extend_from_slice(&rows.tails);
    }

    /// A row's tokens.
    pub fn ids(&self, row: usize) -> &[u32] {
        &self.ids[row * self.k..(row + 1) * self.k]
    }

    /// Their probabilities.
    pub fn probabilities(&self, row: usize) -> &[f32] {
        &self.probabilities[row * self.k..(row + 1) * self.k]
    }

    /// The probability of all others.
    pub fn tail(&self, row: usize) -> f32 {
        self.tails[row]
    }
}

/// One row whose gradient is to be computed, on its logits: (a + b)·p − a·eᵧ − b·q, or a·(p − eᵧ) + b·p·(log p − log q −
/// KL(p ‖ q)) where the pull onto q lowers the reverse divergence.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Which of all rows it is.
    pub row: usize,
    /// y.
    pub label: u32,
    /// −log p of the label.
    pub loss: f64,
    /// log Σ exp of the logits.
    pub log_sum_exp: f64,
    /// a.
    pub label_weight: f64,
    /// b.
    pub reference_weight: f64,
}

/// What the pulls b point to.
#[derive(Clone, Copy, Debug)]
pub struct Onto<'a> {
    /// Another model's logits, of the first tasks: q is its whole prediction there.
    pub logits: Option<ReferenceLogits<'a>>,
    /// q where there are none.
    pub tail: Tail<'a>,
    /// Whether b lowers KL(p ‖ q) and not KL(q ‖ p).
    pub reverse: bool,
}

/// q where it is not another model's whole prediction.
#[derive(Clone, Copy, Debug)]
pub enum Tail<'a> {
    /// There is none.
    None,
    /// The same probability for every token.
    Uniform,
    /// The most probable tokens of another model's prediction, the rest as one bucket of the prediction's own shape.
    Top(&'a Top),
    /// The prediction itself, its logits multiplied by this inverse temperature.
    Itself(f64),
}

/// Where the tasks' logits stand.
#[derive(Debug)]
pub enum Logits<'a> {
    /// In the rows that the gradient is written to.
    InPlace,
    /// Tensor and row of each task.
    Elsewhere(Vec<(&'a Tensor, usize)>),
}

/// Another model's logits for the first rows or tasks, and their soft-cap.
pub type ReferenceLogits<'a> = (&'a Tensor, Option<f64>);
