//! What an objective reads beyond loss and entropy, and whether a reference can supply it.

use tokensieve_model::head::Reference;
use tokensieve_model::{Error, Result};
use tokensieve_objective::{Against, Direction, Objective, Variable};

use crate::trained::Trained;

/// The error where an objective has no reference to compare with.
pub(crate) const NO_REFERENCE: &str =
    "compares with a reference: name one as reference.adapter, reference.model or reference.topk";

/// The error where the reference is the base model and training changes the base model.
pub(crate) const NO_BASE: &str =
    "compares with the base model, which full fine-tuning overwrites: name the original as reference.model";

/// What an objective reads beyond loss and entropy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each statistic, independent of each other")]
pub struct Reads {
    /// Entropy of the 20 most probable tokens.
    pub top_entropy: bool,
    /// Σ p² of the prediction.
    pub concentration: bool,
    /// The label's loss under the reference.
    pub reference_loss: bool,
    /// The probability under the reference of all tokens no more probable there than the label.
    pub reference_mass: bool,
    /// The divergence of the prediction from [`onto`](Self::onto).
    pub divergence: bool,
    /// The label's loss under the model as it was before training.
    pub base_loss: bool,
    /// The reference's distribution, which pulls onto a reference point to.
    pub onto: Onto,
    /// Whether those lower KL(p ‖ q) and not KL(q ‖ p).
    pub reverse: bool,
}

/// The distribution that pulls onto a reference point to, and that the divergence is from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Onto {
    /// None: no token has a pull onto a reference, and no divergence is read.
    #[default]
    Nothing,
    /// The same probability for every token.
    Uniform,
    /// The reference's prediction.
    All,
    /// The reference's k most probable tokens, the rest as one bucket.
    Top(usize),
    /// The model's own prediction, its logits multiplied by this inverse temperature.
    Itself(f64),
}

impl Reads {
    /// What an objective of a configuration reads.
    pub fn of(objective: &Objective) -> Self {
        let either = |one, other| objective.reads(one) || objective.reads(other);
        let divergence = objective.reads(Variable::Divergence);
        Self {
            top_entropy: objective.reads(Variable::TopEntropy),
            concentration: objective.reads(Variable::Concentration),
            reference_loss: either(Variable::ReferenceLoss, Variable::PReference),
            reference_mass: objective.reads(Variable::ReferenceMass),
            divergence,
            base_loss: either(Variable::BaseLoss, Variable::PBase),
            onto: match (objective.against(), objective.top_k(), objective.temperature()) {
                _ if !objective.distills() && !divergence => Onto::Nothing,
                (Some(Against::Uniform), ..) => Onto::Uniform,
                (_, _, Some(temperature)) => Onto::Itself(1.0 / temperature),
                (_, Some(k), None) => Onto::Top(k),
                (_, None, None) => Onto::All,
            },
            reverse: objective.direction() == Direction::Reverse,
        }
    }

    /// Checks that a reference can supply it, given what is trained.
    pub fn check(&self, reference: &Reference, trained: &Trained) -> Result<()> {
        let needed = self.needs_reference();
        let problem = match reference {
            Reference::None if needed => NO_REFERENCE,
            Reference::Base | Reference::Adapter(_) if needed && trained.adapter().is_none() => NO_BASE,
            _ => return Ok(()),
        };
        Err(Error::setting("objective", problem))
    }

    /// Whether the objective needs a reference model.
    pub fn needs_reference(&self) -> bool {
        self.reference_loss || self.reference_mass || matches!(self.onto, Onto::All | Onto::Top(_))
    }
}
