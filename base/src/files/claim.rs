use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::Error;

/// Opens a file to append to, made if it is not there, that nobody else gets until it is closed; `None`: somebody else has
/// it.
pub fn claim(path: &Path) -> Result<Option<File>, Error> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::at(path)(error)),
    }
}

/// [`claim`] that waits until whoever has the file is done.
pub fn wait_for(path: &Path) -> Result<File, Error> {
    let file = open(path)?;
    file.lock().map_err(Error::at(path))?;
    Ok(file)
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new().create(true).append(true).open(path).map_err(Error::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = claim(&path).unwrap();
        assert!(first.is_some() && claim(&path).unwrap().is_none());
        drop(first);
        let second = wait_for(&path).unwrap();
        assert!(claim(&path).unwrap().is_none());
        drop(second);
        assert!(claim(&path).unwrap().is_some());
        assert!(claim(&folder.path().join("none/lock")).unwrap_err().to_string().contains("none"));
    }
}
