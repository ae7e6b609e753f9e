//! Links with libtorch, and compiles the calls of its `TCPStore` against the same headers.

mod compile;
mod link;

fn main() {
    link::main();
    if let Ok(library) = link::library() {
        compile::compile(&library, "tokensieve_store", |build| {
            build.file("shim/store.cc");
        });
    }
}
