//! Scored documents: what `tokensieve uncertainty` writes about every response token, and what figures make of it.
//!
//! The scores come from the `tokensieve` binary; everything here is arithmetic on its files, so that figures can be
//! tested on [`synthetic`] documents without a model.

mod correlation;
mod document;
mod kinds;
pub mod picture;
mod row;
pub mod synthetic;

pub use correlation::{Correlation, Method, correlations, over_documents};
pub use document::{Document, Quantity, RATE, Token, read};
pub use kinds::{Kind, shares};
pub use row::{Conversation, TokenRow, conversations, top_quarter};
