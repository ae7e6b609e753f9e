//! The verbs of `tokensieve`, one file each: arguments as typed, and what they do.

mod doctor;
mod show;

use clap::Subcommand;

/// What `tokensieve` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// What libtorch offers on this machine: version, devices, threads, measured speed
    Doctor(doctor::Arguments),
    /// Documents as a model gets them, token by token: prompt grey, response coloured
    Show(show::Arguments),
}

impl Verb {
    /// Does it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Doctor(arguments) => arguments.run(),
            Self::Show(arguments) => arguments.run(),
        }
    }
}
