//! From the crates that compute to the hash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest as _, Sha256};

use super::left_out::is_left_out;
use super::lock::Lock;
use super::manifest::Manifest;
use super::sources::Sources;

/// The verbs of `tokensieve` whose results are filed under a fingerprint, and the crates that compute them. The program's
/// own crate, which reads commands and prints, is none of them.
pub const VERBS: [(&str, &[&str]); 6] = [
    ("TRAIN", &["tokensieve-train"]),
    ("EVALUATE", &["tokensieve-infer"]),
    ("UNCERTAINTY", &["tokensieve-infer"]),
    ("MAKE", &["tokensieve-tasks"]),
    ("TRUTH", &["tokensieve-train", "tokensieve-infer"]),
    ("DIAGNOSE", &["tokensieve-diagnose"]),
];

/// A workspace on disk.
pub struct Workspace {
    folder: PathBuf,
    root: Manifest,
    lock: Lock,
    /// The members' folders by name.
    members: BTreeMap<String, PathBuf>,
    /// What was read already, by the crate's name: its own hash.
    hashes: BTreeMap<String, String>,
    /// Every file that was read.
    read: BTreeSet<PathBuf>,
}

impl Workspace {
    /// The workspace of the package whose build script this is.
    pub fn around_build() -> io::Result<Self> {
        Self::around(Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?))
    }

    /// The workspace around a package: the nearest folder, from the package's upwards, that has a `Cargo.lock`. (A package
    /// by itself, as a registry has it, brings one.)
    pub fn around(package: &Path) -> io::Result<Self> {
        let missing = || io::Error::other(format!("no Cargo.lock in {} or above it", package.display()));
        let folder =
            package.ancestors().find(|folder| folder.join("Cargo.lock").exists()).ok_or_else(missing)?;
        let (manifest, lock) = (folder.join("Cargo.toml"), folder.join("Cargo.lock"));
        let root = Manifest::read(&manifest)?;
        let mut members = BTreeMap::new();
        let mut read = BTreeSet::from([manifest, lock.clone()]);
        for member in root.members() {
            let member = folder.join(member);
            let manifest = member.join("Cargo.toml");
            if let Some(name) = Manifest::read(&manifest)?.name() {
                members.insert(name.to_owned(), member);
            }
            read.insert(manifest);
        }
        if let Some(name) = root.name() {
            members.insert(name.to_owned(), folder.to_owned());
        }
        let lock = Lock::parse(&fs::read_to_string(lock)?)?;
        Ok(Self { folder: folder.to_owned(), root, lock, members, hashes: BTreeMap::new(), read })
    }

    /// The fingerprint of what these crates compute. A crate that is not of the workspace counts as a registry's.
    pub fn of(&mut self, crates: &[&str]) -> io::Result<String> {
        let mut registry = BTreeSet::new();
        let mut reached = BTreeMap::new();
        let mut queue: Vec<(String, String)> =
            crates.iter().map(|name| (String::new(), (*name).to_owned())).collect();
        while let Some((user, name)) = queue.pop() {
            if is_left_out(&name) || reached.contains_key(&name) {
                continue;
            }
            let Some(folder) = self.members.get(&name).cloned() else {
                self.lock.reach(&user, &name, &mut registry);
                continue;
            };
            let path = folder.join("Cargo.toml");
            let manifest = Manifest::read(&path)?;
            self.read.insert(path);
            let mut dependencies = manifest.dependencies(&folder, &self.root, &self.folder);
            dependencies.retain(|dependency| !is_left_out(&dependency.package));
            let hash = self.own_hash(&name, &folder)?;
            let mut parts = vec![hash, manifest.features()];
            parts.extend(
                dependencies.iter().map(|dependency| format!("{} {}", dependency.package, dependency.rest)),
            );
            for dependency in dependencies {
                // A crate of the workspace need not be listed among its members.
                if let Some(folder) = dependency.path.filter(|folder| folder.exists()) {
                    self.members.entry(dependency.package.clone()).or_insert(folder);
                }
                queue.push((name.clone(), dependency.package));
            }
            reached.insert(name, parts);
        }
        let mut hash = Sha256::new();
        for part in
            reached.iter().flat_map(|(name, parts)| std::iter::once(name).chain(parts)).chain(&registry)
        {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Ok(format!("{:x}", hash.finalize()))
    }

    /// The hash of one crate's files.
    fn own_hash(&mut self, name: &str, folder: &Path) -> io::Result<String> {
        if let Some(known) = self.hashes.get(name) {
            return Ok(known.clone());
        }
        let sources = Sources::read(folder, |module| is_left_out(&format!("{name}/{module}")))?;
        let mut hash = Sha256::new();
        for (file, counts) in &sources.files {
            self.read.insert(folder.join(file));
            for part in [file, counts] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        let hash = format!("{:x}", hash.finalize());
        self.hashes.insert(name.to_owned(), hash.clone());
        Ok(hash)
    }

    /// Hands the compiler every verb's fingerprint as `TOKENSIEVE_CODE_` and the verb, and that of all together as
    /// `TOKENSIEVE_CODE`, and asks cargo to run the build script again when one of the files that were read changes.
    pub fn emit_verbs(&mut self) -> io::Result<()> {
        let mut all = Sha256::new();
        for (verb, crates) in VERBS {
            let hash = self.of(crates)?;
            println!("cargo::rustc-env=TOKENSIEVE_CODE_{verb}={hash}");
            all.update(hash);
        }
        println!("cargo::rustc-env=TOKENSIEVE_CODE={:x}", all.finalize());
        self.rerun_if_changed();
        Ok(())
    }

    /// Asks cargo to run the build script again when one of the files that were read changes. A new file needs no watch:
    /// nothing is compiled in before one of these names it.
    pub fn rerun_if_changed(&self) {
        for path in &self.read {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::skipped;

    #[test]
    fn what_computes_a_verbs_result_is_in_its_fingerprint() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        if !root.join("llm").is_dir() {
            return skipped("this package lies outside of its workspace");
        }
        for (verb, file) in [
            ("TRAIN", "llm/train/src/run.rs"),
            ("EVALUATE", "llm/infer/src/evaluate/run.rs"),
            ("UNCERTAINTY", "llm/infer/src/uncertainty/estimate.rs"),
            ("MAKE", "tasks/src/make.rs"),
            ("TRUTH", "llm/infer/src/truth.rs"),
            ("TRUTH", "tasks/src/oracle/mod.rs"),
            ("TRUTH", "llm/train/src/topk.rs"),
            ("DIAGNOSE", "llm/diagnose/src/diagnose.rs"),
        ] {
            let mut workspace = Workspace::around(root).unwrap();
            let crates = VERBS.iter().find(|(name, _)| *name == verb).unwrap().1;
            workspace.of(crates).unwrap();
            assert!(workspace.read.contains(&root.join(file)), "{verb}: {file}");
        }
    }
}
