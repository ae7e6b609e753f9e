//! Sums over several predictions of the same token: of their probabilities, of the logarithms of these, and of their
//! entropies; and what the sums say, with all predictions and without each group of them.
//!
//! Letters: n rows, m passes (predictions of a row), G groups of passes, V vocabulary.

pub(crate) mod plain;
pub(crate) mod sums;

pub use sums::{MOST_GROUPS, Mean, Run, Sums};

use tch::Tensor;

use crate::cpu;

/// Adds logits `[n, m, V]`, a row's passes side by side, to the sums of the first n rows.
///
/// # Panics
/// If the logits are not contiguous or not of the sums' vocabulary.
pub fn add(sums: &mut Sums, runs: &[Run], logits_nmv: &Tensor, soft_cap: Option<f64>) {
    let [rows, _, vocabulary] = logits_nmv.size()[..] else { panic!("rows, passes and tokens") };
    assert!(logits_nmv.is_contiguous() && vocabulary == sums.vocabulary() && rows <= sums.rows());
    if cpu::spread::add(sums, runs, logits_nmv, soft_cap).is_none() {
        plain::add(sums, runs, logits_nmv, soft_cap);
    }
}

/// What the sums of the first `rows` rows say: of all groups, then without each. `sizes`: passes of each group.
///
/// # Panics
/// If there are not as many sizes as groups, or more than [`MOST_GROUPS`].
pub fn means(sums: &Sums, rows: usize, sizes: &[usize]) -> Vec<Vec<Mean>> {
    assert!(sizes.len() as i64 == sums.groups() && sizes.len() <= MOST_GROUPS);
    cpu::spread::means(sums, rows, sizes).unwrap_or_else(|| plain::means(sums, rows, sizes))
}
