//! Build script of every crate of this folder: links its programs and tests with libtorch.
//!
//! libtorch is linked whether or not a program names a symbol of it (its operators register themselves when it is
//! loaded), and found at run time where it lay at build time.

use std::env;
use std::path::{Path, PathBuf};

/// The version that tch 0.24 is made for.
const VERSION: &str = "2.11.0";

pub(crate) fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rerun-if-env-changed=LIBTORCH_LIB");
    match library() {
        Ok(library) => {
            println!("cargo::rerun-if-changed={}", library.join("libtorch.so").display());
            println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", library.display());
        }
        Err(what) => {
            println!("cargo::error={what}; tokensieve needs libtorch {VERSION}: ./just setup libtorch");
        }
    }
}

/// The folder of libtorch's libraries.
pub(crate) fn library() -> Result<PathBuf, String> {
    let library = match (folder("LIBTORCH_LIB"), folder("LIBTORCH")) {
        (Some(folder), _) | (None, Some(folder)) => folder.join("lib"),
        (None, None) => return Err("LIBTORCH is not set".to_owned()),
    };
    // .libtorch of the clone is a link: programs should outlive the clone.
    let library = library.canonicalize().map_err(|_| format!("there is no {}", library.display()))?;
    match version(&library).filter(|found| found.split('+').next() != Some(VERSION)) {
        Some(found) => Err(format!("libtorch in {} is {found}", library.display())),
        None => Ok(library),
    }
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn version(library: &Path) -> Option<String> {
    let text = std::fs::read_to_string(library.parent()?.join("build-version")).ok()?;
    Some(text.trim().to_owned())
}
