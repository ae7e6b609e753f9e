//! `tokensieve`: post-training with selective objectives, from the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokensieve_llm::machine::Machine;

/// Post-trains language models on the tokens that matter.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// What libtorch offers on this machine: version, devices, threads, measured speed
    Doctor,
}

fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Doctor => println!("{}", Machine::measure()),
    }
    ExitCode::SUCCESS
}
