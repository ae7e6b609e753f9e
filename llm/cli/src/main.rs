//! `tokensieve`: post-training with selective objectives, from the command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use tokensieve_cli::Verb;

/// What `--version` says behind the program's name: `paper` files results under the fingerprint.
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
            // Where nobody listens, the exit code says it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_program_tells_the_sources_it_was_built_from() {
        let said = super::Arguments::command().render_long_version();
        let wanted = format!("tokensieve {}\ncode {}\n", env!("CARGO_PKG_VERSION"), env!("TOKENSIEVE_CODE"));
        assert!(said.ends_with(&wanted), "{said}");
    }
}
