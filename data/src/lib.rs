//! Every data set, model and library that tokensieve uses: named in `data.toml`, fetched from the first source that has it,
//! checked against its SHA-256, and kept uncompressed in one cache folder.
//!
//! ```no_run
//! let files = tokensieve_data::Catalogue::load()?.fetch("mnist")?;
//! println!("{} from {}", files.title(), files.path("train-images").display());
//! if let Some(why) = files.substitution() {
//!     println!("in place of {}: {}", why.asked, why.reason);
//! }
//! # Ok::<(), tokensieve_data::Error>(())
//! ```
//!
//! # Where files come from
//! For each file of a set, these are tried in order:
//!
//! 1. the cache;
//! 2. the sources of `data.toml` from the first to the last: a mirror folder, a Debian package, a Python package, a URL.
//!
//! Where no source is reachable and the set names a `fallback`, the fallback's files are handed out and
//! [`Files::substitution`] says so. A file is in the cache whole and checked, or not at all: content is unpacked and hashed
//! into a temporary file and then renamed.
//!
//! | environment variable | meaning | default |
//! |---|---|---|
//! | `TOKENSIEVE_CACHE` | folder of everything fetched | `$XDG_CACHE_HOME/tokensieve`, else `~/.cache/tokensieve` |
//! | `TOKENSIEVE_MIRROR` | folder with copies of the files; `none` for none | `../shared/data` beside the clone, if it is there |
//!
//! # The types
//! | | |
//! |---|---|
//! | [`Catalogue`], [`Set`], [`File`] | `data.toml`, checked when it is read |
//! | [`Source`] | the kinds of source |
//! | [`Files`], [`Substitution`] | what a fetch returns |
//! | [`download`], [`Progress`] | a file over the network, continued where it broke off, for other crates too |
//! | [`Error`], [`Unobtainable`], [`Attempt`], [`Failure`] | what was tried, where, and what to do |
//!
//! A new data set is a table in `data.toml`; the head of that file explains its keys. The program `tokensieve-data` shows the
//! catalogue and fetches from the command line.

mod catalogue;
mod download;
mod error;
mod fetch;
mod folders;
mod progress;
mod sha256;
mod source;
mod store;

pub use catalogue::{Catalogue, File, Set};
pub use download::download;
pub use error::{Attempt, Error, Failure, Unobtainable};
pub use fetch::{Availability, Files, Substitution};
pub use folders::Folders;
pub use progress::Progress;
pub use sha256::sha256_of;
pub use source::Source;
