//! `tokensieve`: post-training with selective objectives, from the command line.

mod spin;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use tokensieve_cli::{Allocator, Verb};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// What `--version` prints after the program's name. `paper` files results under this fingerprint.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\ncode ", env!("TOKENSIEVE_CODE"));

/// Post-trains language models on the tokens that matter.
#[derive(Parser)]
#[command(name = "tokensieve", version, long_version = VERSION)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    match Arguments::parse().verb.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code remains.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_version_includes_the_fingerprint_of_the_sources() {
        let printed = super::Arguments::command().render_long_version();
        let wanted = format!("tokensieve {}\ncode {}\n", env!("CARGO_PKG_VERSION"), env!("TOKENSIEVE_CODE"));
        assert!(printed.ends_with(&wanted), "{printed}");
    }
}
