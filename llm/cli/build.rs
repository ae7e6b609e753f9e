//! Links with libtorch, and has the program know the fingerprint of what computes its results.

use tokensieve_base::fingerprint::Workspace;

mod link;

fn main() -> std::io::Result<()> {
    link::main();
    Workspace::around_build()?.emit_verbs()
}
