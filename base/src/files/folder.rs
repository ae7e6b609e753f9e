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

/// Removes a folder with all that is in it, if there is one.
pub fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::at(folder)(error)),
        _ => Ok(()),
    }
}

/// Replaces a folder by what `fill` writes into a `new` one: until that is whole, the old one stays; then it gets the name
/// `old`, and goes once its own name is the new one's. Only one process may do this with a folder at a time.
pub fn replace_folder<E: From<Error>>(
    folder: &Path,
    [new, old]: [&Path; 2],
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    check_folder(folder)?;
    // What killed processes left; one that was killed between the two names left no folder but the old one.
    remove_folder(new)?;
    if is_there(folder) {
        remove_folder(old)?;
    } else if is_there(old) {
        fs::rename(old, folder).map_err(Error::at(folder))?;
    }
    fs::create_dir_all(new).map_err(Error::at(new))?;
    let filled = fill(new).and_then(|()| Ok(exchange(new, folder, old).map_err(Error::at(folder))?));
    if filled.is_err() {
        // What did not get its name is of no use, and the disk may be full.
        let _ = fs::remove_dir_all(new);
        return filled;
    }
    // What cannot be removed now, the next replacement removes.
    let _ = remove_folder(old);
    Ok(())
}

/// Gives a new folder the name of the old one, which gets another; that stays as it was if the new one cannot have it.
fn exchange(new: &Path, folder: &Path, old: &Path) -> io::Result<()> {
    if is_there(folder) {
        fs::rename(folder, old)?;
    }
    let named = fs::rename(new, folder);
    if named.is_err() {
        let _ = fs::rename(old, folder);
    }
    named
}

/// Whether something has this name, a link to nowhere included.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let [folder, new, old] = ["out/report", "out/new", "out/old"].map(|name| parent.path().join(name));
        let replace = |name: &str, is_full: bool| {
            replace_folder(&folder, [&new, &old], |new| {
                fs::write(new.join(name), name).map_err(Error::at(new))?;
                if !is_full {
                    return Ok(());
                }
                assert_eq!(names(&folder), ["one"]);
                Err(Error::at(new)(io::Error::other("the disk is full")))
            })
        };
        replace("one", false).unwrap();
        assert!(replace("half", true).unwrap_err().to_string().ends_with("new: the disk is full"));
        assert_eq!(names(&folder), ["one"]);
        replace("two", false).unwrap();
        assert_eq!(names(&folder), ["two"]);
        assert_eq!(names(&parent.path().join("out")), ["report"]);
        // A link gives way, and stays where it leads if it leads somewhere.
        let elsewhere = parent.path().join("elsewhere");
        for is_there in [false, true] {
            fs::remove_dir_all(&folder).unwrap();
            std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
            if is_there {
                fs::create_dir(&elsewhere).unwrap();
                fs::write(elsewhere.join("kept"), "").unwrap();
            }
            replace("three", false).unwrap();
            assert_eq!((names(&folder), fs::read_link(&folder).is_err()), (vec!["three".to_owned()], true));
        }
        assert_eq!(names(&elsewhere), ["kept"]);
    }

    #[test]
    fn what_killed_processes_left_is_put_right() {
        let parent = tempfile::tempdir().unwrap();
        let [folder, new, old] = ["report", "new", "old"].map(|name| parent.path().join(name));
        let leave = |folder: &Path, name: &str| {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(name), "").unwrap();
        };
        let fail = || {
            let no_room = |new: &Path| Err(Error::at(new)(io::Error::other("no room")));
            assert!(replace_folder(&folder, [&new, &old], no_room).is_err());
            names(&folder)
        };
        // Between the two names.
        leave(&new, "new");
        leave(&old, "old");
        assert_eq!(fail(), ["old"]);
        // After them.
        leave(&old, "older");
        assert_eq!(fail(), ["old"]);
        assert_eq!(names(parent.path()), ["report"]);
    }

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
