//! What can go wrong, said so that it can be mended.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, or does not hold what it should.
    #[error("{}{}: {what}", .path.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
    File {
        /// Which.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: Option<usize>,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A setting that does not make sense.
    #[error("{0}")]
    Setting(String),
    /// A service that was asked over the network.
    #[error("{address}: {what}")]
    Service {
        /// Who was asked.
        address: String,
        /// What came of it, and what to do.
        what: String,
    },
    /// A data set that could not be had.
    #[error(transparent)]
    Data(#[from] tokensieve_data::Error),
}

impl Error {
    /// An error about a file as a whole.
    pub fn file(path: impl AsRef<Path>, what: impl Display) -> Self {
        Self::File { path: path.as_ref().to_owned(), line: None, what: what.to_string() }
    }

    /// An error about one line of a file, counted from 1.
    pub fn line(path: impl AsRef<Path>, line: usize, what: impl Display) -> Self {
        Self::File { path: path.as_ref().to_owned(), line: Some(line), what: what.to_string() }
    }
}
