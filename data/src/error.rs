//! What can go wrong, told so that the reader knows which file, where it was sought, and what to do.

use std::fmt;
use std::path::PathBuf;

/// An error of the catalogue or of a fetch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `data.toml` is not what it should be.
    #[error("data.toml: {0}")]
    Catalogue(String),
    /// A name that the catalogue does not know.
    #[error("no data set `{name}` in data.toml; there are: {known}")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// All names, with commas.
        known: String,
    },
    /// No source had the file.
    #[error(transparent)]
    Unobtainable(Box<Unobtainable>),
    /// The fallback failed too.
    #[error("{asked}\n\nThe set used in its place, `{fallback}`, cannot be had either:\n\n{error}")]
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
        /// What the system said.
        error: std::io::Error,
    },
}

impl Error {
    /// One line, for a place with room for one line.
    pub fn brief(&self) -> String {
        match self {
            Self::Unobtainable(missing) => {
                let tried: Vec<&str> =
                    missing.attempts.iter().map(|attempt| attempt.place.as_str()).collect();
                format!(
                    "`{}` of `{}` is not to be had here (tried {})",
                    missing.file,
                    missing.set,
                    tried.join(", ")
                )
            }
            other => other.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// One source tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source, as a person would name it.
    pub place: String,
    /// Why it did not serve.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// A file that no source had.
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
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
    /// Where a copy may be laid by hand.
    pub cached: PathBuf,
    /// Where the file lies in a mirror folder, if it may.
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
        write!(f, "\nWhat helps, any one of:")?;
        if self.attempts.iter().any(|attempt| attempt.place.starts_with("http")) {
            write!(f, "\n  - a network connection to an address above, and the same command again")?;
        }
        if let Some(path) = &self.mirrored {
            write!(f, "\n  - a folder that holds {path}, named in TOKENSIEVE_MIRROR")?;
        }
        write!(f, "\n  - the uncompressed file laid at {}", self.cached.display())?;
        if let Some(origin) = &self.origin {
            write!(f, "\nIt is derived from {origin}, whose own bytes differ.")?;
        }
        Ok(())
    }
}

/// A size for people: `47.0 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    let size = bytes as f64 / 1e6;
    if size < 0.1 { format!("{:.1} kB", bytes as f64 / 1e3) } else { format!("{size:.1} MB") }
}
