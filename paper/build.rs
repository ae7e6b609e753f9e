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
    hash_verbs(&here.join(".."))?;
    embed_recorded(&here.join("recorded"))
}

/// What every verb of `tokensieve` that runs a model depends on.
const MODEL: [&str; 11] = [
    "objective/src",
    "llm/shim",
    "llm/src/data",
    "llm/src/head",
    "llm/src/model",
    "llm/src/ops",
    "llm/src/text",
    "llm/src/weights",
    "llm/src/pack.rs",
    "llm/src/parameters.rs",
    "llm/src/shim.rs",
];
/// Each verb, and the sources that decide its numbers beside the model's: work of hours is done again only when these
/// change.
const VERBS: [(&str, &[&str], &[&str]); 4] = [
    ("TRAIN", &MODEL, &["llm/src/step", "llm/src/step.rs", "llm/src/train"]),
    ("EVALUATE", &MODEL, &["llm/src/evaluate", "llm/src/generate", "tasks/src"]),
    ("UNCERTAINTY", &MODEL, &["llm/src/uncertainty"]),
    ("MAKE", &[], &["tasks/src"]),
];

/// One hash per verb, of its sources without comments and tests, which decide nothing.
fn hash_verbs(root: &Path) -> io::Result<()> {
    for (verb, model, own) in VERBS {
        let mut hash = Sha256::new();
        for source in model.iter().chain(own) {
            let path = root.join(source);
            println!("cargo::rerun-if-changed={}", path.display());
            hash_code(root, &path, &mut hash)?;
        }
        println!("cargo::rustc-env=TOKENSIEVE_CODE_{verb}={:x}", hash.finalize());
    }
    Ok(())
}

/// Hashes the code of a file, or of all files below a folder; what is not there counts as empty.
fn hash_code(root: &Path, path: &Path, hash: &mut Sha256) -> io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| hash_code(root, entry, hash));
    }
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    if !path.exists() || name.ends_with("tests.rs") {
        return Ok(());
    }
    hash.update(name);
    let text = fs::read(path)?;
    let text = String::from_utf8_lossy(&text);
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or("");
    for line in code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        hash.update([0]);
        hash.update(line);
    }
    Ok(())
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
