//! `tokensieve doctor`.

use crate::machine::Machine;

/// Nothing to say.
#[derive(clap::Args, Debug)]
pub struct Arguments {}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        println!("{}", Machine::measure());
        Ok(())
    }
}
