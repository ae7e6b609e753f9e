//! `data.toml` read into checked types; the file's head documents its keys.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::error::Error;
use crate::folders::Folders;
use crate::sha256::is_sha256;
use crate::source::{RawSource, Source};

/// The `data.toml` of this version, so that an installed binary needs no clone.
const EMBEDDED: &str = include_str!("data.toml");

/// All sets, and the folders that a fetch works with.
#[derive(Clone, Debug)]
pub struct Catalogue {
    sets: Arc<BTreeMap<String, Set>>,
    pub(crate) folders: Folders,
    pub(crate) quiet: bool,
}

/// A data set, model or library: files that are used together and share a licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What it is.
    pub title: String,
    /// Its licence, in one line.
    pub licence: String,
    /// The set used instead where no source is reachable.
    pub fallback: Option<String>,
    /// Its files by key.
    pub files: BTreeMap<String, File>,
}

/// One file, identified by the hash of its uncompressed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// File name in the cache.
    pub name: String,
    /// SHA-256 of the uncompressed content, in lower-case hex.
    pub sha256: String,
    /// Size of the uncompressed content.
    pub bytes: u64,
    /// Number of records, where it has any.
    pub rows: Option<u64>,
    /// Where the original of a derived file comes from.
    pub origin: Option<String>,
    /// Its sources, in the order in which they are tried.
    pub sources: Vec<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    set: BTreeMap<String, RawSet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    title: String,
    licence: String,
    fallback: Option<String>,
    file: BTreeMap<String, RawFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    name: String,
    sha256: String,
    bytes: u64,
    rows: Option<u64>,
    origin: Option<String>,
    sources: Vec<RawSource>,
}

impl Catalogue {
    /// The catalogue of this version, with the folders that the environment names.
    pub fn load() -> Result<Self, Error> {
        // A study's jobs ask thousands of times.
        static SETS: OnceLock<Arc<BTreeMap<String, Set>>> = OnceLock::new();
        let folders = Folders::from_env();
        let Some(sets) = SETS.get() else {
            let parsed = Self::parse(EMBEDDED, folders)?;
            return Ok(Self { sets: Arc::clone(SETS.get_or_init(|| parsed.sets)), ..parsed });
        };
        Ok(Self { sets: Arc::clone(sets), folders, quiet: false })
    }

    /// A catalogue from the text of a `data.toml`, with these folders.
    pub fn parse(text: &str, folders: Folders) -> Result<Self, Error> {
        let raw: RawCatalogue = toml::from_str(text).map_err(|error| Error::Catalogue(error.to_string()))?;
        let mut sets = BTreeMap::new();
        for (name, set) in raw.set {
            let checked = check(&name, set)?;
            sets.insert(name, checked);
        }
        for (name, set) in &sets {
            let Some(fallback) = &set.fallback else { continue };
            let Some(other) = sets.get(fallback) else {
                return Err(Error::Catalogue(format!("set.{name}: its fallback `{fallback}` is not a set")));
            };
            if other.fallback.is_some() || !set.files.keys().eq(other.files.keys()) {
                return Err(Error::Catalogue(format!(
                    "set.{name}: its fallback `{fallback}` must have the same file keys, and no fallback itself"
                )));
            }
        }
        Ok(Self { sets: Arc::new(sets), folders, quiet: false })
    }

    /// Fetches without progress bars and messages.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// All sets by name.
    pub fn sets(&self) -> &BTreeMap<String, Set> {
        &self.sets
    }

    /// The folders that a fetch works with.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// The set of this name.
    pub fn set(&self, name: &str) -> Result<&Set, Error> {
        self.sets.get(name).ok_or_else(|| Error::UnknownSet {
            name: name.to_owned(),
            known: self.sets.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

fn check(name: &str, raw: RawSet) -> Result<Set, Error> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let wrong = |what: String| Err(Error::Catalogue(format!("set.{name}{what}")));
    // Names become folders and files of the cache.
    if !plain(name) || name.starts_with('.') {
        return wrong(": a name is made of letters, digits, `-`, `_` and `.`".into());
    }
    let mut files = BTreeMap::new();
    for (key, file) in raw.file {
        if !plain(&file.name) || file.name.starts_with('.') || file.name.is_empty() {
            return wrong(format!(".file.{key}: `{}` is not a plain file name", file.name));
        }
        if files.values().any(|other: &File| other.name == file.name) {
            return wrong(format!(".file.{key}: the set has a file `{}` already", file.name));
        }
        if !is_sha256(&file.sha256) {
            return wrong(format!(".file.{key}: sha256 must be 64 lower-case hex digits"));
        }
        let mut sources = Vec::new();
        for raw in file.sources {
            match raw.check() {
                Ok(source) => sources.push(source),
                Err(what) => return wrong(format!(".file.{key}: {what}")),
            }
        }
        if sources.is_empty() {
            return wrong(format!(".file.{key}: needs at least one source"));
        }
        let checked = File {
            name: file.name,
            sha256: file.sha256,
            bytes: file.bytes,
            rows: file.rows,
            origin: file.origin,
            sources,
        };
        files.insert(key, checked);
    }
    if files.is_empty() {
        return wrong(": needs at least one file".into());
    }
    Ok(Set { title: raw.title, licence: raw.licence, fallback: raw.fallback, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Catalogue, Error> {
        Catalogue::parse(text, Folders { cache: "cache".into(), mirror: None })
    }

    #[test]
    fn the_embedded_catalogue_is_sound() {
        let catalogue = Catalogue::load().unwrap();
        assert_eq!(catalogue.set("mnist").unwrap().fallback.as_deref(), Some("fashion-mnist"));
        assert_eq!(catalogue.set("gsm8k").unwrap().files["train"].rows, Some(7473));
        let error = catalogue.set("minst").unwrap_err().to_string();
        assert!(error.contains("`minst`") && error.contains("mnist, "), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        let sha = "0".repeat(64);
        let good = format!(
            "[set.a]\ntitle='A'\nlicence='MIT'\n[set.a.file.x]\nname='x'\nsha256='{sha}'\nbytes=1\nsources=[{{url='http://h/x'}}]\n"
        );
        assert!(parse(&good).is_ok());
        for (from, to, complaint) in [
            ("licence=", "license=", "license"),
            ("name='x'", "name='../x'", "plain file name"),
            (sha.as_str(), "abc", "64 lower-case hex digits"),
            ("{url='http://h/x'}", "", "at least one source"),
            ("url='http://h/x'", "url='ftp://h/x'", "http"),
            ("url='http://h/x'", "url='http://h/x', mirror='x'", "exactly one of"),
            ("url='http://h/x'", "debian='p'", "path"),
            ("url='http://h/x'", "mirror='../x'", "below the mirror"),
            ("title='A'", "title='A'\nfallback='b'", "`b` is not a set"),
        ] {
            let error = parse(&good.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(complaint), "{to}: {error}");
        }
    }
}
