//! Links with libtorch, and compiles the few calls that tch lacks against the same headers.

mod compile;
mod link;

fn main() {
    link::main();
    println!("cargo::rustc-check-cfg=cfg(kernels)");
    let processor = std::env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    if cfg!(feature = "simd") && ["x86_64", "aarch64"].contains(&&*processor) {
        println!("cargo::rustc-cfg=kernels");
    }
    if let Ok(library) = link::library() {
        println!("cargo::rerun-if-changed=src/cuda/kernels.cu");
        compile::compile(&library, "tokensieve_shim", |build| {
            build.files(["shim/shim.cc", "shim/arena.cc", "shim/cuda_on_cpu.cc"]).flag("-fopenmp");
        });
        // By its file name: the wheel has no libgomp.so.
        println!("cargo::rustc-link-lib=dylib:+verbatim=libgomp.so.1");
    }
}
