//! Hashes the sources behind the verbs of `tokensieve` when they are compiled.

use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::{env, io};

#[path = "src/sources.rs"]
mod sources;

/// One hash per verb, and one over all of them.
fn main() -> io::Result<()> {
    let here = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let root = Path::new(&here).join("..");
    let mut all = Sha256::new();
    for (verb, parts) in sources::VERBS {
        for source in parts.iter().copied().flatten() {
            println!("cargo::rerun-if-changed={}", root.join(source).display());
        }
        let hash = sources::hash(&root, parts.iter().copied().flatten().copied())?;
        println!("cargo::rustc-env=TOKENSIEVE_CODE_{verb}={hash}");
        all.update(hash);
    }
    println!("cargo::rustc-env=TOKENSIEVE_CODE={:x}", all.finalize());
    Ok(())
}
