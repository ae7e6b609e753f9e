//! What the head is asked about, and what it says of each row.

use std::ops::Range;

use tch::{IndexOp, Kind, Tensor};

use super::{Unembedding, cpu, plain};
use tokensieve_kernels::upload;

/// Rows of hidden states, each with the token that it should predict.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[R, D]`, after the final norm, in the output matrix' type.
    pub hidden_rd: &'a Tensor,
    /// The tokens, one per row.
    pub labels: &'a [u32],
    /// The output matrix.
    pub unembedding: Unembedding<'a>,
}

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
    /// Whether no token is more probable than the label.
    pub greedy: bool,
    /// log p of the most probable token, nats.
    pub best: f64,
}

impl RowStats {
    /// Whether the model has said something: what is not finite came from logits that are not.
    pub fn is_finite(&self) -> bool {
        [self.loss, self.entropy, self.best].into_iter().all(f64::is_finite)
    }
}

impl Rows<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Tokens of the vocabulary.
    pub(super) fn vocabulary(&self) -> i64 {
        self.unembedding.weight.size()[0]
    }

    /// The labels where the hidden states are, for all parts together.
    pub(super) fn labels_r(&self) -> Tensor {
        indices(self.labels, self.hidden_rd.device())
    }

    pub(super) fn hidden_nd(&self, range: &Range<usize>) -> Tensor {
        self.hidden_rd.narrow(0, range.start as i64, range.len() as i64)
    }

    pub(super) fn part(&self, labels_r: &Tensor, range: Range<usize>) -> Part<'_> {
        Part {
            hidden_nd: self.hidden_nd(&range),
            labels_n: labels_r.narrow(0, range.start as i64, range.len() as i64),
            labels: &self.labels[range],
            unembedding: self.unembedding,
        }
    }
}

/// The rows of one chunk.
pub(super) struct Part<'a> {
    pub(super) hidden_nd: Tensor,
    pub(super) labels: &'a [u32],
    /// The same, i64, where the hidden states are.
    pub(super) labels_n: Tensor,
    pub(super) unembedding: Unembedding<'a>,
}

/// Statistics of one chunk, where they were computed.
pub(super) enum Computed {
    Here(Vec<RowStats>),
    /// f64 `[n, 6]`, in the order of [`RowStats`]' fields.
    There(Tensor),
}

impl Part<'_> {
    pub(super) fn statistics(&self, logits_nv: &Tensor, top_entropy: bool) -> Computed {
        if cpu::can(logits_nv) && self.unembedding.weight.stride()[1] == 1 && self.hidden_nd.stride()[1] == 1
        {
            return Computed::Here(cpu::statistics(self, logits_nv, top_entropy));
        }
        Computed::There(plain::statistics(self, logits_nv, top_entropy))
    }

    /// The labels' logits as f32 products. Logits in bf16 are rounded to 8 bits, up to 0.06 where they are near 20.
    pub(super) fn label_logits(&self) -> Tensor {
        let weight_nd = self.unembedding.weight.index_select(0, &self.labels_n).to_kind(Kind::Float);
        (self.hidden_nd.to_kind(Kind::Float) * weight_nd).sum_dim_intlist(1, false, Kind::Float)
    }
}

/// Waits for the device, once.
pub(super) fn fetch(parts: Vec<Computed>) -> Vec<RowStats> {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Computed::Here(stats) => here.extend(stats),
            Computed::There(tensor) => there.push(tensor),
        }
    }
    if !there.is_empty() {
        let table = Tensor::cat(&there, 0).to_device(tch::Device::Cpu).contiguous();
        let numbers = Vec::<f64>::try_from(table.reshape(-1)).expect("statistics are f64");
        here.extend(numbers.chunks_exact(6).map(|n| RowStats {
            loss: n[0],
            entropy: n[1],
            top_entropy: n[2],
            log_sum_exp: n[3],
            greedy: n[4] != 0.0,
            best: n[5],
        }));
    }
    here
}

/// Token ids or row numbers as libtorch indexes with them.
pub(super) fn indices(of: &[u32], device: tch::Device) -> Tensor {
    upload(&of.iter().map(|i| i64::from(*i)).collect::<Vec<_>>(), device)
}

/// The first `n` rows.
pub(super) fn first(tensor: &Tensor, n: usize) -> Tensor {
    tensor.i(..n as i64)
}
