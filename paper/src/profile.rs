//! How much of the protocol is run.

use clap::ValueEnum;

/// How much of the protocol is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Every figure on tiny inputs, to test that everything runs; verdicts are not compared
    Smoke,
    /// Toy experiments in full, small runs of the language model: what a reader runs
    #[default]
    Laptop,
    /// The whole protocol of both papers with a small language model
    Study,
    /// A language model of the papers' size, on a GPU: four times the study
    Paper,
}

impl Profile {
    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Laptop => "laptop",
            Self::Study => "study",
            Self::Paper => "paper",
        }
    }

    /// `smoke` for the smoke profile, else `full`: what most figures choose between.
    pub fn pick<T>(self, smoke: T, full: T) -> T {
        if self == Self::Smoke { smoke } else { full }
    }
}
