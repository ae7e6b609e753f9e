//! Every data set, model and library that tokensieve uses: listed in `data.toml`, fetched from the first source that
//! has it, checked against its SHA-256, and kept uncompressed in one cache folder.
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
//! A set's files are tried in this order: the cache, then the sources of `data.toml` from the first to the last (the
//! mirror folder, a Debian package, a Python package, an address). Where no source is reachable and the set names a
//! `fallback`, the fallback is returned and [`Files::substitution`] is set.
//!
//! | environment variable | meaning | default |
//! |---|---|---|
//! | `TOKENSIEVE_CACHE` | folder of everything fetched | `$XDG_CACHE_HOME/tokensieve`, else `~/.cache/tokensieve` |
//! | `TOKENSIEVE_MIRROR` | folder with copies of the files, or `none` | `../shared/data` beside the clone, if it is there |

mod catalogue;
mod error;
mod fetch;
mod folders;
mod progress;
mod sha256;
mod source;
mod store;

pub use catalogue::{Catalogue, File, Set};
pub use error::{Attempt, Error, Unobtainable};
pub use fetch::{Availability, Files, Substitution};
pub use folders::Folders;
pub use source::Source;
