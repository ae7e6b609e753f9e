//! How uncertain a model is about each token of a response, and of which kind the uncertainty is.
//!
//! A posterior over models gives P predictions pᵢ of a token, each a distribution over the vocabulary: P passes with
//! dropout (Gal & Ghahramani, arXiv 1506.02142), or one pass with each of P adapters. With p̄ their mean and H the
//! entropy, in nats:
//!
//! | measure | formula | also called |
//! |---|---|---|
//! | total | H\[p̄\] | predictive entropy |
//! | aleatoric | mean H\[pᵢ\] | expected entropy |
//! | epistemic | total − aleatoric = mean KL(pᵢ ‖ p̄) | BALD, mutual information |
//! | pairwise KL | mean KL(pᵢ ‖ pⱼ) over all ordered pairs | expected pairwise KL divergence |
//! | reverse MI | pairwise KL − epistemic = mean KL(p̄ ‖ pᵢ) | reverse mutual information |
//!
//! All measures are plug-in estimates: the mean over the passes replaces the mean over the posterior, and the pairs include
//! each pass with itself. Their Monte-Carlo standard errors come from a jackknife over groups of passes.
//!
//! The hidden states of all passes are computed first, for as many documents as fit into a fixed number of bytes; then the
//! logits of a few rows and passes at a time, and the sums over passes of a few rows. Memory therefore depends neither on
//! the number of passes nor on the number of documents; the vocabulary matters through the sums of at least one row.

mod budget;
mod estimate;
mod passes;
mod pieces;
mod posterior;
mod record;
mod spread;
mod table;

pub use budget::Budget;
pub use estimate::{ALTERNATIVES, Documents, Estimate, Work, estimate};
pub use posterior::Posterior;
pub use record::Recorder;
pub use spread::{Spread, Sums};
pub use table::{is_table, write_table};
pub use tokensieve_documents::estimates::{DropoutSettings, Measures};
