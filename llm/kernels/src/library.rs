//! The libtorch that is loaded.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder that `libtorch_cpu.so` was loaded from.
pub(crate) fn folder() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps
        .lines()
        .find_map(|line| line.find('/').map(|at| &line[at..]).filter(|p| p.ends_with("/libtorch_cpu.so")))?;
    Some(Path::new(path).parent()?.to_owned())
}

/// What the folder above the library says: `build-version` of a libtorch, `version.py` of a Python package.
pub(crate) fn version(library: &Path) -> Option<String> {
    let folder = library.parent()?;
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = fs::read_to_string(folder.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}
