//! `tokensieve`: post-training with selective objectives, from the command line.

use std::process::ExitCode;

use clap::Parser;
use tokensieve_llm::cli::Verb;

/// Post-trains language models on the tokens that matter.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    match Arguments::parse().verb.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
