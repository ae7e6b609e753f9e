use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::Error;

/// Makes a folder and those above it, where they are not there yet.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    check_folder(path)?;
    fs::create_dir_all(path).map_err(Error::at(path))
}

/// Refuses the path of a folder if a file, or anything else, is there or above it.
pub fn check_folder(path: &Path) -> Result<(), Error> {
    let Some((there, about)) = path.ancestors().find_map(|part| Some((part, fs::metadata(part).ok()?)))
    else {
        return Ok(());
    };
    if about.is_dir() {
        return Ok(());
    }
    let what = if about.is_file() { "is a file; name a folder" } else { "is not a folder; name a folder" };
    Err(Error::at(there)(io::Error::new(ErrorKind::NotADirectory, what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make_folder(&at("a/b")).unwrap();
        make_folder(&at("a/b")).unwrap();
        fs::write(at("a/c"), "").unwrap();
        for path in ["a/c", "a/c/d/e"] {
            let error = make_folder(&at(path)).unwrap_err();
            assert_eq!(
                (error.path, error.error.to_string()),
                (at("a/c"), "is a file; name a folder".to_owned())
            );
        }
        let device = check_folder(Path::new("/dev/null")).unwrap_err();
        assert_eq!(device.to_string(), "/dev/null: is not a folder; name a folder");
    }
}
