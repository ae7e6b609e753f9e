//! What runs are for, and the seeds of each purpose.

use clap::ValueEnum;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// What runs are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// What the primary claims compare, for the number of seeds; part of no result
    Pilot,
    /// Choosing learning rates; part of no result
    Tuning,
    /// The results
    #[default]
    Main,
}

/// First and last seed of each stage.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// For sizes and powers.
    pub pilot: [u64; 2],
    /// For learning rates.
    pub tuning: [u64; 2],
    /// For the results.
    pub main: [u64; 2],
}

impl Seeds {
    /// From first to last.
    pub fn all([first, last]: [u64; 2]) -> RangeInclusive<u64> {
        first..=last
    }
}
