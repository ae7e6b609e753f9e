//! The reference that a configuration names.

use crate::config::{self, Config};
use crate::reads::{Onto, Reads};
use tokensieve_documents::estimates::HashedPath;
use tokensieve_model::head::{Reference, TopFile};
use tokensieve_model::text::{Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Error, Model, Result};

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
            let mut other = Model::load(&checkpoint, model.precision(), model.device())?;
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
            check_whole(config, &file)?;
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

/// Checks that the objective needs no more than the file's tokens. `mass_ref` is read of a model alone. `match =
/// "grad-norm"` compares the sizes of pulls: beyond the file's tokens a label is pulled towards its share of the bucket,
/// and not towards its own probability.
fn check_whole(config: &Config, file: &TopFile) -> Result<()> {
    let (objective, reads) = (&config.objective, Reads::of(&config.objective));
    let has_all = file.is_exact() || file.k() == file.vocabulary();
    let matches = objective.matches_gradient() && objective.distills() && matches!(reads.onto, Onto::All);
    let what = if reads.reference_mass {
        "the objective reads `mass_ref`, which takes a whole prediction"
    } else if matches && !has_all {
        "`match = \"grad-norm\"` needs the size of pulls onto any token"
    } else {
        return Ok(());
    };
    let what = format!(
        "holds only the most probable tokens of each prediction, but {what}; name the reference as reference.adapter or \
         reference.model"
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokensieve_model::head::{Top, TopTable};

    use super::*;

    const VOCABULARY: u32 = 9;

    /// A file of k tokens of a uniform prediction.
    fn file(path: &Path, of: &str, k: usize) -> TopFile {
        let share = 1.0 / VOCABULARY as f32;
        let tails = vec![1.0 - share * k as f32];
        let top = Top { k, ids: (0..k as u32).collect(), probabilities: vec![share; k], tails };
        let mut table = TopTable::new(k);
        table.push([(0, 1)], &[3], [0.5], &top);
        table.write(path, i64::from(VOCABULARY), of, "d").unwrap();
        TopFile::open(path, i64::from(VOCABULARY), "d").unwrap()
    }

    #[test]
    fn a_file_of_the_most_probable_tokens_is_refused_where_the_whole_reference_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("top.safetensors");
        let config = |objective: &str| {
            let text = format!(
                "[data]\ntrain = \"gsm8k\"\n[reference]\ntopk = \"top\"\n[objective]\npreset = \"{objective}\"\n"
            );
            Config::parse(Path::new("my.toml"), &text, &["objective.match=grad-norm".to_owned()]).unwrap()
        };
        let all = VOCABULARY as usize;
        for (objective, reads) in
            [("distill", "`match = \"grad-norm\"` needs"), ("prift-mass", "reads `mass_ref`")]
        {
            let error = check_whole(&config(objective), &file(&path, "hash", 5)).unwrap_err().to_string();
            assert!(error.contains("`reference.topk`: holds only the most probable tokens"), "{error}");
            assert!(error.contains(reads), "{error}");
        }
        for (objective, of, k) in
            [("distill", "hash", all), ("distill", "oracle/train/0", 5), ("rho", "hash", 5)]
        {
            check_whole(&config(objective), &file(&path, of, k)).unwrap();
        }
    }
}
