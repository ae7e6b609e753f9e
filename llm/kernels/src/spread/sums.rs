//! The sums.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

/// Groups at most.
pub const MOST_GROUPS: usize = 10;

/// Sums of n rows by group.
#[derive(Debug)]
pub struct Sums {
    /// Σ p, f32 `[n, G, V]`.
    pub(crate) probabilities: Tensor,
    /// Σ log p, f32 `[n, G, V]`.
    pub(crate) logarithms: Tensor,
    /// Σ H, by row and group.
    pub(crate) entropies: Vec<f64>,
}

/// Neighbouring passes of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The group.
    pub group: usize,
    /// The passes, by their places among those of a tensor.
    pub passes: Range<usize>,
}

/// Of the mean prediction p̄ over some passes: −Σ p̄ log p̄ and Σ p̄ · mean log p.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    /// Its entropy.
    pub entropy: f64,
    /// Its mean log-probability under each of the predictions.
    pub cross: f64,
}

impl Sums {
    /// Sums of nothing.
    pub fn zeros(rows: usize, groups: usize, vocabulary: i64, device: Device) -> Self {
        let zeros = || Tensor::zeros([rows as i64, groups as i64, vocabulary], (Kind::Float, device));
        Self { probabilities: zeros(), logarithms: zeros(), entropies: vec![0.0; rows * groups] }
    }

    /// Makes them sums of nothing again.
    pub fn clear(&mut self) {
        let _ = self.probabilities.zero_();
        let _ = self.logarithms.zero_();
        self.entropies.fill(0.0);
    }

    /// n.
    pub fn rows(&self) -> i64 {
        self.probabilities.size()[0]
    }

    /// G.
    pub fn groups(&self) -> i64 {
        self.probabilities.size()[1]
    }

    /// V.
    pub fn vocabulary(&self) -> i64 {
        self.probabilities.size()[2]
    }

    /// Σ H of each row and group, row after row.
    pub fn entropies(&self) -> &[f64] {
        &self.entropies
    }
}
