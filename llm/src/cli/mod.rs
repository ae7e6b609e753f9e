//! The verbs of `tokensieve`, one file each: arguments as typed, and what they do.

mod doctor;
mod train;

use clap::Subcommand;

/// What `tokensieve` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// What libtorch offers on this machine: version, devices, threads, measured speed
    Doctor(doctor::Arguments),
    /// Fine-tune a model with any objective; continues by itself where it was stopped
    Train(train::Arguments),
}

impl Verb {
    /// Does it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Doctor(arguments) => arguments.run(),
            Self::Train(arguments) => arguments.run(),
        }
    }
}
