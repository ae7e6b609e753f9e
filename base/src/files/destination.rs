use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::Error;

/// How long a pipe may be without a reader before that is an error (choice: a shell starts both ends in no order).
const READER: Duration = Duration::from_secs(5);

/// What the names of temporary files end with.
const NEW: &str = ".new";

/// Longest chain of links that is followed, as in Linux.
const LINKS: usize = 40;

/// Where a file is written: links followed, so that a link stays and its target is replaced.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A regular file, whether it exists or not.
    File(PathBuf),
    /// A pipe, a character device, or an open file of the process (`/dev/stdout`): written into, never replaced.
    Stream,
}

impl Destination {
    /// Finds out what is at a path. Folders, block devices and sockets are errors.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let refuse = |what: &str| Err(Error::at(path)(io::Error::new(ErrorKind::InvalidInput, what)));
        if path.file_name().is_none() {
            return refuse("is not the path of a file");
        }
        let target = follow(path).map_err(Error::at(path))?;
        let kind = fs::metadata(path).map(|found| found.file_type());
        let place = match (kind, target) {
            (Ok(kind), _) if kind.is_dir() => return refuse("is a folder; name a file in it"),
            (Ok(kind), _) if kind.is_block_device() => return refuse("is a block device; name a file"),
            (Ok(kind), _) if kind.is_socket() => return refuse("is a socket; name a file"),
            (Ok(kind), _) if kind.is_fifo() || kind.is_char_device() => Place::Stream,
            (_, None) => Place::Stream,
            (_, Some(target)) => Place::File(target),
        };
        Ok(Self { path: path.to_owned(), place })
    }

    /// Whether it is written into instead of being replaced.
    pub fn is_stream(&self) -> bool {
        matches!(self.place, Place::Stream)
    }

    /// Refuses what can only be written, for files that are also read.
    pub fn regular(self) -> Result<Self, Error> {
        match self.place {
            Place::File(_) => Ok(self),
            Place::Stream => self.refuse("is a pipe or a device, which cannot be read back; name a file"),
        }
    }

    /// Refuses a file that one of these flags or arguments names too.
    pub fn apart_from<'a>(
        self,
        others: impl IntoIterator<Item = (&'a str, &'a Path)>,
    ) -> Result<Self, Error> {
        let own = identity(&self.path);
        let mut others = others.into_iter();
        match others.find(|(_, other)| own.is_some() && identity(other) == own) {
            Some((name, _)) => self.refuse(&format!("is the file of {name}, too; choose another name")),
            None => Ok(self),
        }
    }

    /// Checks, before anything is computed, that a file can be written here and that nothing is lost: a file that is
    /// not empty must be one that `is_own` recognises as `what`.
    pub fn replacing(self, what: &str, is_own: impl FnOnce(&Path) -> bool) -> Result<Self, Error> {
        let Place::File(target) = &self.place else { return Ok(self) };
        if fs::metadata(target).is_ok_and(|found| found.len() > 0) && !is_own(target) {
            return self
                .refuse(&format!("holds something other than {what}; choose another name, or remove it"));
        }
        let new = temporary(target);
        // The lock is held until the file is gone.
        let removed = create(&new).and_then(|_held| fs::remove_file(&new));
        removed.map_err(Error::at(&self.path))?;
        Ok(self)
    }

    /// Writes the file: it is there as a whole or not at all, and on failure nothing is left and what was there stays.
    pub fn write_with<E: From<Error>>(
        &self,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.place {
            Place::File(target) => self.replace(target, write),
            Place::Stream => {
                let mut out = BufWriter::new(open_stream(&self.path).map_err(Error::at(&self.path))?);
                write(&mut out)?;
                out.flush().map_err(|error| Error::at(&self.path)(error).into())
            }
        }
    }

    /// Writes a file beside the target, brings it to the disk and gives it its name.
    fn replace<E: From<Error>>(
        &self,
        target: &Path,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
    ) -> Result<(), E> {
        remove_orphans(target);
        let new = temporary(target);
        let failed = |error: io::Error| E::from(Error::at(&self.path)(error));
        let file = create(&new).map_err(failed)?;
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        let emptied = file.set_len(0).map_err(failed);
        let outcome = emptied.and_then(|()| write(&mut out)).and_then(|()| {
            let named = out.flush().and_then(|()| {
                file.sync_all()?;
                fs::rename(&new, target)?;
                File::open(folder_of(target))?.sync_all()
            });
            named.map_err(failed)
        });
        // `file` still holds the lock: nobody else's file takes this name between the question and the removal.
        if outcome.is_err() && is_at(&file, &new) {
            let _ = fs::remove_file(&new);
        }
        outcome
    }

    fn refuse<T>(&self, what: &str) -> Result<T, Error> {
        Err(Error::at(&self.path)(io::Error::new(ErrorKind::InvalidInput, what)))
    }
}

