//! Links with libtorch, and compiles the few calls that tch lacks against the same headers.

use std::path::Path;

#[path = "../link.rs"]
mod link;

fn main() {
    link::main();
    if let Ok(library) = link::library() {
        shim(&library);
    }
}

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
