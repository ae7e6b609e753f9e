//! The verbs of `tokensieve`.

use clap::Subcommand;
use tokensieve_kernels::Backend;

use crate::{
    bundle, chat, convert, diagnose, evaluate, generate, libtorch_errors, make, merge, objectives, show,
    template_limits, topk, train, uncertainty,
};

/// A verb with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Pack program, configuration, data and model into a folder that runs on a machine without Rust
    Bundle(bundle::Arguments),
    /// Chat with a model
    Chat(chat::Arguments),
    /// Convert a model to a Hugging Face folder
    Convert(convert::Arguments),
    /// Examine a model and a data set before training: defects, noise, and which objective to train with
    Diagnose(diagnose::Arguments),
    /// Show what libtorch offers on this machine: version, devices, threads, measured speed
    Doctor,
    /// Evaluate a model on a suite of tasks, or compare two evaluations
    Evaluate(evaluate::Arguments),
    /// Generate replies to a file of prompts, or to one prompt
    Generate(generate::Arguments),
    /// Make training data: arithmetic, instructions, figfont, cipher, alpaca, gsm8k, sharegpt, oracle
    Make(make::Arguments),
    /// Merge an adapter into the weights of its model
    Merge(merge::Arguments),
    /// List the preset objectives with formula, pull, selection and source, or show one of them in full
    Objectives(objectives::Arguments),
    /// Show documents as the model sees them, token by token: prompt in grey, response in colour
    Show(show::Arguments),
    /// Store the most probable tokens of a reference model, to distil from without loading it
    Topk(topk::Arguments),
    /// Fine-tune a model with any objective; an interrupted run continues automatically
    Train(train::Arguments),
    /// Estimate the uncertainty of each response token: total, aleatoric, epistemic
    Uncertainty(uncertainty::Arguments),
}

impl Verb {
    /// Runs the verb; what libtorch cannot do is an error.
    pub fn run(self) -> anyhow::Result<()> {
        libtorch_errors::as_errors(|| self.dispatch())
    }

    fn dispatch(self) -> anyhow::Result<()> {
        template_limits::watch();
        Backend::of_cpu().map_err(anyhow::Error::msg)?;
        // Before the first tensor is created.
        tokensieve_kernels::machine::open_cuda();
        match self {
            Self::Bundle(arguments) => arguments.run(),
            Self::Chat(arguments) => arguments.run(),
            Self::Convert(arguments) => arguments.run(),
            Self::Diagnose(arguments) => arguments.run(),
            Self::Doctor => {
                Ok(tokensieve_base::output!("{}\n", tokensieve_kernels::machine::Machine::measure())?)
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
