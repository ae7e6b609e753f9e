//! What a step asks of an objective: the one of a configuration, or one's own in Rust.

use tokensieve_objective::{Against, Objective, Pull, Pulls, TokenStats, Training, Variable};

use tokensieve_model::head::Reference;
use tokensieve_model::{Error, Result};

use crate::Trained;

/// What to say where an objective has no reference to compare with.
pub(crate) const NO_REFERENCE: &str =
    "compares with a reference: name one as reference.adapter, reference.model or reference.topk";

/// What to say where it is to compare with the base, which training changes.
pub(crate) const NO_BASE: &str = "compares with the base, and all weights are trained, so that it is not there any more: name it as reference.model";

/// An objective as a step sees it: statistics of the whole optimizer batch in, pulls out.
///
/// [`Training`] is one. For one's own only [`Rule::pulls`] is needed; `examples/own_objective.rs` is one in full.
pub trait Rule {
    /// The pulls of a whole optimizer batch, which comes in micro-batches of these lengths.
    fn pulls(&mut self, tokens: &[TokenStats], micro_batches: &[usize]) -> Result<Pulls>;

    /// What has to be computed for it.
    fn reads(&self) -> Reads {
        Reads::default()
    }

    /// Whether a token's pull follows from its own statistics alone. Then one sweep computes statistics and gradient.
    fn is_local(&self) -> bool {
        false
    }

    /// Whether it selects whole documents and nothing pulls on the others. Then they may be chosen by rough statistics.
    fn chooses_documents(&self) -> bool {
        false
    }

    /// If either: the pull of a token, given that it is selected, before it is normalised; what [`Rule::pulls`] says too.
    fn selected_pull(&self, _: &TokenStats) -> Pull {
        Pull::default()
    }

    /// What the token adds to the loss that is reported, before it is normalised; `cross_entropy` is −Σ q log p.
    fn loss(&self, token: &TokenStats, pull: Pull, _selected: bool, cross_entropy: f64) -> f64 {
        pull.label * token.loss + pull.reference * cross_entropy
    }
}

/// What an objective reads beyond loss and entropy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Entropy of the 20 most probable tokens.
    pub top_entropy: bool,
    /// The label's loss under the reference.
    pub reference_loss: bool,
    /// The label's loss under the model as it was before training.
    pub base_loss: bool,
    /// What the pulls onto a reference point to.
    pub onto: Onto,
}

/// What the pulls onto a reference point to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Onto {
    /// There are none.
    #[default]
    Nothing,
    /// The same probability for every token.
    Uniform,
    /// The reference's prediction.
    All,
    /// Its k most probable tokens, the rest as one bucket.
    Top(usize),
}

impl Reads {
    /// What an objective of a configuration reads.
    pub fn of(objective: &Objective) -> Self {
        let either = |one, other| objective.reads(one) || objective.reads(other);
        Self {
            top_entropy: objective.reads(Variable::TopEntropy),
            reference_loss: either(Variable::ReferenceLoss, Variable::PReference),
            base_loss: either(Variable::BaseLoss, Variable::PBase),
            onto: match (objective.distills(), objective.against(), objective.top_k()) {
                (false, ..) => Onto::Nothing,
                (true, Some(Against::Uniform), _) => Onto::Uniform,
                (true, _, Some(k)) => Onto::Top(k),
                (true, _, None) => Onto::All,
            },
        }
    }

    /// Checks that a reference can give it, beside what is trained.
    pub fn check(&self, reference: &Reference, trained: &Trained) -> Result<()> {
        let needed = self.needs_reference();
        let problem = match reference {
            Reference::None if needed => NO_REFERENCE,
            Reference::Base | Reference::Adapter(_) if needed && trained.adapter().is_none() => NO_BASE,
            _ => return Ok(()),
        };
        Err(Error::setting("objective", problem))
    }

    /// Whether there must be a model to compare with.
    pub fn needs_reference(&self) -> bool {
        self.reference_loss || matches!(self.onto, Onto::All | Onto::Top(_))
    }
}

impl Rule for Training {
    fn pulls(&mut self, tokens: &[TokenStats], micro_batches: &[usize]) -> Result<Pulls> {
        Ok(self.pulls_in(tokens, micro_batches)?.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of(self.objective())
    }

    fn is_local(&self) -> bool {
        self.objective().is_local()
    }

    fn chooses_documents(&self) -> bool {
        self.objective().chooses_documents()
    }

    fn selected_pull(&self, token: &TokenStats) -> Pull {
        Training::selected_pull(self, token)
    }

    fn loss(&self, token: &TokenStats, _: Pull, selected: bool, cross_entropy: f64) -> f64 {
        self.objective().written_out(token, selected, token.loss, cross_entropy)
    }
}
