//! Where rows come from: a file, or a data set of the catalogue by its name.

use std::path::{Path, PathBuf};

use tokensieve_data::Catalogue;

use crate::format::Format;
use tokensieve_model::{Error, Result};

/// Which rows to read, and what to do with those that do not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSource {
    /// A file, or the name of a data set in data.toml: `gsm8k`, or with its split `gsm8k/test`.
    pub source: String,
    /// The split of a named data set. Default: `train`, or the only split.
    pub split: Option<String>,
    /// The format of the rows. Default: found by the keys of the first row.
    pub format: Option<Format>,
    /// Whether bad rows are skipped and listed in [`DataSet::skipped`](crate::DataSet::skipped). Otherwise the first bad
    /// row is an error.
    pub skip_bad: bool,
    /// What to do with documents of more than `max_length` tokens.
    pub truncate: Truncate,
    /// Maximum number of tokens of a document.
    pub max_length: Option<usize>,
    /// Number of rows to ignore at the beginning, whether or not they are valid.
    pub skip: usize,
    /// Maximum number of rows to read after the ignored ones.
    pub limit: Option<usize>,
}

/// What to do with a document that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncate {
    /// Treat its row as a bad row.
    #[default]
    Never,
    /// Cut off its last tokens, and count it in [`DataSet::truncated`](crate::DataSet::truncated).
    End,
}

/// Where the rows of a source are stored.
#[derive(Debug)]
pub enum Location {
    /// In this file.
    File(PathBuf),
    /// In a data set of the catalogue.
    Set {
        /// Name of the data set.
        name: String,
        /// Which of its files.
        key: String,
    },
}

/// Why a source names no rows.
#[derive(Debug)]
pub enum SourceError {
    /// The source is neither a file nor the name of a data set.
    Source(String),
    /// The data set has no such split.
    Split(String),
}

impl DataSource {
    /// All rows of a file or named data set. Every row has to be valid; documents may have any length.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), ..Self::default() }
    }

    /// Finds where the rows are stored, without fetching anything.
    pub fn location(&self, catalogue: &Catalogue) -> Result<Location, SourceError> {
        let name = &self.source;
        let path = Path::new(name);
        // Any path that is not a folder may be read: a pipe, for example.
        if path.exists() && !path.is_dir() {
            return match &self.split {
                None => Ok(Location::File(path.to_owned())),
                Some(split) => {
                    Err(SourceError::Split(format!("`{name}` is a single file and has no split `{split}`")))
                }
            };
        }
        if path.exists() {
            return Err(SourceError::Source(format!("`{name}` is a folder; name a file in it")));
        }
        let (set_name, split) = self.name_and_split(catalogue)?;
        let Ok(set) = catalogue.set(set_name) else {
            let what = format!("there is no file `{name}`, and no data set of that name in data.toml");
            return Err(SourceError::Source(what));
        };
        let keys: Vec<&str> = set.files.keys().map(String::as_str).collect();
        let key = match (split, keys.as_slice()) {
            (None, [only]) => only,
            (split, _) => split.unwrap_or("train"),
        };
        if !keys.contains(&key) {
            let what = format!("the data set `{set_name}` has no split `{key}`, only {}", keys.join(", "));
            return Err(SourceError::Split(what));
        }
        Ok(Location::Set { name: set_name.to_owned(), key: key.to_owned() })
    }

    /// The same rows, of the split `test` where the source names a data set that has one, and no split.
    pub fn preferring_test(self) -> Result<Self> {
        const TEST: &str = "test";
        if self.split.is_some() || Path::new(&self.source).exists() {
            return Ok(self);
        }
        let catalogue = Catalogue::load()?;
        let has_test = catalogue.set(&self.source).is_ok_and(|set| set.files.contains_key(TEST));
        Ok(Self { split: has_test.then(|| TEST.to_owned()), ..self })
    }

    /// The split that is read, `None` of a file.
    pub fn split_read(&self) -> Result<Option<String>> {
        Ok(match self.location(&Catalogue::load()?) {
            Ok(Location::Set { key, .. }) => Some(key),
            Ok(Location::File(_)) | Err(_) => None,
        })
    }

    /// The name of a data set, and the split if one is given: in `split`, or after a slash in the name.
    fn name_and_split(&self, catalogue: &Catalogue) -> Result<(&str, Option<&str>), SourceError> {
        match (self.source.split_once('/'), self.split.as_deref()) {
            (Some((set, split)), None) => Ok((set, Some(split))),
            (Some((set, split)), Some(other)) if catalogue.set(set).is_ok() => {
                let what = format!("`{}` already names a split, which is not `{other}`", self.source);
                if split == other { Ok((set, Some(split))) } else { Err(SourceError::Split(what)) }
            }
            (_, split) => Ok((&self.source, split)),
        }
    }
}

/// The file of a source, fetched if necessary, and why it stands in for another data set, if it does.
pub(super) fn fetch(source: &DataSource) -> Result<(PathBuf, Option<String>)> {
    let catalogue = Catalogue::load()?;
    let location = source.location(&catalogue).map_err(|error| {
        let (SourceError::Source(what) | SourceError::Split(what)) = error;
        Error::setting("data", what)
    })?;
    let (name, key) = match location {
        Location::File(path) => return Ok((path, None)),
        Location::Set { name, key } => (name, key),
    };
    let files = catalogue.fetch(&name)?;
    let substitution = files
        .substitution()
        .map(|why| format!("{} in place of {}: {}", files.title(), why.title, why.reason));
    Ok((files.path(&key).to_owned(), substitution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_split_is_preferred_where_there_is_one() {
        let split = |name: &str| DataSource::new(name).preferring_test().unwrap().split;
        assert_eq!(split("gsm8k").as_deref(), Some("test"));
        // Only a train split; a split in the name; a folder of that name in the working directory; no data set.
        assert_eq!(["alpaca", "gsm8k/train", "src", "nowhere"].map(split), [const { None }; 4]);
        let chosen = DataSource { split: Some("train".into()), ..DataSource::new("gsm8k") };
        assert_eq!(chosen.preferring_test().unwrap().split.as_deref(), Some("train"));

        let read = |name: &str| DataSource::new(name).split_read().unwrap();
        assert_eq!(["alpaca", "gsm8k/test"].map(read), ["train", "test"].map(|name| Some(name.to_owned())));
        assert_eq!(["Cargo.toml", "nowhere"].map(read), [None, None]);
    }
}
