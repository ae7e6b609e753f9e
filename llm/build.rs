//! How programs of this crate find libtorch: linked whether or not they name a symbol of it (its operators register
//! themselves when it is loaded), and found at run time where it lay at build time.

use std::env;
use std::path::{Path, PathBuf};

/// The version that tch 0.24 is made for.
const VERSION: &str = "2.11.0";

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rerun-if-env-changed=LIBTORCH_LIB");
    let library = match (folder("LIBTORCH_LIB"), folder("LIBTORCH")) {
        (Some(folder), _) | (None, Some(folder)) => folder.join("lib"),
        (None, None) => return fail("LIBTORCH is not set"),
    };
    // .libtorch of the clone is a link: programs should outlive the clone.
    let Ok(library) = library.canonicalize() else {
        return fail(&format!("there is no {}", library.display()));
    };
    if let Some(found) = version(&library).filter(|found| found.split('+').next() != Some(VERSION)) {
        return fail(&format!("libtorch in {} is {found}", library.display()));
    }
    println!("cargo::rerun-if-changed={}", library.join("libtorch.so").display());
    shim(&library);
    println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", library.display());
}

/// The few calls that tch lacks, compiled against the same headers.
fn shim(library: &Path) {
    println!("cargo::rerun-if-changed=shim");
    let include = library.parent().expect("lib lies in a folder").join("include");
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .files(["shim/shim.cc", "shim/arena.cc"])
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .flag("-fopenmp")
        .warnings(false)
        .opt_level(1)
        .compile("tokensieve_shim");
    println!("cargo::rustc-link-search=native={}", library.display());
    for name in ["torch_cpu", "c10"] {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
    // By its file name: the wheel has no libgomp.so.
    println!("cargo::rustc-link-lib=dylib:+verbatim=libgomp.so.1");
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn version(library: &Path) -> Option<String> {
    let text = std::fs::read_to_string(library.parent()?.join("build-version")).ok()?;
    Some(text.trim().to_owned())
}

fn fail(what: &str) {
    println!("cargo::error={what}; tokensieve-llm needs libtorch {VERSION}: ./just setup libtorch");
}
