//! Finds import cycles between the files of every crate in the workspace.
//!
//!     cargo run -p tokensieve-cycles                     # every crate
//!     cargo run -p tokensieve-cycles -- tokensieve-toy   # one crate
//!
//! A file imports another when it names something that the other file defines: in a private `use`, in a path, or within
//! a macro's arguments. Re-exports are followed to the file that defines the name, so a parent that only declares its
//! children and re-exports their names imports nothing. Code under `#[cfg(test)]` does not count. What the compiler
//! infers (methods, fields) leaves no path behind and is not seen.

mod graph;
mod imports;
mod tree;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The part of `cargo metadata` that is read here.
#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Target {
    /// Tests, examples and benchmarks may arrange themselves as they like.
    fn is_checked(&self) -> bool {
        self.kind.iter().any(|kind| ["lib", "bin", "proc-macro", "custom-build"].contains(&kind.as_str()))
    }
}

fn main() -> Result<ExitCode> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let packages = workspace()?.packages;
    for name in &chosen {
        let known = packages.iter().any(|package| package.name == *name);
        ensure!(known, "no crate of this workspace is called {name}; `cargo metadata --no-deps` lists them");
    }
    let mut failed = false;
    for package in &packages {
        if !chosen.is_empty() && !chosen.contains(&package.name) {
            continue;
        }
        for target in package.targets.iter().filter(|target| target.is_checked()) {
            let cycles = graph::cycles(&imports::of_crate(&tree::Tree::read(&target.src_path)?));
            for cycle in &cycles {
                println!("{}: {cycle}", package.name);
            }
            failed |= !cycles.is_empty();
            if !cycles.is_empty() {
                eprintln!("error: {} import cycle(s) in {}", cycles.len(), target.src_path.display());
            }
        }
    }
    if failed {
        eprintln!("move what two files of a cycle share into a file below both");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn workspace() -> Result<Workspace> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("running `cargo metadata`")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).context("reading the output of `cargo metadata`")
}

#[cfg(test)]
mod tests;
