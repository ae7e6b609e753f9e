//! The reference that a configuration names.

use super::config::{self, Config};
use crate::head::{Reference, TopFile};
use crate::model::{Adapter, Model};
use crate::weights::Checkpoint;
use crate::{Error, Result};

/// Opens it; `data` is the hash of the data set that is trained on. Where none is named, an objective that wants the
/// base has it: the model without its adapter.
pub(super) fn open(config: &Config, model: &Model, data: &str) -> Result<Reference> {
    let against = config.objective.against();
    match &config.reference {
        None if against == Some(tokensieve_objective::Against::Base) => Ok(Reference::Base),
        None => Ok(Reference::None),
        Some(config::Reference::Adapter(folder)) => {
            Ok(Reference::Adapter(Box::new(Adapter::load(model.config(), folder, model.device())?)))
        }
        Some(config::Reference::Model(source)) => {
            let other = Model::load(&Checkpoint::open(source)?, model.kind(), model.device())?;
            if other.config().vocab_size != model.config().vocab_size {
                return Err(Error::setting("reference.model", "has another vocabulary than the model"));
            }
            Ok(Reference::Model(Box::new(other)))
        }
        Some(config::Reference::TopK(path)) => {
            Ok(Reference::TopK(Box::new(TopFile::open(path, model.config().vocab_size, data)?)))
        }
    }
}
