//! Where a reference distribution comes from.

mod file;
mod write;

use tch::{Tensor, no_grad};

pub use file::{Place, TopFile};
pub use write::{Origin, TopTable, write_top};

use super::Unembedding;
use crate::{Adapter, Document, Model, Pack, Result};

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
    /// Packs documents for the trained model and the reference, as [`Model::pack`] does: a prefix that they share is
    /// computed once only if both can do so.
    pub fn pack(&self, model: &Model, documents: &[&Document]) -> Pack {
        let other = if let Self::Model(other) = self { other } else { model };
        let share = model.shares_prefixes() && other.shares_prefixes();
        Pack::new(documents, share, model.device()).targets_only()
    }

    /// The hidden states of the rows that a pack asks for. The model is lent its adapter and gets its own back.
    pub fn forward(&self, model: &mut Model, pack: &Pack, trained: Option<&Adapter>) -> Result<Tensor> {
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
    pub fn unembedding<'a>(&'a self, model: &'a Model) -> Unembedding<'a> {
        match self {
            Self::Model(other) => other.unembedding(),
            _ => model.unembedding(),
        }
    }
}

#[cfg(test)]
mod tests;
