//! What can go wrong: where, what, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

/// The key of a complaint about a model, where nobody knows what named it.
pub(crate) const MODEL: &str = "model";

/// Any failure of this crate. Each names the file and line, or the setting, and says what was wrong there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in a file is not as it should be.
    #[error("{}{}: {what}", .path.display(), Line(*.line))]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where the file has lines.
        line: Option<usize>,
        /// What is wrong there, and what would be right.
        what: String,
    },
    /// A setting's value cannot be used.
    #[error("{key}: {what}")]
    Setting {
        /// The setting as the user writes it, `train.lr` say.
        key: String,
        /// What is wrong with its value, and what would be right.
        what: String,
    },
    /// The run itself cannot go on: a loss that is not finite, no memory, an interruption.
    #[error("{0}")]
    Run(String),
    /// The system refused to read or write.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// A data set or model cannot be had.
    #[error(transparent)]
    Data(#[from] tokensieve_data::Error),
    /// The objective, or what it was given, is not valid.
    #[error(transparent)]
    Objective(#[from] tokensieve_objective::Error),
    /// Something else that a model is used with failed: a task, a judge.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// libtorch refused.
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
    /// Something is wrong in a file as a whole.
    pub fn file(path: impl AsRef<Path>, what: impl fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_owned(), line: None, what: what.to_string() }
    }

    /// Something is wrong in one line of a file (counted from 1).
    pub fn line(path: impl AsRef<Path>, line: usize, what: impl fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_owned(), line: Some(line), what: what.to_string() }
    }

    /// A setting's value cannot be used.
    pub fn setting(key: impl Into<String>, what: impl fmt::Display) -> Self {
        Self::Setting { key: key.into(), what: what.to_string() }
    }

    /// The failure of something else that a model is used with.
    pub fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Other(Box::new(error))
    }

    /// A complaint about a model as one about the key or flag that named it.
    #[must_use]
    pub fn model_named_by(self, by: &str) -> Self {
        match self {
            Self::Setting { key, what } if key == MODEL => Self::setting(by, what),
            other => other,
        }
    }

    /// A model's prediction is no number.
    pub fn not_finite(of: impl fmt::Display) -> Self {
        Self::Run(format!("{of}: the model's output is not finite"))
    }

    /// The system refused to read or write.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |reason| Self::Io { path, reason }
    }
}

struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_reason_is_said_once() {
        let error = Error::io("x.toml")(std::io::Error::other("no such file"));
        assert_eq!(format!("{:#}", anyhow::Error::from(error)), "x.toml: no such file");
    }
}
