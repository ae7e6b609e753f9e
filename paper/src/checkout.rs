//! The checkout of the repository: what `paper` writes into, and which commit it is.
//!
//! It is found when the program runs, so that a program built elsewhere works in any clone, and its bytes do not depend on
//! the folder that it was compiled in.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the repository keeps tables and outcomes; no other folder has it.
pub(crate) const RECORDED: &str = "paper/recorded";

/// The checkout around the current folder, else the one in which the program was built: clones that share a folder of build
/// products run one program.
pub fn find() -> Option<PathBuf> {
    [std::env::current_dir(), std::env::current_exe()].iter().flatten().find_map(|place| around(place))
}

/// The checkout, for a command that writes into it.
pub fn needed() -> Result<PathBuf> {
    find().context("this command needs a checkout of the repository; run it in one")
}

fn around(place: &Path) -> Option<PathBuf> {
    place.ancestors().find(|folder| folder.join(RECORDED).is_dir()).map(Path::to_owned)
}

/// What a git command prints about a checkout.
pub(crate) fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().context("running git")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The checkout's commit, or `unknown` outside of one.
pub fn commit() -> String {
    let named = |root: PathBuf| {
        let commit = git(&root, &["rev-parse", "HEAD"]).ok()?;
        let changes = git(&root, &["status", "--porcelain", "--untracked-files=no"]).unwrap_or_default();
        Some(format!("{}{}", commit.trim(), if changes.is_empty() { "" } else { "-dirty" }))
    };
    find().and_then(named).unwrap_or_else(|| "unknown".into())
}

/// Where results go: `TOKENSIEVE_OUT`, else `out/` in the checkout, else `out/` here.
pub fn out_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("TOKENSIEVE_OUT").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    find().unwrap_or_default().join("out")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_checkout_is_found_from_every_folder_in_it_and_from_none_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let checkout = scratch.path().join("clone");
        fs::create_dir_all(checkout.join(RECORDED)).unwrap();
        for within in ["target/release/paper", "docs", ""] {
            assert_eq!(around(&checkout.join(within)).as_deref(), Some(checkout.as_path()), "{within}");
        }
        assert_eq!(around(scratch.path()), None);
    }
}
