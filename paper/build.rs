//! Fingerprints what figures and the lab's jobs are computed by, and embeds the recorded tables.

use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::{env, fs, io};
use tokensieve_base::fingerprint::{Workspace, tokens};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let mut workspace = Workspace::around(&here)?;
    let toys = workspace.of(&["tokensieve-toy"])?;
    fingerprint_figures(&here.join("src/figures"), &toys)?;
    workspace.emit_verbs()?;
    embed_recorded(&here)
}

/// Lists each figure's file with the fingerprint of what computes its cached units: the toy experiments, and what the
/// file's `fn table` names in it. Drawings, captions and claims are none of that.
fn fingerprint_figures(folder: &Path, toys: &str) -> io::Result<()> {
    let mut entries = Vec::new();
    for path in files(folder, &["rs"])? {
        let wrong = |error: String| io::Error::other(format!("{}: {error}", path.display()));
        let computing = tokens::reached(&fs::read_to_string(&path)?, "table").map_err(wrong)?;
        let hash = Sha256::new().chain_update(toys).chain_update(computing).finalize();
        entries.push(format!("(\"{}\", \"{hash:x}\")", path.file_stem().unwrap_or_default().display()));
    }
    list("figures.rs", &entries)
}

/// Lists the recorded tables and verdicts for `include_str!`, so that an installed binary has them too. The list itself names no
/// folder of this machine: a source's checksum is in the names that the compiler gives to functions.
fn embed_recorded(here: &Path) -> io::Result<()> {
    let entries: Vec<String> = files(&here.join("recorded"), &["csv", "json"])?
        .iter()
        .filter_map(|path| {
            let (name, place) = (path.file_name()?.to_str()?, path.strip_prefix(here).ok()?.to_str()?);
            let text = format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{place}\"))");
            Some(format!("({name:?}, {text})"))
        })
        .collect();
    list("recorded.rs", &entries)
}

/// The files of a folder with these endings, in order; a change in the folder runs this script again.
fn files(folder: &Path, endings: &[&str]) -> io::Result<Vec<PathBuf>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)));
    files.sort();
    Ok(files)
}

/// Writes a list for `include!`.
fn list(name: &str, entries: &[String]) -> io::Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join(name);
    fs::write(out, format!("&[{}]", entries.join(",\n")))
}
