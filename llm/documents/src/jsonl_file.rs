//! A JSONL file that a killed run continues from the length recorded in its checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use tokensieve_model::{Error, Result};

/// A JSONL file open for appending.
#[derive(Debug)]
pub struct JsonlFile {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl JsonlFile {
    /// Opens a file and drops everything after its first `bytes` bytes: the lines of steps that will be repeated, and a
    /// partially written line.
    pub fn open(path: &Path, bytes: u64) -> Result<Self> {
        let open = || {
            let mut file = OpenOptions::new().create(true).truncate(bytes == 0).write(true).open(path)?;
            if bytes > 0 {
                file.set_len(bytes)?;
                file.seek(SeekFrom::Start(bytes))?;
            }
            Ok(file)
        };
        let size = path.metadata().map(|metadata| metadata.len());
        if bytes > size.as_ref().map_or(0, |size| *size) {
            let has = size.map_or("is missing".to_owned(), |size| format!("has {size} bytes"));
            let what = format!(
                "{has}, but the checkpoint recorded {bytes} bytes; restore the file, or start over with --fresh"
            );
            return Err(Error::file(path, what));
        }
        let file = open().map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), bytes })
    }

    /// Appends a line. Numbers have as many digits as their exact value needs.
    pub fn push(&mut self, line: &Value) -> Result<()> {
        let text = format!("{line}\n");
        self.bytes += text.len() as u64;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(Error::io(&self.path))
    }

    /// Syncs the file to disk; returns its length in bytes.
    pub fn durable(&mut self) -> Result<u64> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        // A device that cannot be synced, such as /dev/null, loses nothing.
        match synced {
            Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => {
                Err(Error::io(&self.path)(error))
            }
            _ => Ok(self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_and_later_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let mut lines = JsonlFile::open(&path, 0).unwrap();
        lines.push(&serde_json::json!({ "step": 1, "loss": 0.1 + 0.2 })).unwrap();
        let bytes = lines.durable().unwrap();
        lines.push(&serde_json::json!({ "step": 2 })).unwrap();
        drop(lines);
        let torn = format!("{}{{\"st", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, torn).unwrap();
        let mut lines = JsonlFile::open(&path, bytes).unwrap();
        lines.push(&serde_json::json!({ "step": 2, "again": true })).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":1,\"loss\":0.30000000000000004}\n{\"step\":2,\"again\":true}\n");
        let short = JsonlFile::open(&path, 1000).unwrap_err().to_string();
        assert!(
            short.contains("has 62 bytes, but the checkpoint recorded 1000") && short.contains("--fresh"),
            "{short}"
        );
        std::fs::remove_file(&path).unwrap();
        let gone = JsonlFile::open(&path, 1000).unwrap_err().to_string();
        assert!(gone.contains("x.jsonl: is missing, but the checkpoint recorded 1000"), "{gone}");
        assert!(!path.exists());
    }

    #[test]
    fn a_full_disk_is_an_error_with_the_files_name() {
        let mut lines = JsonlFile::open(Path::new("/dev/full"), 0).unwrap();
        let error = lines.push(&serde_json::json!({ "step": 1 })).unwrap_err().to_string();
        assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
    }
}
