//! The documentation's commands of `tokensieve` are run, and what they print is compared with what is shown; the module
//! `pages` of `tokensieve_base::testing` says how a page is read. Needs libtorch and the model (`./just setup libtorch model`);
//! `TOKENSIEVE_BIN` names another program to try the pages with.

use std::path::{Path, PathBuf};

use tokensieve_base::testing::pages::{Documentation, Program};

/// Blocks that are not run: whoever adds one changes this number.
const NOT_RUN: usize = 14;

fn documentation() -> Documentation {
    Documentation::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

fn program() -> Program {
    let named = std::env::var_os("TOKENSIEVE_BIN").map(PathBuf::from);
    Program::new("tokensieve", named.unwrap_or_else(|| env!("CARGO_BIN_EXE_tokensieve").into()))
}

#[test]
fn what_the_pages_show_is_what_the_program_prints() {
    let tried = documentation().run(&program(), || tempfile::tempdir().unwrap());
    println!("{} blocks run, {} not", tried.run, tried.not_run);
    assert!(tried.wrong.is_empty(), "\n{}", tried.wrong.join("\n"));
    assert_eq!(tried.not_run, NOT_RUN, "blocks marked as not run");
}

#[test]
fn tokensieve_has_what_every_command_line_asks_for() {
    let unknown = documentation().unknown_to(&program());
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
}
