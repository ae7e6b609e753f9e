//! Errors: each names what is wrong, where, and what would be right.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read or has invalid content.
    #[error("{}{}: {what}", .path.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// An invalid setting.
    #[error("{0}")]
    Setting(String),
    /// A network service that failed.
    #[error("{address}: {what}")]
    Service {
        /// The service.
        address: String,
        /// What happened, and what to do.
        what: String,
    },
    /// A data set that is not available.
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
