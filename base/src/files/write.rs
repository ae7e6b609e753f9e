use std::io::Write;
use std::path::Path;

use super::{Destination, Error};

/// Writes a file that is there as a whole or not at all.
pub fn write_atomically(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    write_atomically_with(path, |out| out.write_all(content.as_ref()).map_err(Error::at(path)))
}

/// [`Destination::write_with`] at a path, whatever regular file is there.
pub fn write_atomically_with<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
) -> Result<(), E> {
    Destination::of(path)?.write_with(write)
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

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
        assert!(nowhere.contains("none/a: No such file"), "{nowhere}");
        assert_eq!(
            write_atomically(Path::new("/"), "").unwrap_err().to_string(),
            "/: is not the path of a file"
        );
    }
}
