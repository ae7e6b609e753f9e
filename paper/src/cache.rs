//! Results on disk, addressed by the hash of everything that determines them.
//!
//! An entry is one CSV file whose first line is a comment with its origin. It appears by renaming a finished
//! file, so an interrupted run leaves whole entries only and there is nothing to lock or to repair: two
//! processes that compute the same entry write the same bytes.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokensieve_base::files;

/// The folder of entries.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// The comment on an entry's first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The figure's id.
    pub figure: String,
    /// The unit's name.
    pub unit: String,
    /// The configuration, as JSON.
    pub config: serde_json::Value,
    /// Time it took to compute.
    pub seconds: f64,
}

impl Cache {
    /// The cache in `folder`, made if missing; temporary files that a crash left an hour ago, which nobody holds, are removed.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("making the cache folder {}", folder.display()))?;
        let old = SystemTime::now() - Duration::from_secs(3600);
        for entry in fs::read_dir(folder)?.flatten() {
            let abandoned = entry.path().extension().is_some_and(|extension| extension == "new")
                && entry.metadata().and_then(|about| about.modified()).is_ok_and(|time| time < old)
                && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if abandoned {
                // Somebody else may have removed it first, which is as good.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder: folder.into() })
    }

    /// The entry under `key`, if there is a readable one.
    pub fn get(&self, key: &str) -> Option<(Origin, String)> {
        let text = fs::read_to_string(self.path(key)).ok()?;
        let (origin, rows) = text.strip_prefix("# ")?.split_once('\n')?;
        Some((serde_json::from_str(origin).ok()?, rows.to_owned()))
    }

    /// Stores an entry.
    pub fn put(&self, key: &str, origin: &Origin, rows: &str) -> Result<()> {
        write_atomically(&self.path(key), format!("# {}\n{rows}", serde_json::to_string(origin)?))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.csv"))
    }
}

/// The key of a unit: a hash of the parts, each with its length so that none can run into the next.
pub fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    format!("{:x}", hash.finalize())[..32].to_owned()
}

/// SHA-256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Writes a file so that no reader ever sees a part of it; makes the folder if needed.
pub fn write_atomically(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    files::write_atomically(path, bytes).context("writing a file")
}

/// Removes a folder, if there is one.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    let removed = files::remove_folder(folder).map_err(|of_path| of_path.error);
    removed.with_context(|| format!("removing {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]).len(), 32);
    }

    #[test]
    fn entries_come_back_and_damaged_ones_do_not() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path();
        let cache = Cache::open(folder)?;
        let origin = Origin {
            figure: "f".into(),
            unit: "seed 1".into(),
            config: serde_json::json!({"lr": 0.1}),
            seconds: 0.5,
        };
        cache.put("k", &origin, "x\n1\n")?;
        assert_eq!(cache.get("k"), Some((origin, "x\n1\n".into())));
        assert_eq!(cache.get("absent"), None);
        fs::write(folder.join("k.csv"), "# {\"figure\"")?;
        assert_eq!(cache.get("k"), None);
        Ok(())
    }
}
