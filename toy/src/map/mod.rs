//! Who is right: which tokens to train on, by what is new, what nobody can know, and what is wrong; measured, and predicted
//! before training.
//!
//! Paper A trains on the labels with the smallest probability and distils the rest; paper B gives these labels little
//! weight. A [`World`] has what both speak of. In each of its cells every arm starts from the same base and sees the same
//! batches as plain maximum likelihood. Its gain over that twin is measured exactly, since the true distribution is known,
//! and predicted to first order from gradients along plain training alone (`predicted.rs`).
//!
//! No seed that chooses is measured: the first seeds say which arm looks best in a cell, the others what it is worth there.

mod config;
mod measured;
mod predicted;
mod summary;
mod world;

pub use config::MapConfig;
pub use measured::{Outcome, seed};
pub use summary::{AT_START, ELSEWHERE, MapRow, ON_THE_WAY, PLAIN, summarise};
pub use world::{Gains, Known, Noise, Sample, World, WorldConfig};

#[cfg(test)]
mod tests;
