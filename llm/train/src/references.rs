//! The reference that a configuration names.

use crate::config::{self, Config};
use tokensieve_documents::estimates::HashedPath;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::head::{Reference, TopFile};
use tokensieve_model::text::{Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Model};

/// Opens the reference and returns it with its hash; `data` is the hash of the training data, `tokenizer` the trained
/// model's. Without a named reference, an objective that compares with the base uses the model without its adapter.
pub(super) fn open(
    config: &Config,
    base: &Checkpoint,
    model: &Model,
    data: &str,
    tokenizer: &Tokenizer,
) -> Result<(Reference, Option<String>)> {
    let against = config.objective.against();
    match &config.reference {
        None if against == Some(tokensieve_objective::Against::Base) => Ok((Reference::Base, None)),
        None => Ok((Reference::None, None)),
        Some(config::Reference::Adapter(folder)) => {
            let adapter = Adapter::load_on(base, folder, model.device())?;
            Ok((Reference::Adapter(Box::new(adapter)), Some(HashedPath::adapter(folder)?.sha256)))
        }
        Some(config::Reference::Model(source)) => {
            let opened = Checkpoint::open(source);
            let checkpoint = opened.map_err(|error| config.of_model("reference.model", error))?;
            let mut other = Model::load(&checkpoint, model.kind(), model.device())?;
            share_vocabulary(
                "reference.model",
                &checkpoint,
                &mut other,
                model.config().vocab_size,
                tokenizer,
            )?;
            Ok((Reference::Model(Box::new(other)), Some(checkpoint.hash())))
        }
        Some(config::Reference::TopK(path)) => {
            let file = TopFile::open(path, model.config().vocab_size, data)?;
            check_width(config, &file)?;
            let hash = file.hash();
            Ok((Reference::TopK(Box::new(file)), Some(hash)))
        }
    }
}

/// Checks that a file has as many tokens of each prediction as the objective reads: with fewer, the rest of the
/// distribution would be another bucket than the configuration says. A file of an artificial language has all that can occur.
fn check_width(config: &Config, file: &TopFile) -> Result<()> {
    let vocabulary = file.vocabulary();
    let wanted = config.objective.top_k().map(|wanted| wanted.min(vocabulary));
    let Some(wanted) = wanted.filter(|wanted| file.k() < *wanted && !file.is_exact()) else { return Ok(()) };
    let what = format!(
        "holds the {k} most probable tokens of each prediction, but the objective reads {wanted} (top_k); make it with \
         `tokensieve topk -k {wanted}`, or set objective.top_k = {k}",
        k = file.k()
    );
    Err(config.wrong("reference.topk", what))
}

/// Checks that another model has the tokens of the trained model, and cuts its vocabulary to the same size. If the folder
/// has no tokenizer, only the sizes are compared.
pub(super) fn share_vocabulary(
    key: &str,
    checkpoint: &Checkpoint,
    other: &mut Model,
    rows: i64,
    tokenizer: &Tokenizer,
) -> Result<()> {
    if let Ok(theirs) = Tokenizer::open_on(checkpoint, Moment::default()) {
        let ours = tokenizer.inner().get_vocab(true);
        let differs = |(token, id): &(&String, &u32)| {
            theirs.inner().token_to_id(token).is_some_and(|other| other != **id)
        };
        // The smallest id, so that the message is the same each time.
        if let Some((token, id)) = ours.iter().filter(differs).min_by_key(|(_, id)| **id) {
            let there = theirs.inner().token_to_id(token).unwrap_or_default();
            let what = format!(
                "has another tokenizer than the trained model: `{token}` is token {there} there and {id} here"
            );
            return Err(Error::setting(key, what));
        }
    }
    let found = other.config().vocab_size;
    if found < rows {
        let what = format!("has a vocabulary of {found}, the trained model one of {rows}");
        return Err(Error::setting(key, what));
    }
    other.truncate_vocabulary(rows);
    Ok(())
}
