//! What a source provides.

use std::fs;
use std::path::PathBuf;

/// A file as it is stored at its source, not yet unpacked or checked.
pub(crate) struct Provided {
    pub(crate) path: PathBuf,
    /// The file or folder to delete once the content is accepted or rejected; `None` where the file is not ours.
    pub(super) temporary: Option<PathBuf>,
}

impl Provided {
    /// A file that belongs to somebody else and is only read.
    pub(super) fn in_place(path: PathBuf) -> Self {
        Self { path, temporary: None }
    }

    /// Deletes what was downloaded only to be unpacked.
    pub(crate) fn clean_up(&self) {
        if let Some(path) = &self.temporary {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}
