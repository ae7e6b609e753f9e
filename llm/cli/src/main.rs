//! `tokensieve`: post-training with selective objectives, from the command line.

mod spin;

use std::io::{self, Write as _};

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

fn main() {
    let code = match Arguments::try_parse().map(|arguments| arguments.verb.run()) {
        Ok(Ok(())) => 0,
        // Standard error may be closed; the exit code remains.
        Ok(Err(error)) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            1
        }
        Err(asked_or_wrong) => {
            let _ = asked_or_wrong.print();
            asked_or_wrong.exit_code()
        }
    };
    end(code)
}

/// Ends the program without libtorch's destructors: they take a third of the time of a program that computes nothing, and
/// what they free is the system's anyway.
fn end(code: i32) -> ! {
    let _ = io::stdout().flush();
    // SAFETY: it only ends the program, and nothing is left to be written.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(code)
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