/// The file that a path leads to, `None` if it is an open file of the process.
fn follow(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&place) else { return Ok(Some(place)) };
        if ["/dev", "/proc"].iter().any(|system| place.starts_with(system)) {
            return Ok(None);
        }
        place = folder_of(&place).join(target);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "is a link that leads in a circle"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name beside the target, the process's own, so that two writers cannot mix their bytes.
fn temporary(target: &Path) -> PathBuf {
    folder_of(target).join(format!("{}{}{NEW}", beginning(target), std::process::id()))
}

/// What the names of a target's temporary files begin with.
fn beginning(target: &Path) -> String {
    format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy())
}

/// Makes a temporary file, if it is not there, and locks it, so that nobody takes it for one that a killed process
/// left. Somebody who did so before it was locked removes it, and another thread that writes to the same target has
/// it: then it is made again.
fn create(new: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(new)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            Ok(()) if !is_at(&file, new) => {}
            // Where the file system has no locks, what a killed process leaves stays.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Whether the file is what lies at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let known = |about: io::Result<fs::Metadata>| about.map(|about| (about.dev(), about.ino())).ok();
    known(file.metadata()).is_some_and(|own| known(fs::metadata(path)) == Some(own))
}

/// Removes temporary files of processes that were killed: nobody holds their lock.
fn remove_orphans(target: &Path) {
    let beginning = beginning(target);
    let is_temporary = |name: &str| {
        let process = name.strip_prefix(&beginning).and_then(|rest| rest.strip_suffix(NEW));
        process.is_some_and(|process| process.parse::<u32>().is_ok())
    };
    for entry in fs::read_dir(folder_of(target)).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_temporary)
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
            // Its process may have gone on to give it its name.
            && is_at(&file, &entry.path())
        {
            // While `file` still holds the lock, without which nobody moves it.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What two paths of one file have in common.
fn identity(path: &Path) -> Option<PathBuf> {
    let target = follow(path).ok().flatten()?;
    Some(folder_of(&target).canonicalize().ok()?.join(target.file_name()?))
}

/// Opens what can only be written. Opening a pipe waits for its reader, in a thread that can be given up.
fn open_stream(path: &Path) -> io::Result<File> {
    let (opened, wait) = channel();
    let own = path.to_owned();
    thread::spawn(move || opened.send(OpenOptions::new().append(true).open(own)));
    let nobody =
        |_| Err(io::Error::new(ErrorKind::BrokenPipe, "is a pipe that nobody reads; start its reader"));
    wait.recv_timeout(READER).unwrap_or_else(nobody)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;
    use crate::testing::skipped;

    fn write(path: &Path, text: &str) -> Result<(), Error> {
        Destination::of(path)?.write_with(|out| out.write_all(text.as_bytes()).map_err(Error::at(path)))
    }

    fn pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// The message after the path.
    fn what(error: &Error) -> String {
        error.error.to_string()
    }

    #[test]
    fn links_stay_and_their_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("other")).unwrap();
        fs::write(at("other/real"), "old").unwrap();
        symlink("other/real", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        write(&at("two"), "new").unwrap();
        assert_eq!(fs::read_to_string(at("other/real")).unwrap(), "new");
        assert!(at("one").is_symlink() && at("two").is_symlink() && !at("other/real").is_symlink());

        symlink("other/absent", at("dangling")).unwrap();
        write(&at("dangling"), "x").unwrap();
        assert_eq!(fs::read_to_string(at("other/absent")).unwrap(), "x");

        symlink("circle", at("circle")).unwrap();
        assert_eq!(what(&write(&at("circle"), "x").unwrap_err()), "is a link that leads in a circle");
    }

    #[test]
    fn pipes_are_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        pipe(&path);
        let reader = thread::spawn({
            let path = path.clone();
            move || fs::read_to_string(path).unwrap()
        });
        let destination = Destination::of(&path).unwrap().replacing("rows", |_| false).unwrap();
        assert!(destination.is_stream());
        destination.write_with(|out| out.write_all(b"rows").map_err(Error::at(&path))).unwrap();
        assert_eq!(reader.join().unwrap(), "rows");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(
            what(&destination.regular().unwrap_err()),
            "is a pipe or a device, which cannot be read back; name a file"
        );
        assert_eq!(what(&write(&path, "x").unwrap_err()), "is a pipe that nobody reads; start its reader");
    }

    /// A scratch folder's own devices: a mistake must not replace the machine's.
    #[test]
    fn devices_are_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let device = |name: &str, minor: &str| {
            let path = folder.path().join(name);
            let made = Command::new("mknod").arg(&path).args(["c", "1", minor]).output();
            made.is_ok_and(|made| made.status.success()).then_some(path)
        };
        let Some((null, full)) = device("null", "3").zip(device("full", "7")) else {
            return skipped("only root makes devices");
        };
        write(&null, "x").unwrap();
        assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
        assert!(write(&full, "x").unwrap_err().to_string().contains("No space left"));
    }

    #[test]
    fn foreign_content_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let checked = |own: bool| Destination::of(&path).unwrap().replacing("rows", |_| own);
        checked(false).unwrap();
        fs::write(&path, "").unwrap();
        checked(false).unwrap();
        fs::write(&path, "mine").unwrap();
        checked(true).unwrap();
        assert_eq!(
            what(&checked(false).unwrap_err()),
            "holds something other than rows; choose another name, or remove it"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let nowhere = Destination::of(&folder.path().join("none/a")).unwrap().replacing("rows", |_| true);
        assert!(what(&nowhere.unwrap_err()).starts_with("No such file or directory"));
        let inside = Destination::of(folder.path()).unwrap_err();
        assert_eq!(what(&inside), "is a folder; name a file in it");
    }

    #[test]
    fn writers_of_one_file_do_not_take_each_others_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        thread::scope(|scope| {
            for text in ["one", "another"] {
                scope.spawn(|| (0..100).for_each(|_| write(&path, text).unwrap()));
            }
        });
        assert!(["one", "another"].contains(&fs::read_to_string(&path).unwrap().as_str()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_writer_that_fails_removes_no_other_ones_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let fail = || {
            let destination = Destination::of(&path).unwrap();
            let failed = destination.write_with(|out| {
                out.write_all(b"half").unwrap();
                Err(Error::at(&path)(io::Error::other("the disk is full")))
            });
            assert_eq!(what(&failed.unwrap_err()), "the disk is full");
        };
        thread::scope(|scope| {
            scope.spawn(|| (0..100).for_each(|_| write(&path, "whole").unwrap()));
            scope.spawn(|| (0..100).for_each(|_| fail()));
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".a.1.new", ".a.2.new", ".ab.1.new", ".a.b.new"] {
            fs::write(at(name), "half").unwrap();
        }
        let held = File::open(at(".a.2.new")).unwrap();
        held.lock().unwrap();
        write(&at("a"), "whole").unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".a.2.new", ".a.b.new", ".ab.1.new", "a"]);
    }

    #[test]
    fn one_file_under_two_names_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("a", at("b")).unwrap();
        let apart = |one: &str, other: &str| {
            Destination::of(&at(one)).unwrap().apart_from([("--baseline", at(other).as_path())])
        };
        apart("a", "c").unwrap();
        for (one, other) in [("a", "a"), ("a", "b"), ("b", "a"), ("a", "./a")] {
            let error = apart(one, other).unwrap_err();
            assert_eq!(what(&error), "is the file of --baseline, too; choose another name", "{one} {other}");
        }
    }
}
