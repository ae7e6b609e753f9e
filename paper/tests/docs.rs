//! The documentation's commands of `paper` are run, and what they print is compared with what is shown; the module `pages` of
//! `tokensieve_base::testing` says how a page is read. Recipes, crates and files that any command line names are looked up, too.

use std::path::Path;

use tokensieve_base::testing::pages::{Documentation, Program};

/// Blocks that are not run: whoever adds one changes this number.
const NOT_RUN: usize = 12;

fn documentation() -> Documentation {
    Documentation::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

fn program() -> Program {
    Program::new("paper", env!("CARGO_BIN_EXE_paper"))
}

#[test]
fn what_the_pages_show_is_what_paper_prints() {
    let tried = documentation().run(&program(), || tempfile::tempdir().unwrap());
    println!("{} blocks run, {} not", tried.run, tried.not_run);
    assert!(tried.wrong.is_empty(), "\n{}", tried.wrong.join("\n"));
    assert_eq!(tried.not_run, NOT_RUN, "blocks marked as not run");
}

#[test]
fn paper_has_what_every_command_line_asks_for() {
    let unknown = documentation().unknown_to(&program());
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
}

#[test]
fn the_repository_has_what_every_command_line_names() {
    let unknown = documentation().unknown_to_the_repository();
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
}
