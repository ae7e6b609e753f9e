//! The libtorch that is loaded, and libraries that are opened beside it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_void};
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

/// Opens a library for all that is loaded later; else why not.
pub(crate) fn open(path: &CString) -> Result<*mut c_void, String> {
    // SAFETY: as opening any library is: its initialisers run, and are made for this.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: after a failure dlerror gives a text that lives until the next call.
    let why = unsafe { libc::dlerror() };
    if why.is_null() {
        return Err("no reason given".to_owned());
    }
    // SAFETY: not null; nothing was called since.
    Err(unsafe { CStr::from_ptr(why) }.to_string_lossy().into_owned())
}
