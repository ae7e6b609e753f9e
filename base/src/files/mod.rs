//! Files that are there whole or not at all, and claims on files.
//!
//! What is written goes into a file of another name beside its place, is brought to the disk, and only then gets its name,
//! whose folder is brought to the disk too: whenever a process or the machine stops, a reader finds the old file or the new
//! one. A claim is the system's lock on an open file; it ends with the process that holds it, however that ends.
//!
//! A [`Destination`] is where a user wants a file: it follows links, writes into pipes and devices, and refuses to replace
//! what it does not recognise.

mod claim;
mod destination;
mod folder;
mod read;
mod write;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use claim::{claim, wait_for};
pub use destination::Destination;
pub use folder::{check_folder, make_folder, remove_folder, replace_folder};
pub use read::{LARGEST, read_line, read_text};
pub use write::{write_atomically, write_atomically_with};

/// An error of the file system, with the file or folder that it concerns.
#[derive(Debug)]
pub struct Error {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

impl Error {
    /// For `map_err`: the error with this path.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { path: path.to_owned(), error }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for Error {}

/// Brings a file, or the names in a folder, to the disk.
pub fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::at(path))
}
