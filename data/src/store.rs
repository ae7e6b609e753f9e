//! The cache folder, which holds only complete and checked files.
//!
//! Content is unpacked and hashed into a temporary file and renamed into place, so an interrupted run leaves nothing
//! half-done under a final name. A stamp beside it remembers size and time of the checked file, so that it is hashed
//! once and not at every start.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tokensieve_base::files;

use crate::catalogue::File;
use crate::error::{Error, Failure};
use crate::progress::Progress;
use crate::sha256::{hex, sha256_of};

/// Where the files of one set lie.
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(crate) fn of(cache: &Path, set: &str) -> Self {
        Self { folder: cache.join("data").join(set) }
    }

    pub(crate) fn path(&self, file: &File) -> PathBuf {
        self.folder.join(&file.name)
    }

    /// A path for the unfinished download of a file from `source`. Each source has its own, so that no download is
    /// continued from another source.
    pub(crate) fn scratch(&self, file: &File, source: &str) -> PathBuf {
        let tag = &hex(Sha256::new().chain_update(source))[..8];
        self.folder.join(format!(".{}.{tag}.part", file.name))
    }

    /// Whether the file is in the cache and its content right, checked now or earlier.
    pub(crate) fn has(&self, file: &File) -> bool {
        let path = self.path(file);
        let Some(now) = Stamp::of(&path, &file.sha256) else { return false };
        if fs::read_to_string(self.stamp(file)).is_ok_and(|text| text == now.0) {
            return true;
        }
        let whole = sha256_of(&path).is_ok_and(|found| found == file.sha256);
        if whole {
            // Without the stamp the next start hashes again, no more.
            let _ = fs::write(self.stamp(file), now.0);
        }
        whole
    }

    /// Whether the file is in the cache and its content, read again, is right.
    pub(crate) fn verify(&self, file: &File) -> Result<bool, io::Error> {
        match sha256_of(&self.path(file)) {
            Ok(found) if found == file.sha256 => Ok(true),
            Ok(_) => {
                // So that it is fetched anew, though its size and time may be those of the right one.
                let _ = fs::remove_file(self.stamp(file));
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A lock held while one file is fetched: a second process waits, and then finds the file.
    pub(crate) fn lock(&self, file: &File) -> Result<fs::File, Error> {
        let path = self.folder.join(format!(".{}.lock", file.name));
        let made = fs::create_dir_all(&self.folder).map_err(files::Error::at(&self.folder));
        let held = made.and_then(|()| files::wait_for(&path));
        held.map_err(|files::Error { path, error }| Error::Cache { path, error })
    }

    /// Unpacks and checks `provided`, and moves it into the cache.
    pub(crate) fn accept(
        &self,
        file: &File,
        provided: &Path,
        zipped: bool,
        stored: Option<&str>,
        bar: &Progress,
    ) -> Result<(), Failure> {
        let temporary = self.folder.join(format!(".{}.new", file.name));
        let path = self.path(file);
        let outcome = unpack(file, provided, &temporary, zipped, stored, bar)
            .and_then(|()| Ok(fs::rename(&temporary, &path).map_err(files::Error::at(&path))?));
        if outcome.is_err() {
            let _ = fs::remove_file(&temporary);
        } else if let Some(stamp) = Stamp::of(&path, &file.sha256) {
            let _ = fs::write(self.stamp(file), stamp.0);
        }
        outcome
    }

    fn stamp(&self, file: &File) -> PathBuf {
        self.folder.join(format!(".{}.checked", file.name))
    }
}

/// Identifies a checked file: hash, size, time of last change.
struct Stamp(String);

impl Stamp {
    fn of(path: &Path, sha256: &str) -> Option<Self> {
        let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Self(format!("{sha256} {} {changed}\n", about.len())))
    }
}

fn unpack(
    file: &File,
    provided: &Path,
    to: &Path,
    zipped: bool,
    stored: Option<&str>,
    bar: &Progress,
) -> Result<(), Failure> {
    let input = fs::File::open(provided).map_err(|error| error.to_string())?;
    let mut input = Hashing { inner: io::BufReader::with_capacity(1 << 16, input), hash: Sha256::new() };
    let mut output = fs::File::create(to).map_err(files::Error::at(to))?;
    bar.begin(Some(file.bytes), 0);
    let found = {
        let reader: &mut dyn Read = if zipped { &mut MultiGzDecoder::new(&mut input) } else { &mut input };
        copy_hashing(reader, (&mut output, to), file.bytes, bar)?
    };
    if let Some(expected) = stored.filter(|_| zipped) {
        io::copy(&mut input, &mut io::sink()).map_err(|error| error.to_string())?;
        let found = hex(input.hash);
        if found != expected {
            return Err(format!("the file there has sha256 {found}, not {expected}").into());
        }
    }
    if found != file.sha256 {
        return Err(format!("its content has sha256 {found}, not {}", file.sha256).into());
    }
    // Written to disk before the rename: a power cut must not leave a stamped, empty file.
    Ok(output.sync_all().map_err(files::Error::at(to))?)
}

fn copy_hashing(
    input: &mut dyn Read,
    (output, path): (&mut fs::File, &Path),
    size: u64,
    bar: &Progress,
) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) if total < size => return Err(format!("truncated: {total} of {size} bytes").into()),
            Ok(0) => return Ok(hex(hash)),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(
                    format!("truncated: the compressed file ends after {total} of {size} bytes").into()
                );
            }
            Err(error) => return Err(format!("damaged: {error}").into()),
        };
        total += n as u64;
        if total > size {
            return Err(format!("longer than its {size} bytes").into());
        }
        hash.update(&buffer[..n]);
        output.write_all(&buffer[..n]).map_err(files::Error::at(path))?;
        bar.advance(n as u64);
    }
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}
