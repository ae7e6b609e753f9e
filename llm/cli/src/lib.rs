//! The `tokensieve` program: one file per verb, with its arguments as typed and what they do. The verbs call the crates
//! `tokensieve-train` and `tokensieve-infer`; what they compute is decided there.
//!
//! | file | what |
//! |---|---|
//! | `train.rs`, `generate.rs`, `evaluate.rs`, … | a verb |
//! | `choice.rs` | the arguments that several verbs share: model, adapter, precision, sampling |
//! | `refusal.rs` | errors as one line with what resolves them; memory that ran out |
//! | `interruption.rs` | Ctrl-C |
//!
//! Exit codes: 0 done, 1 an error, 2 wrong arguments, 130 stopped by Ctrl-C.

mod bundle;
mod chat;
mod choice;
mod convert;
mod evaluate;
mod generate;
mod interruption;
mod make;
mod merge;
mod objectives;
mod refusal;
mod show;
mod topk;
mod train;
mod uncertainty;

use clap::Subcommand;
use tokensieve_kernels::Backend;

/// What `tokensieve` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Pack program, configuration, data and model into a folder that runs on another machine without Rust
    Bundle(bundle::Arguments),
    /// Talk with a model
    Chat(chat::Arguments),
    /// Write any model as a Hugging Face folder
    Convert(convert::Arguments),
    /// What libtorch offers on this machine: version, devices, threads, measured speed
    Doctor,
    /// Measure a model on a suite of tasks, or compare two such measurements
    Evaluate(evaluate::Arguments),
    /// Let a model answer prompts: a file of them, or one
    Generate(generate::Arguments),
    /// Make training data: arithmetic, instructions, figfont
    Make(make::Arguments),
    /// Fold an adapter into its model's weights
    Merge(merge::Arguments),
    /// The objectives known by name: formula, pull, selection and source; or one of them in full
    Objectives(objectives::Arguments),
    /// Documents as a model gets them, token by token: prompt grey, response coloured
    Show(show::Arguments),
    /// Compute a reference's most probable tokens once, to distil from without it
    Topk(topk::Arguments),
    /// Fine-tune a model with any objective; continues by itself where it was stopped
    Train(train::Arguments),
    /// How uncertain a model is about each token of a response: total, aleatoric, epistemic
    Uncertainty(uncertainty::Arguments),
}

impl Verb {
    /// Does it.
    pub fn run(self) -> anyhow::Result<()> {
        refusal::as_error(|| self.done())
    }

    fn done(self) -> anyhow::Result<()> {
        Backend::of_cpu().map_err(anyhow::Error::msg)?;
        // Before the first tensor is made.
        tokensieve_kernels::machine::open_cuda();
        match self {
            Self::Bundle(arguments) => arguments.run(),
            Self::Chat(arguments) => arguments.run(),
            Self::Convert(arguments) => arguments.run(),
            Self::Doctor => {
                Ok(tokensieve_model::output!("{}\n", tokensieve_kernels::machine::Machine::measure())?)
            }
            Self::Generate(arguments) => arguments.run(),
            Self::Evaluate(arguments) => arguments.run(),
            Self::Make(arguments) => arguments.run(),
            Self::Merge(arguments) => arguments.run(),
            Self::Objectives(arguments) => arguments.run(),
            Self::Show(arguments) => arguments.run(),
            Self::Topk(arguments) => arguments.run(),
            Self::Train(arguments) => arguments.run(),
            Self::Uncertainty(arguments) => arguments.run(),
        }
    }
}
