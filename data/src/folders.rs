//! The folders that a fetch works with, from two environment variables.

use std::env;
use std::path::{self, Path, PathBuf};

/// The folders that a fetch works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Holds everything that is fetched.
    pub cache: PathBuf,
    /// A folder with copies of the files, laid out as the `mirror` paths of `data.toml`.
    pub mirror: Option<PathBuf>,
}

impl Folders {
    /// The folders named by the environment variables `TOKENSIEVE_CACHE` and `TOKENSIEVE_MIRROR`, or their defaults.
    pub fn from_env() -> Self {
        Self { cache: cache(), mirror: mirror() }
    }
}

fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// As scripts/lib.sh has it.
fn cache() -> PathBuf {
    let of_programs = || {
        let home = || set("HOME").unwrap_or_else(|| "/tmp".into()).join(".cache");
        set("XDG_CACHE_HOME").unwrap_or_else(home).join("tokensieve")
    };
    let cache = set("TOKENSIEVE_CACHE").unwrap_or_else(of_programs);
    path::absolute(&cache).unwrap_or(cache)
}

fn mirror() -> Option<PathBuf> {
    match set("TOKENSIEVE_MIRROR") {
        Some(folder) if folder == Path::new("none") => None,
        Some(folder) => Some(folder),
        None => beside_the_clone(&env::current_dir().ok()?),
    }
}

/// The clone is the nearest ancestor with a `data.toml`; `../shared/data` beside it is the default mirror.
fn beside_the_clone(start: &Path) -> Option<PathBuf> {
    let clone = start.ancestors().find(|folder| folder.join("data.toml").is_file())?;
    Some(clone.parent()?.join("shared/data")).filter(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::beside_the_clone;

    #[test]
    fn the_default_mirror_lies_beside_the_nearest_clone_upwards() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("clone/data/src");
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(folder.path().join("clone/data.toml"), "").unwrap();
        assert_eq!(beside_the_clone(&inside), None);
        std::fs::create_dir_all(folder.path().join("shared/data")).unwrap();
        assert_eq!(beside_the_clone(&inside), Some(folder.path().join("shared/data")));
    }
}
