//! What runs are for, and the seeds of each purpose.

use clap::ValueEnum;
use serde::Deserialize;

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

/// Seeds of each stage: of each run of successive ones the first and the last.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// For sizes and powers.
    pub pilot: Vec<[u64; 2]>,
    /// For learning rates.
    pub tuning: Vec<[u64; 2]>,
    /// For the results.
    pub main: Vec<[u64; 2]>,
}

impl Seeds {
    /// Those of a stage, in their order.
    pub fn of(&self, stage: Stage) -> Vec<u64> {
        let ranges = match stage {
            Stage::Pilot => &self.pilot,
            Stage::Tuning => &self.tuning,
            Stage::Main => &self.main,
        };
        ranges.iter().flat_map(|[first, last]| *first..=*last).collect()
    }

    /// The first so many of the results' seeds, or all where there are fewer.
    pub fn first(&self, count: u64) -> Vec<u64> {
        let mut seeds = self.of(Stage::Main);
        seeds.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        seeds
    }
}
