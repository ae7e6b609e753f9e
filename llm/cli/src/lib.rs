//! The `tokensieve` program: one file per verb, with its arguments and what it does with them.
//!
//! The verbs only check arguments, call `tokensieve-train`, `tokensieve-infer` and `tokensieve-diagnose`, and print.
//! What decides a number is a default or a constant of those crates, never of this one.
//!
//! | file | what it does |
//! |---|---|
//! | `verb` | the list of verbs ([`Verb`]) |
//! | `train`, `generate`, `evaluate`, … | one verb each |
//! | `model_arguments` | arguments that several verbs share: model, adapter, precision, sampling |
//! | `libtorch_errors` | turns libtorch's panics into errors, with advice where memory ran out |
//! | `interruption` | Ctrl-C |
//! | `processes` | several processes of one run |
//! | `template_limits` | memory and time that a chat template may take |
//!
//! Exit codes: 0 done, 1 an error, 2 wrong arguments, 130 stopped by Ctrl-C.
//!
//! ```no_run
//! use clap::Parser;
//! use tokensieve_cli::Verb;
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     #[command(subcommand)]
//!     verb: Verb,
//! }
//!
//! Arguments::parse().verb.run()?;
//! # Ok::<(), anyhow::Error>(())
//! ```

mod bundle;
mod chat;
mod convert;
mod diagnose;
mod evaluate;
mod generate;
mod interruption;
mod libtorch_errors;
mod make;
mod merge;
mod model_arguments;
mod objectives;
mod processes;
mod show;
mod template_limits;
mod topk;
mod train;
mod uncertainty;
mod verb;

pub use template_limits::Allocator;
pub use verb::Verb;
