//! Why several processes do not work together.

use crate::link::Lost;

/// Why several processes do not work together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment variable says something impossible.
    #[error("{variable}: {what}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// torch's store failed.
    #[error("the store through which processes find each other: {0}")]
    Store(String),
    /// They did not find each other.
    #[error("{0}")]
    Join(String),
    /// One of them is lost.
    #[error(transparent)]
    Lost(#[from] Lost),
}
