//! Judges: of two outputs for one instruction, which is better?
//!
//! A [`Judge`] is a local model (the crate `llm`) or an OpenAI-compatible [`Endpoint`]. Either way the question is put by
//! [`question`], and the answer is the probability of the label of the second output against that of the first
//! ([`Verdict`]). [`pairwise`] asks about a model's outputs and a baseline's in both orders.

mod cache;
mod endpoint;
mod pairwise;
mod prompt;
mod reply;
mod service;
mod verdict;

pub use endpoint::{Cost, Endpoint, Prices, Settings};
pub use pairwise::{Nonsense, Order, Pairwise, both_orders, pairwise};
pub use prompt::{LABELS, Pair, question};
pub use service::Patience;
pub use verdict::Verdict;

use crate::Result;

/// Whoever compares outputs.
pub trait Judge {
    /// Which judge it is: model and, where it matters, service.
    fn name(&self) -> String;

    /// A verdict for each pair, in their order. An answer that cannot be read is a verdict too, [`Verdict::Nonsense`]; an
    /// error is what keeps the judge from answering at all.
    fn prefer(&self, pairs: &[Pair<'_>]) -> Result<Vec<Verdict>>;
}
