//! What models are measured by.

use super::corpus::Corpus;
use crate::named::{named, print_and_parse};

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More: a share of right answers.
    More,
    /// Less: nats.
    Less,
}

named! {
    /// What a model is measured by.
    pub enum Outcome {
        /// Loss on held-out word problems.
        NllArithmetic = "nll arithmetic",
        /// Right answers to word problems.
        Arithmetic = "arithmetic",
        /// Loss on GSM8K's test set.
        NllGsm8k = "nll gsm8k",
        /// Right answers to GSM8K's questions.
        Gsm8k = "gsm8k",
        /// Loss on held-out instructions with answers.
        NllAlpaca = "nll alpaca",
        /// Characters shared with Alpaca's answers.
        AlpacaOverlap = "alpaca-overlap",
        /// Loss on conversations.
        NllChat = "nll chat",
        /// Loss on held-out generated instructions.
        NllInstructions = "nll instructions",
        /// Constraints of generated instructions that are met.
        Instructions = "instructions",
        /// Constraints of `IFEval`'s instructions that are met.
        Ifeval = "ifeval",
        /// Right answers to medical questions.
        Medmcqa = "medmcqa",
        /// `AlpacaEval`: which of two models' replies a judge prefers.
        AlpacaEval = "alpaca-eval",
    }
}

impl Outcome {
    /// The corpus whose kind of text it is.
    pub fn of(self) -> Option<Corpus> {
        match self {
            Self::NllArithmetic | Self::Arithmetic => Some(Corpus::Arithmetic),
            Self::NllGsm8k | Self::Gsm8k => Some(Corpus::Gsm8k),
            Self::NllAlpaca | Self::AlpacaOverlap | Self::AlpacaEval => Some(Corpus::Alpaca),
            Self::NllChat => Some(Corpus::Chat),
            Self::NllInstructions | Self::Instructions => Some(Corpus::Instructions),
            Self::Ifeval | Self::Medmcqa => None,
        }
    }

    /// The set of the catalogue that it needs.
    pub fn set(self) -> Option<&'static str> {
        match self {
            Self::NllArithmetic | Self::Arithmetic | Self::NllInstructions | Self::Instructions => None,
            Self::NllGsm8k | Self::Gsm8k => Some("gsm8k"),
            Self::NllAlpaca | Self::AlpacaOverlap => Some("alpaca"),
            Self::NllChat => Some("oasst1-validation"),
            Self::Ifeval => Some("ifeval"),
            Self::Medmcqa => Some("medmcqa"),
            Self::AlpacaEval => Some("alpaca-eval"),
        }
    }

    /// What is better: losses count in nats, everything else in shares.
    pub fn better(self) -> Better {
        match self {
            Self::NllArithmetic
            | Self::NllGsm8k
            | Self::NllAlpaca
            | Self::NllChat
            | Self::NllInstructions => Better::Less,
            _ => Better::More,
        }
    }

    /// The unit of its values and gains.
    pub fn unit(self) -> Unit {
        match self.better() {
            Better::Less => Unit::Nats,
            Better::More => Unit::Share,
        }
    }

    /// Whether a model trained on the corpus is measured in its own distribution: text of the same kind from another set is
    /// not.
    pub fn is_in_distribution(self, corpus: Corpus) -> bool {
        self.of() == Some(corpus) && corpus.unseen_set() == corpus.set()
    }

    /// In or out of the distribution of a model trained on the corpus.
    pub fn distribution(self, corpus: Corpus) -> Distribution {
        if self.is_in_distribution(corpus) { Distribution::In } else { Distribution::Out }
    }
}

/// What a row of gains is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// One outcome.
    Of(Outcome),
    /// The mean of several.
    Mean,
    /// The share of all outcomes on which the gain is positive.
    Won,
}

impl Measure {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(outcome) => outcome.name(),
            Self::Mean => "mean",
            Self::Won => "won",
        }
    }
}

print_and_parse!(Measure, |name: &str| {
    let outcomes = Outcome::ALL.iter().map(|outcome| Measure::Of(*outcome));
    outcomes.chain([Measure::Mean, Measure::Won]).find(|measure| measure.name() == name)
});

named! {
    /// Where an outcome lies, seen from the corpus trained on.
    pub enum Distribution {
        /// In the trained corpus' distribution.
        In = "in",
        /// Out of it.
        Out = "out",
        /// Both.
        All = "all",
        /// The mean gain out of it minus the mean gain in it.
        OutMinusIn = "out - in",
    }
}

named! {
    /// The unit of a gain.
    pub enum Unit {
        /// Nats of loss per token.
        Nats = "nats",
        /// A share: of right answers, of constraints met, of characters shared with a reference.
        Share = "share",
        /// How much more often than half the time replies are preferred.
        Preference = "preference",
        /// The share of outcomes.
        Tasks = "tasks",
    }
}
