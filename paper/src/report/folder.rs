//! A folder that is replaced as a whole.

use crate::cache::remove_folder;
use anyhow::{Context as _, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tokensieve_base::files;

/// Replaces a folder by what `fill` writes into a new one beside it: until that is whole, the old one stays. Waits for
/// another process that does the same.
pub(super) fn replace(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let replacing = || format!("replacing {}", folder.display());
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    let _held = files::wait_for(&beside(folder, "lock")).with_context(replacing)?;
    let [new, old] = ["new", "old"].map(|ending| beside(folder, ending));
    // What killed processes left; one that was killed between the two names below left no folder but the old one.
    remove_folder(&new)?;
    if folder.exists() {
        remove_folder(&old)?;
    } else if old.exists() {
        fs::rename(&old, folder).with_context(replacing)?;
    }
    fs::create_dir(&new).with_context(|| format!("making {}", new.display()))?;
    let filled = fill(&new).and_then(|()| exchange(&new, folder, &old).with_context(replacing));
    if filled.is_err() {
        // What did not get its name is of no use, and the disk may be full.
        let _ = fs::remove_dir_all(&new);
        return filled;
    }
    // What cannot be removed now, the next report removes.
    let _ = remove_folder(&old);
    Ok(())
}

/// Gives a new folder the name of the old one, which gets another; that stays as it was if the new one cannot have it.
fn exchange(new: &Path, folder: &Path, old: &Path) -> io::Result<()> {
    if folder.exists() {
        fs::rename(folder, old)?;
    }
    let named = fs::rename(new, folder);
    if named.is_err() {
        let _ = fs::rename(old, folder);
    }
    named
}

fn beside(folder: &Path, ending: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_folder_stays_until_the_new_one_is_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("out/report");
        let write =
            |name: &'static str| move |new: &Path| -> Result<()> { Ok(fs::write(new.join(name), name)?) };
        replace(&folder, write("one")).unwrap();
        let failed = replace(&folder, |new| {
            write("half")(new)?;
            assert_eq!(names(&folder), ["one"]);
            bail!("the disk is full")
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(names(&folder), ["one"]);
        replace(&folder, write("two")).unwrap();
        assert_eq!(names(&folder), ["two"]);
        assert_eq!(names(folder.parent().unwrap()), [".report.lock", "report"]);
    }

    #[test]
    fn what_killed_processes_left_is_put_right() {
        let parent = tempfile::tempdir().unwrap();
        let [folder, new, old] =
            ["report", ".report.new", ".report.old"].map(|name| parent.path().join(name));
        let leave = |folder: &Path, name: &str| {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(name), "").unwrap();
        };
        // Between the two names.
        leave(&new, "new");
        leave(&old, "old");
        assert!(replace(&folder, |_| bail!("no room")).is_err());
        assert_eq!(names(&folder), ["old"]);
        // After them.
        leave(&old, "older");
        assert!(replace(&folder, |_| bail!("no room")).is_err());
        assert_eq!(names(&folder), ["old"]);
        assert_eq!(names(parent.path()), [".report.lock", "report"]);
    }
}
