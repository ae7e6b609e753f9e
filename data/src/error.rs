//! Errors: each names the file, the sources that were tried, and the remedy.

use std::fmt;
use std::path::PathBuf;

use tokensieve_base::files;

/// An error of the catalogue or of a fetch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `data.toml` is invalid.
    #[error("data.toml: {0}")]
    Catalogue(String),
    /// A name that the catalogue does not know.
    #[error("data.toml has no data set `{name}`; it has: {known}")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
    /// No source had the file.
    #[error(transparent)]
    Unobtainable(Box<Unobtainable>),
    /// The fallback failed too.
    #[error("{asked}\n\nIts fallback, `{fallback}`, is not available either:\n\n{error}")]
    FallbackToo {
        /// Why the set itself failed.
        asked: Box<Error>,
        /// The fallback's name.
        fallback: String,
        /// Why the fallback failed.
        error: Box<Error>,
    },
    /// The cache folder cannot be used.
    #[error("the cache, {path}: {error}; make it writable, or name another folder in TOKENSIEVE_CACHE")]
    Cache {
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
}

impl Error {
    /// The error in one line.
    pub fn brief(&self) -> String {
        match self {
            Self::Unobtainable(missing) => {
                let tried: Vec<&str> =
                    missing.attempts.iter().map(|attempt| attempt.source.as_str()).collect();
                format!(
                    "`{}` of `{}` is not available here (tried {})",
                    missing.file,
                    missing.set,
                    tried.join(", ")
                )
            }
            other => other.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// Why a source did not provide a file.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A reason of the source's: another may have the file.
    #[error("{0}")]
    Source(String),
    /// Nothing can be written here, whatever the source.
    #[error(transparent)]
    Here(#[from] files::Error),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Source(reason)
    }
}

/// A source that did not provide the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source, as messages name it.
    pub source: String,
    /// Why it failed.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.reason)
    }
}

/// A file that no source provided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unobtainable {
    /// Name of the set.
    pub set: String,
    /// Title of the set.
    pub title: String,
    /// Key of the file in its set.
    pub file: String,
    /// Uncompressed size.
    pub bytes: u64,
    /// The sources that were tried, in order.
    pub attempts: Vec<Attempt>,
    /// Where the cache expects the file.
    pub cached: PathBuf,
    /// Path of the file below a mirror folder, if the catalogue has one.
    pub mirrored: Option<String>,
    /// Where the original of a derived file comes from.
    pub origin: Option<String>,
}

impl fmt::Display for Unobtainable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = megabytes(self.bytes);
        writeln!(
            f,
            "cannot get `{}` of data set `{}` ({}, {size} uncompressed).",
            self.file, self.set, self.title
        )?;
        write!(f, "Tried:")?;
        for attempt in &self.attempts {
            write!(f, "\n  - {attempt}")?;
        }
        write!(f, "\nTo provide it, do one of the following:")?;
        if self.attempts.iter().any(|attempt| attempt.source.starts_with("http")) {
            write!(f, "\n  - connect to a network that reaches an address above, and repeat the command")?;
        }
        if let Some(path) = &self.mirrored {
            write!(f, "\n  - set TOKENSIEVE_MIRROR to a folder that holds {path}")?;
        }
        write!(f, "\n  - put the uncompressed file at {}", self.cached.display())?;
        if let Some(origin) = &self.origin {
            write!(f, "\nIt is derived from {origin}; the original file does not match the SHA-256.")?;
        }
        Ok(())
    }
}

/// A size as text: `47.0 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    let size = bytes as f64 / 1e6;
    if size < 0.1 { format!("{:.1} kB", bytes as f64 / 1e3) } else { format!("{size:.1} MB") }
}
