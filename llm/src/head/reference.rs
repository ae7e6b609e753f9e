//! Where a reference distribution comes from.

mod file;

use tch::{Tensor, no_grad};

pub(crate) use file::Place;
pub use file::{TopFile, write_top};

use super::Unembedding;
use crate::model::{Adapter, Model};
use crate::step::Reads;
use crate::train::Trained;
use crate::{Error, Pack, Result};

/// What to say where an objective has no reference to compare with.
pub(crate) const NO_REFERENCE: &str =
    "compares with a reference: name one as reference.adapter, reference.model or reference.topk";

/// What to say where it is to compare with the base, which training changes.
pub(crate) const NO_BASE: &str = "compares with the base, and all weights are trained, so that it is not there any more: name it as reference.model";

/// What an objective's pulls onto a reference point to, and whose losses it compares with.
#[derive(Debug)]
pub enum Reference {
    /// Nothing, or the uniform distribution.
    None,
    /// The model as it was before training: the same weights without the adapter.
    Base,
    /// Another adapter on the same weights.
    Adapter(Box<Adapter>),
    /// Another checkpoint.
    Model(Box<Model>),
    /// Its most probable tokens, computed beforehand.
    TopK(Box<TopFile>),
}

impl Reference {
    /// Checks that it can give what an objective reads.
    pub fn check(&self, reads: &Reads, trained: &Trained) -> Result<()> {
        let needed = reads.needs_reference();
        let problem = match self {
            Self::None if needed => NO_REFERENCE,
            Self::Base | Self::Adapter(_) if needed && trained.adapter().is_none() => NO_BASE,
            _ => return Ok(()),
        };
        Err(Error::setting("objective", problem))
    }

    /// The hidden states of the rows that a pack asks for. The model is lent its adapter and gets its own back.
    pub(crate) fn forward(
        &self,
        model: &mut Model,
        pack: &Pack,
        trained: Option<&Adapter>,
    ) -> Result<Tensor> {
        let adapter = match self {
            Self::Model(other) => return Ok(no_grad(|| other.forward(pack))),
            Self::Adapter(adapter) => Some(&**adapter),
            Self::Base | Self::None | Self::TopK(_) => None,
        };
        model.attach(adapter)?;
        let hidden = no_grad(|| model.forward(pack));
        model.attach(trained)?;
        Ok(hidden)
    }

    /// Its output matrix; `model` is the one that is trained.
    pub(crate) fn unembedding<'a>(&'a self, model: &'a Model) -> Unembedding<'a> {
        match self {
            Self::Model(other) => other.unembedding(),
            _ => model.unembedding(),
        }
    }
}
