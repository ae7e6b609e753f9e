//! Files and folders that only one process writes at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tokensieve_base::files;

use crate::Error;
use crate::Result;

/// Suffix of the temporary folder's name.
const UNFINISHED: &str = ".unfinished";

/// File in the temporary folder that is locked by the process that fills it.
const LOCK: &str = ".lock";

/// Opens a file for appending, created if necessary, with an exclusive lock until it is closed. If another process
/// holds the lock, the error is `busy`.
pub fn claim(path: &Path, busy: &str) -> Result<File> {
    files::claim(path)?.ok_or_else(|| Error::file(path, busy))
}

/// Creates a folder with its contents atomically: it is complete or does not exist. `fill` writes into a temporary
/// folder beside it, which is removed on failure; remains of a killed process are removed first. A folder that exists
/// already must be empty; its temporary folder lies inside it.
pub fn new_folder<E: From<Error>>(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    files::check_folder(folder).map_err(Error::from)?;
    let there = fs::symlink_metadata(folder).is_ok();
    if there {
        let inside = fs::read_dir(folder).map_err(Error::io(folder))?;
        for entry in inside {
            if entry.map_err(Error::io(folder))?.file_name() != UNFINISHED {
                return Err(Error::file(folder, "is not empty; name a new folder").into());
            }
        }
    }
    let unfinished = match folder.file_name() {
        _ if there => folder.join(UNFINISHED),
        Some(name) => folder.with_file_name(format!(".{}{UNFINISHED}", name.to_string_lossy())),
        None => return Err(Error::file(folder, "is not the path of a folder").into()),
    };
    fs::create_dir_all(&unfinished).map_err(Error::io(&unfinished))?;
    let lock = unfinished.join(LOCK);
    // On failure the folder goes if it is empty: nobody fills it.
    let claimed = claim(&lock, "another process is filling this folder; wait for it, or name another folder")
        .inspect_err(|_| drop(fs::remove_dir(&unfinished)))?;
    let filled = empty(&unfinished, &lock).map_err(E::from).and_then(|()| fill(&unfinished));
    let outcome = filled.and_then(|()| Ok(finish(&unfinished, &lock, folder, there)?));
    if outcome.is_err() {
        // Incomplete contents are of no use, and the disk may be full.
        let _ = fs::remove_dir_all(&unfinished);
    }
    drop(claimed);
    outcome
}

/// Removes everything but the lock.
fn empty(folder: &Path, lock: &Path) -> Result<()> {
    for path in entries(folder)? {
        if path == lock {
            continue;
        }
        let removed = match path.symlink_metadata() {
            Ok(of) if of.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        removed.map_err(Error::io(&path))?;
    }
    Ok(())
}

/// Moves the complete contents to their final place.
fn finish(unfinished: &Path, lock: &Path, folder: &Path, there: bool) -> Result<()> {
    fs::remove_file(lock).map_err(Error::io(lock))?;
    if !there {
        return fs::rename(unfinished, folder).map_err(Error::io(folder));
    }
    for path in entries(unfinished)? {
        let to = folder.join(path.file_name().unwrap_or_default());
        fs::rename(&path, &to).map_err(Error::io(&to))?;
    }
    fs::remove_dir(unfinished).map_err(Error::io(unfinished))
}

/// The paths of what lies in a folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    entries.map(|entry| Ok(entry.map_err(Error::io(folder))?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut paths = entries(folder).unwrap();
        paths.sort();
        paths
    }

    #[test]
    fn a_failed_or_killed_attempt_can_be_made_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new");
        for there in [false, true] {
            if there {
                fs::create_dir(&folder).unwrap();
            }
            let failed: Result<()> = new_folder(&folder, |unfinished| {
                fs::write(unfinished.join("half"), "x").unwrap();
                let busy = new_folder(&folder, |_| Ok::<_, Error>(())).unwrap_err().to_string();
                assert!(busy.contains("another process is filling this folder"), "{busy}");
                Err(Error::Run("no space left".into()))
            });
            assert_eq!(failed.unwrap_err().to_string(), "no space left");
            assert_eq!(folder.is_dir(), there);
            // As a kill leaves it.
            let stale = if there { folder.join(UNFINISHED) } else { parent.path().join(".new.unfinished") };
            fs::create_dir_all(stale.join("files")).unwrap();
            fs::write(stale.join("files/half"), "x").unwrap();
            fs::write(stale.join(".model.safetensors.7.new"), "x").unwrap();
            new_folder(&folder, |unfinished| {
                fs::create_dir(unfinished.join("files")).map_err(Error::io(unfinished))?;
                fs::write(unfinished.join("whole"), "y").map_err(Error::io(unfinished))
            })
            .unwrap();
            assert_eq!(names(&folder), [folder.join("files"), folder.join("whole")]);
            assert_eq!(names(parent.path()), std::slice::from_ref(&folder));
            let again = new_folder(&folder, |_| Ok::<_, Error>(())).unwrap_err().to_string();
            assert!(again.contains("new: is not empty"), "{again}");
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::write(&folder, "a file").unwrap();
        assert!(new_folder(&folder, |_| Ok::<_, Error>(())).is_err());
        assert_eq!(names(parent.path()), [folder]);
    }
}
