use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Destination, Error};

/// How long somebody may have a file before it counts as theirs. A program that starts another holds all its files twice
/// until the other one runs, those that it has closed included (choice: far longer than that takes, on a busy machine too).
const PATIENCE: Duration = Duration::from_millis(500);

/// Opens a regular file to append to, made if it is not there, that nobody else gets until it is closed; `None`: somebody
/// else has it.
pub fn claim(path: &Path) -> Result<Option<File>, Error> {
    let file = open(path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => sleep(PATIENCE / 50),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::at(path)(error)),
        }
    }
}

/// [`claim`] that waits until whoever has the file is done.
pub fn wait_for(path: &Path) -> Result<File, Error> {
    let file = open(path)?;
    file.lock().map_err(Error::at(path))?;
    Ok(file)
}

fn open(path: &Path) -> Result<File, Error> {
    // Opening a pipe would wait for its reader.
    Destination::of(path)?.regular()?;
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
