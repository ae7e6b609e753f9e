//! Which sources decide the numbers of each verb of `tokensieve`, and their hash. `build.rs` reads this file too.

use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What every verb that runs a model depends on.
const MODEL: &[&str] =
    &["objective/src", "llm/documents/src", "llm/kernels/shim", "llm/kernels/src", "llm/model/src"];

/// Each verb, and the sources that decide its numbers: work of hours is done again only when these change.
pub(crate) const VERBS: [(&str, &[&[&str]]); 4] = [
    ("TRAIN", &[MODEL, &["llm/train/src"]]),
    ("EVALUATE", &[MODEL, &["llm/infer/src/evaluate", "llm/infer/src/generate", "tasks/src"]]),
    ("UNCERTAINTY", &[MODEL, &["llm/infer/src/uncertainty"]]),
    ("MAKE", &[&["tasks/src"]]),
];

/// Hash of files and folders below `root`, without comments and tests, which decide nothing.
pub(crate) fn hash<'a>(root: &Path, sources: impl IntoIterator<Item = &'a str>) -> io::Result<String> {
    let mut hash = Sha256::new();
    sources.into_iter().try_for_each(|source| add(root, &root.join(source), &mut hash))?;
    Ok(format!("{:x}", hash.finalize()))
}

/// Adds the code of a file, or of all files below a folder; what is not there counts as empty.
fn add(root: &Path, path: &Path, hash: &mut Sha256) -> io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| add(root, entry, hash));
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
