//! A file of JSON lines that a killed run continues where its checkpoint says.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use tokensieve_model::Error;
use tokensieve_model::Result;

/// The file, and how much of it is written.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl Lines {
    /// Opens a file and drops everything after its first `bytes` bytes: lines of steps that will be made again, and what
    /// is left of a line that was being written.
    pub fn open(path: &Path, bytes: u64) -> Result<Self> {
        let open = || {
            let mut file = OpenOptions::new().create(true).truncate(bytes == 0).write(true).open(path)?;
            if bytes > 0 {
                file.set_len(bytes)?;
                file.seek(SeekFrom::Start(bytes))?;
            }
            Ok(file)
        };
        let there = path.metadata().map(|metadata| metadata.len());
        if bytes > there.as_ref().map_or(0, |there| *there) {
            let has = there.map_or("is missing".to_owned(), |there| format!("has {there} bytes"));
            let what = format!(
                "{has}, the checkpoint knows {bytes} bytes of it; put the file back, or start over with --fresh"
            );
            return Err(Error::file(path, what));
        }
        let file = open().map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), bytes })
    }

    /// One more line. Numbers are printed with as many digits as reading them back to the last bit needs.
    pub fn push(&mut self, line: &Value) -> Result<()> {
        let text = format!("{line}\n");
        self.bytes += text.len() as u64;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(Error::io(&self.path))
    }

    /// Bytes written so far, all of them on the disk.
    pub fn durable(&mut self) -> Result<u64> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        // A device that cannot be synced, /dev/null say, has nothing to lose.
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
        let mut lines = Lines::open(&path, 0).unwrap();
        lines.push(&serde_json::json!({ "step": 1, "loss": 0.1 + 0.2 })).unwrap();
        let bytes = lines.durable().unwrap();
        lines.push(&serde_json::json!({ "step": 2 })).unwrap();
        drop(lines);
        let torn = format!("{}{{\"st", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, torn).unwrap();
        let mut lines = Lines::open(&path, bytes).unwrap();
        lines.push(&serde_json::json!({ "step": 2, "again": true })).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":1,\"loss\":0.30000000000000004}\n{\"step\":2,\"again\":true}\n");
        let short = Lines::open(&path, 1000).unwrap_err().to_string();
        assert!(
            short.contains("has 62 bytes, the checkpoint knows 1000") && short.contains("--fresh"),
            "{short}"
        );
        std::fs::remove_file(&path).unwrap();
        let gone = Lines::open(&path, 1000).unwrap_err().to_string();
        assert!(gone.contains("x.jsonl: is missing, the checkpoint knows 1000"), "{gone}");
        assert!(!path.exists());
    }

    #[test]
    fn a_full_disk_is_an_error_with_the_files_name() {
        let mut lines = Lines::open(Path::new("/dev/full"), 0).unwrap();
        let error = lines.push(&serde_json::json!({ "step": 1 })).unwrap_err().to_string();
        assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
    }
}
