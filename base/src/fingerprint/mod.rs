//! One hash of everything in the sources that decides the numbers of a crate.
//!
//! Work of hours is filed under it and done again only when it changes, so it must change with whatever can move a number,
//! and should with little else. It is derived and not listed: from the crates that compute, along the dependencies in their
//! `Cargo.toml` (those of tests and of build scripts aside), to
//!
//! - every crate of the workspace that is reached: its files, Rust as the tokens that are compiled outside of tests
//!   ([`tokens`]), what else lies among them (C++, TOML, text) byte by byte, and its dependencies' features;
//! - every crate of a registry that is reached, by its version and checksum in `Cargo.lock`.
//!
//! What is left out in spite of that stands in one list with reasons, [`LEFT_OUT`].
//!
//! It is made for build scripts, where it reads files and needs no `cargo`:
//!
//! ```no_run
//! use tokensieve_base::fingerprint::Workspace;
//!
//! let mut workspace = Workspace::around_build()?;
//! println!("cargo::rustc-env=TOYS={}", workspace.of(&["tokensieve-toy"])?);
//! workspace.rerun_if_changed();
//! # Ok::<(), std::io::Error>(())
//! ```

mod left_out;
mod lock;
mod manifest;
mod sources;
pub mod tokens;
mod workspace;

pub use left_out::LEFT_OUT;
pub use workspace::{VERBS, Workspace};

#[cfg(test)]
mod tests;
