//! The reference that a configuration names.

use super::config::{self, Config};
use crate::head::{Reference, TopFile};
use crate::model::{Adapter, Model};
use crate::uncertainty::Named;
use crate::weights::Checkpoint;
use crate::{Error, Result};

/// Opens it, and says its hash; `data` is the hash of the data set that is trained on. Where none is named, an objective
/// that wants the base has it: the model without its adapter.
pub(super) fn open(config: &Config, model: &Model, data: &str) -> Result<(Reference, Option<String>)> {
    let against = config.objective.against();
    match &config.reference {
        None if against == Some(tokensieve_objective::Against::Base) => Ok((Reference::Base, None)),
        None => Ok((Reference::None, None)),
        Some(config::Reference::Adapter(folder)) => {
            let adapter = Adapter::load(model.config(), folder, model.device())?;
            Ok((Reference::Adapter(Box::new(adapter)), Some(Named::adapter(folder)?.sha256)))
        }
        Some(config::Reference::Model(source)) => {
            let checkpoint = Checkpoint::open(source)?;
            let other = Model::load(&checkpoint, model.kind(), model.device())?;
            if other.config().vocab_size != model.config().vocab_size {
                return Err(Error::setting("reference.model", "has another vocabulary than the model"));
            }
            Ok((Reference::Model(Box::new(other)), Some(checkpoint.hash())))
        }
        Some(config::Reference::TopK(path)) => {
            let file = TopFile::open(path, model.config().vocab_size, data)?;
            let hash = file.hash();
            Ok((Reference::TopK(Box::new(file)), Some(hash)))
        }
    }
}
