//! Random numbers that are the same on every machine: `ChaCha8` streams addressed by name.
//!
//! A stream is a function of a seed and a name alone, never of call order or thread, so an experiment may run its parts in
//! any order and in parallel. Three derivations are in use, and published numbers hang on each of them, so none can give
//! way to another:
//!
//! | | key and stream | drawn by | used by |
//! |---|---|---|---|
//! | [`Stream`] | the seed, and FNV-1a of the name as the stream's number | `rand` | the toy experiments, intervals of figures |
//! | [`HashedStream`] | SHA-256 of seed and name | written out here | tasks: generated questions, shuffles, bootstraps |
//! | [`keyed`] | SHA-256 of name, seed and a counter (epoch, step) | the caller | training and generation |
//!
//! What is new takes [`HashedStream`]: it depends on no version of `rand`.

mod hashed;
mod keyed;
mod named;

pub use hashed::HashedStream;
pub use keyed::keyed;
pub use named::Stream;
