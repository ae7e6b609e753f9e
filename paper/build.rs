//! Hashes the sources that figure data depend on, so that the results cache knows when code has changed, and
//! embeds the recorded tables.

use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Crates whose arithmetic or random numbers reach the figures: their versions are part of the hash.
const NUMERIC: [&str; 6] = ["libm", "ndarray", "rand", "rand_chacha", "rand_core", "rayon"];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let mut hash = Sha256::new();
    for folder in ["../objective/src", "../toy/src"] {
        let folder = here.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        hash_folder(&folder, &folder, &mut hash)?;
    }
    let lock = here.join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    for package in fs::read_to_string(lock).unwrap_or_default().split("[[package]]") {
        if NUMERIC.iter().any(|name| package.contains(&format!("name = \"{name}\"\n"))) {
            hash.update(package);
        }
    }
    println!("cargo::rustc-env=TOKENSIEVE_CODE_HASH={:x}", hash.finalize());
    embed_recorded(&here.join("recorded"))
}

/// Lists the recorded tables and verdicts for `include_str!`, so that an installed binary has them too.
fn embed_recorded(folder: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv" || extension == "json"));
    files.sort();
    let entries: Vec<String> = files
        .iter()
        .filter_map(|path| {
            Some(format!("({:?}, include_str!({:?}))", path.file_name()?.to_str()?, path.to_str()?))
        })
        .collect();
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join("recorded.rs");
    fs::write(out, format!("&[{}]", entries.join(",\n")))
}

/// Hashes every file below `folder`, in the order of their paths relative to `root`.
fn hash_folder(root: &Path, folder: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            hash_folder(root, &path, hash)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            hash.update(name);
            hash.update([0]);
            hash.update(fs::read(&path)?);
        }
    }
    Ok(())
}
