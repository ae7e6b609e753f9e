//! What several crates of tokensieve share. It knows no model, no objective and no figure, and depends on no other crate
//! of the workspace.
//!
//! | module | holds | feature |
//! |---|---|---|
//! | [`statistics`] | estimates with intervals, bootstraps, ranks and correlations, exact tests | |
//! | [`streams`] | named random streams, in the three derivations on which recorded numbers depend | |
//! | [`files`] | files that exist completely or not at all, and exclusive claims on files | |
//! | [`clock`] | points in time (UTC), formatted as by Python's `strftime` | |
//! | [`terminal`] | what a command prints, and messages for whoever watches | |
//! | [`panics`] | libraries that panic on damaged files | |
//! | `http` | the one HTTP client | `http` |
//! | `fingerprint` | a hash of the sources and dependencies that decide a crate's numbers, for build scripts | `fingerprint` |
//! | `testing` | what tests share: notes on skipped tests, the largest difference of numbers, what a program left, a web server with scripted answers | `testing` |
//!
//! # Numbers with intervals
//! ```
//! use tokensieve_base::statistics::{bootstrap, mean, mean_interval};
//! use tokensieve_base::streams::Stream;
//!
//! let gains = [0.8, 1.1, 0.9, 1.3, 1.0];
//! let student = mean_interval(&gains).unwrap();
//! assert!(student.above(0.0));
//! // A stream is a function of seed and name: the same interval on every machine, in any order of calls.
//! let percentiles = bootstrap(&gains, 1000, &mut Stream::new(0, "gains"), mean).unwrap();
//! assert_eq!(percentiles.value, student.value);
//! ```
//!
//! # Files that outlive a power cut
//! ```
//! # let folder = std::env::temp_dir().join(format!("tokensieve-base-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let path = folder.join("results.json");
//! tokensieve_base::files::write_atomically(&path, "{}\n")?;
//! assert_eq!(std::fs::read_to_string(&path)?, "{}\n");
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `base/clippy.toml` forbids the calls whose last bit depends on the processor, as `toy/clippy.toml` does.

pub mod clock;
pub mod files;
#[cfg(feature = "fingerprint")]
pub mod fingerprint;
#[cfg(feature = "http")]
pub mod http;
pub mod panics;
pub mod statistics;
pub mod streams;
pub mod terminal;
#[cfg(feature = "testing")]
pub mod testing;
// For the tests of this crate by itself. One condition for both would count as code that the fingerprint is made of.
#[cfg(all(test, not(feature = "testing")))]
pub mod testing;
