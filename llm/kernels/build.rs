//! Links with libtorch, and compiles the few calls that tch lacks against the same headers.

mod compile;
mod link;

fn main() {
    link::main();
    if let Ok(library) = link::library() {
        println!("cargo::rerun-if-changed=src/cuda/kernels.cu");
        compile::compile(&library, "tokensieve_shim", |build| {
            build.files(["shim/shim.cc", "shim/arena.cc", "shim/cuda_on_cpu.cc"]).flag("-fopenmp");
        });
        // By its file name: the wheel has no libgomp.so.
        println!("cargo::rustc-link-lib=dylib:+verbatim=libgomp.so.1");
    }
}
