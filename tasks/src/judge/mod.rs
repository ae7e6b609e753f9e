//! Judges: of two outputs for one instruction, which is better?
//!
//! A [`Judge`] is a local model (the crate `llm`) or an OpenAI-compatible [`Endpoint`]. Both are asked with
//! [`question`], and their answer is the probability of the second output's label relative to the first's ([`Verdict`]). [`pairwise`] asks about a model's outputs and a baseline's in both orders.

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

/// A judge that compares outputs.
pub trait Judge {
    /// Its name: the model and, where it matters, the service.
    fn name(&self) -> String;

    /// A verdict for each pair, in their order. An answer that names neither output is [`Verdict::Nonsense`]; an error means
    /// that the judge could not answer at all.
    fn prefer(&self, pairs: &[Pair<'_>]) -> Result<Vec<Verdict>>;
}
