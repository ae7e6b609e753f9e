//! A fetch: for each file of a set the cache, then its sources from the first to the last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::catalogue::{Catalogue, File, Set};
use crate::error::{Attempt, Error, Unobtainable, megabytes};
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

/// Another set than the one asked for was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// Name of the set asked for.
    pub asked: String,
    /// Its title.
    pub title: String,
    /// Why it could not be had, in one line.
    pub reason: String,
}

/// Where a set is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the cache, whole and checked.
    Cached,
    /// A source of each file answers; these are the places.
    AtHand(Vec<String>),
    /// At least one file has no source that answers.
    Nowhere,
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

    /// SHA-256 over the content of all files: what results computed from them depend on.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Set when these are the files of a fallback.
    pub fn substitution(&self) -> Option<&Substitution> {
        self.substitution.as_ref()
    }
}

impl Catalogue {
    /// The files of a set, or of its fallback where it cannot be had; [`Files::substitution`] tells.
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

    /// The files of this very set.
    pub fn fetch_exactly(&self, name: &str) -> Result<Files, Error> {
        let set = self.set(name)?;
        let store = Store::of(&self.places.cache, name);
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
        let store = Store::of(&self.places.cache, name);
        Ok(self.set(name)?.files.values().all(|file| store.has(file)))
    }

    /// Where the files of a set would come from now, without fetching any.
    pub fn whereabouts(&self, name: &str) -> Result<Whereabouts, Error> {
        if self.is_cached(name)? {
            return Ok(Whereabouts::Cached);
        }
        let mut places = Vec::new();
        for file in self.set(name)?.files.values() {
            match file.sources.iter().find(|source| source.answers(&self.places)) {
                Some(source) => places.push(source.place(&self.places)),
                None => return Ok(Whereabouts::Nowhere),
            }
        }
        places.dedup();
        Ok(Whereabouts::AtHand(places))
    }

    /// Reads the cached files of a set again: each file's key, and whether it is there with the right content.
    pub fn verify(&self, name: &str) -> Result<Vec<(String, bool)>, Error> {
        let store = Store::of(&self.places.cache, name);
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
            let reason = "its content does not have the right sha256".to_owned();
            attempts.push(Attempt { place: format!("cache {}", store.path(file).display()), reason });
        }
        for source in &file.sources {
            let place = source.place(&self.places);
            let scratch = store.scratch(file, &place);
            let zipped = is_gz(source.stored_name()) && !is_gz(&file.name);
            let outcome = source.provide(&self.places, &scratch, &bar).and_then(|provided| {
                let stored = source.stored.as_deref();
                let accepted = store.accept(file, &provided.path, zipped, stored, &bar);
                provided.clean_up();
                accepted
            });
            match outcome {
                Ok(()) => {
                    let size = megabytes(file.bytes);
                    bar.say(&format!(
                        "{name}: {} ({size}) from {place}; licence: {}",
                        file.name, set.licence
                    ));
                    return Ok(());
                }
                Err(reason) => attempts.push(Attempt { place, reason }),
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
