use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{Error, sync};

/// Writes a file that is there as a whole or not at all.
pub fn write_atomically(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    write_atomically_with(path, |out| out.write_all(content.as_ref()).map_err(Error::at(path)))
}

/// Writes a file beside `path`, brings it to the disk and gives it its name; on failure nothing is left, and what was at
/// `path` stays.
pub fn write_atomically_with<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
) -> Result<(), E> {
    let Some(name) = path.file_name() else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file");
        return Err(Error::at(path)(error).into());
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The process's own, so that two writers cannot mix their bytes.
    let new = folder.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let outcome = File::create(&new).map_err(|error| Error::at(&new)(error).into()).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&new, path))
            .map_err(Error::at(path))
            .and_then(|()| sync(folder))
            .map_err(E::from)
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&new);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, "old").unwrap();
        let failed = write_atomically_with(&path, |out| {
            out.write_all(b"new").unwrap();
            Err(Error::at(&path)(io::Error::other("the disk is full")))
        });
        assert!(failed.unwrap_err().to_string().ends_with("a: the disk is full"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        write_atomically(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = write_atomically(&folder.path().join("none/a"), "").unwrap_err().to_string();
        assert!(nowhere.contains("none"), "{nowhere}");
        assert!(
            write_atomically(Path::new("/"), "").unwrap_err().to_string().contains("not the path of a file")
        );
    }
}
