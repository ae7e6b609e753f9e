//! Fetching: for each file of a set, the cache is tried first, then the file's sources in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokensieve_base::files;

use crate::catalogue::{Catalogue, File, Set};
use crate::error::{Attempt, Error, Failure, Unobtainable, megabytes};
use crate::progress::Progress;
use crate::sha256::hex;
use crate::store::Store;

/// The fetched files of a set: whole, checked, uncompressed.
#[derive(Clone, Debug)]
pub struct Files {
    name: String,
    title: String,
    hash: String,
    paths: BTreeMap<String, PathBuf>,
    substitution: Option<Substitution>,
}

/// Why a fallback was returned instead of the requested set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// Name of the requested set.
    pub asked: String,
    /// Its title.
    pub title: String,
    /// Why it is not available, in one line.
    pub reason: String,
}

/// Whether a set can be had, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// In the cache, whole and checked.
    Cached,
    /// Every file has a source that answers; these are the sources.
    Reachable(Vec<String>),
    /// At least one file has no source that answers.
    Unreachable,
}

impl Files {
    /// Name of the set that these files belong to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Title of the set that these files belong to.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The path of the file with that key.
    ///
    /// # Panics
    /// If the set has no such key: keys are written in `data.toml` and in code, never typed by a user.
    pub fn path(&self, key: &str) -> &Path {
        match self.paths.get(key) {
            Some(path) => path,
            None => panic!("data set `{}` has no file `{key}`, only {:?}", self.name, self.paths.keys()),
        }
    }

    /// All paths by key.
    pub fn paths(&self) -> &BTreeMap<String, PathBuf> {
        &self.paths
    }

    /// SHA-256 over the content of all files, for the cache keys of what is computed from them.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Why these are the files of a fallback; `None` if they are not.
    pub fn substitution(&self) -> Option<&Substitution> {
        self.substitution.as_ref()
    }
}

impl Catalogue {
    /// The files of a set, or of its fallback where the set is not available; see [`Files::substitution`].
    pub fn fetch(&self, name: &str) -> Result<Files, Error> {
        let set = self.set(name)?;
        let (error, fallback) = match (self.fetch_exactly(name), &set.fallback) {
            (Err(error @ Error::Unobtainable(_)), Some(fallback)) => (error, fallback),
            (outcome, _) => return outcome,
        };
        let reason = error.brief();
        let mut files = self.fetch_exactly(fallback).map_err(|other| Error::FallbackToo {
            asked: Box::new(error),
            fallback: fallback.clone(),
            error: Box::new(other),
        })?;
        files.substitution = Some(Substitution { asked: name.to_owned(), title: set.title.clone(), reason });
        Ok(files)
    }

    /// The files of a set, never of its fallback.
    pub fn fetch_exactly(&self, name: &str) -> Result<Files, Error> {
        let set = self.set(name)?;
        let store = Store::of(&self.folders.cache, name);
        let mut paths = BTreeMap::new();
        let mut introduced = self.quiet;
        for (key, file) in &set.files {
            if !store.has(file) {
                if !introduced {
                    eprintln!("{name}: {}; licence: {}", set.title, set.licence);
                    introduced = true;
                }
                self.obtain(name, set, key, &store)?;
            }
            paths.insert(key.clone(), store.path(file));
        }
        Ok(Files {
            name: name.to_owned(),
            title: set.title.clone(),
            hash: hash_of(set),
            paths,
            substitution: None,
        })
    }

    /// Whether all files of a set are in the cache, without fetching any.
    pub fn is_cached(&self, name: &str) -> Result<bool, Error> {
        let store = Store::of(&self.folders.cache, name);
        Ok(self.set(name)?.files.values().all(|file| store.has(file)))
    }

    /// Where the files of a set would come from now, without fetching any.
    pub fn availability(&self, name: &str) -> Result<Availability, Error> {
        if self.is_cached(name)? {
            return Ok(Availability::Cached);
        }
        let mut sources = Vec::new();
        for file in self.set(name)?.files.values() {
            match file.sources.iter().find(|source| source.answers(&self.folders)) {
                Some(source) => sources.push(source.describe(&self.folders)),
                None => return Ok(Availability::Unreachable),
            }
        }
        sources.dedup();
        Ok(Availability::Reachable(sources))
    }

    /// Reads the cached files of a set again: each file's key, and whether it is there with the right content.
    pub fn verify(&self, name: &str) -> Result<Vec<(String, bool)>, Error> {
        let store = Store::of(&self.folders.cache, name);
        let check = |(key, file): (&String, &File)| match store.verify(file) {
            Ok(right) => Ok((key.clone(), right)),
            Err(error) => Err(Error::Cache { path: store.path(file), error }),
        };
        self.set(name)?.files.iter().map(check).collect()
    }

    fn obtain(&self, name: &str, set: &Set, key: &str, store: &Store) -> Result<(), Error> {
        let file = &set.files[key];
        let _held = store.lock(file)?;
        if store.has(file) {
            return Ok(());
        }
        let bar = Progress::new(&format!("{name}/{}", file.name), self.quiet);
        let mut attempts = Vec::new();
        if store.path(file).exists() {
            let reason = "its SHA-256 is wrong".to_owned();
            attempts.push(Attempt { source: format!("cache {}", store.path(file).display()), reason });
        }
        for source in &file.sources {
            let described = source.describe(&self.folders);
            let scratch = store.scratch(file, &described);
            let zipped = is_gz(source.stored_name()) && !is_gz(&file.name);
            let stored = source.stored.as_deref();
            let expected = stored.or((!zipped).then_some(file.sha256.as_str()));
            // Compressing what cannot be compressed adds a little.
            let most = if zipped { file.bytes + (1 << 20) } else { file.bytes };
            let outcome =
                source.provide(expected, most, &self.folders, &scratch, &bar).and_then(|provided| {
                    let accepted = store.accept(file, &provided.path, zipped, stored, &bar);
                    provided.clean_up();
                    accepted
                });
            match outcome {
                Ok(()) => {
                    let size = megabytes(file.bytes);
                    bar.print(&format!(
                        "{name}: {} ({size}) from {described}; licence: {}",
                        file.name, set.licence
                    ));
                    return Ok(());
                }
                Err(Failure::Source(reason)) => attempts.push(Attempt { source: described, reason }),
                Err(Failure::Here(files::Error { path, error })) => return Err(Error::Cache { path, error }),
            }
        }
        Err(Error::Unobtainable(Box::new(Unobtainable {
            set: name.to_owned(),
            title: set.title.clone(),
            file: key.to_owned(),
            bytes: file.bytes,
            attempts,
            cached: store.path(file),
            mirrored: file.sources.iter().find_map(|source| source.mirrored().map(str::to_owned)),
            origin: file.origin.clone(),
        })))
    }
}

fn is_gz(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "gz")
}

fn hash_of(set: &Set) -> String {
    let mut hash = Sha256::new();
    for (key, file) in &set.files {
        hash.update(format!("{key} {}\n", file.sha256));
    }
    hex(hash)
}
