//! The error type: each error names the place, what is wrong there, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

/// The key of an error about a model, until [`Error::model_named_by`] puts the setting or flag that named the model.
pub(crate) const MODEL: &str = "model";

/// An error of this crate or of those built on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content of a file is not valid.
    #[error("{}{}: {what}", .path.display(), .line.map_or(String::new(), |line| format!(":{line}")))]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where the file has lines.
        line: Option<usize>,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A setting's value cannot be used.
    #[error("{key}: {what}")]
    Setting {
        /// The setting as the user writes it, such as `train.lr`.
        key: String,
        /// What is wrong with its value, and what would be right.
        what: String,
    },
    /// The run cannot continue: a loss that is not finite, lack of memory, an interruption.
    #[error("{0}")]
    Run(String),
    /// Reading or writing failed.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// A data set or model is not available.
    #[error(transparent)]
    Data(#[from] tokensieve_data::Error),
    /// The objective, or its input, is not valid.
    #[error(transparent)]
    Objective(#[from] tokensieve_objective::Error),
    /// Something that a model is used with failed: a task, a judge.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// libtorch returned an error.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<tokensieve_base::files::Error> for Error {
    fn from(tokensieve_base::files::Error { path, error }: tokensieve_base::files::Error) -> Self {
        Self::Io { path, reason: error }
    }
}

impl Error {
    /// An error about a file as a whole.
    pub fn file(path: impl AsRef<Path>, what: impl fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_owned(), line: None, what: what.to_string() }
    }

    /// An error about one line of a file, counted from 1.
    pub fn line(path: impl AsRef<Path>, line: usize, what: impl fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_owned(), line: Some(line), what: what.to_string() }
    }

    /// An error about a setting's value.
    pub fn setting(key: impl Into<String>, what: impl fmt::Display) -> Self {
        Self::Setting { key: key.into(), what: what.to_string() }
    }

    /// The error of something that a model is used with.
    pub fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Other(Box::new(error))
    }

    /// Turns an error about a model into one about the key or flag that named the model.
    #[must_use]
    pub fn model_named_by(self, by: &str) -> Self {
        match self {
            Self::Setting { key, what } if key == MODEL => Self::setting(by, what),
            other => other,
        }
    }

    /// The model's output is NaN or infinite.
    pub fn not_finite(of: impl fmt::Display) -> Self {
        Self::Run(format!("{of}: the model's output is not finite"))
    }

    /// An error of reading or writing; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |reason| Self::Io { path, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_reason_is_printed_once() {
        let error = Error::io("x.toml")(std::io::Error::other("no such file"));
        assert_eq!(format!("{:#}", anyhow::Error::from(error)), "x.toml: no such file");
    }
}
