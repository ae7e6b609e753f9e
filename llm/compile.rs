//! Part of the build scripts of crates with C++: compiles it against libtorch's headers, and links it.

use std::path::Path;

/// Compiles what `files` adds into a library of this name.
pub(crate) fn compile(library: &Path, name: &str, files: impl FnOnce(&mut cc::Build)) {
    println!("cargo::rerun-if-changed=shim");
    let include = library.parent().expect("lib lies in a folder").join("include");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++20").include(&include).include(include.join("torch/csrc/api/include"));
    files(&mut build);
    build.warnings(false).opt_level(1).compile(name);
    println!("cargo::rustc-link-search=native={}", library.display());
    for name in ["torch_cpu", "c10"] {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
}
