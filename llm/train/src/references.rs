//! The reference that a configuration names.

use tokensieve_base::status;
use tokensieve_objective::Against;

use crate::config::{self, Config};
use crate::reads::{Onto, Reads};
use tokensieve_documents::DataSet;
use tokensieve_documents::estimates::HashedPath;
use tokensieve_model::head::{Reference, TopFile};
use tokensieve_model::text::{Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Error, Model, Result};

/// The key of another model as the reference.
const MODEL: &str = "reference.model";

/// Opens the reference and returns it with its hash; `train` is the training data, `tokenizer` the trained model's. Without
/// a named reference, an objective that compares with the base uses the model without its adapter.
pub(super) fn open(
    config: &Config,
    base: &Checkpoint,
    model: &Model,
    train: &DataSet,
    tokenizer: &Tokenizer,
) -> Result<(Reference, Option<String>)> {
    match &config.reference {
        None if compares_with_base(config) => Ok((Reference::Base, None)),
        None => Ok((Reference::None, None)),
        Some(config::Reference::Adapter(folder)) => {
            let adapter = Adapter::load_on(base, folder, model.device())?;
            Ok((Reference::Adapter(Box::new(adapter)), Some(HashedPath::adapter(folder)?.sha256)))
        }
        Some(config::Reference::Model(source)) => {
            let opened = Checkpoint::open(source);
            let checkpoint = opened.map_err(|error| config.of_model(MODEL, error))?;
            if compares_with_base(config) && checkpoint.hash() != base.hash() {
                return Err(config.wrong(MODEL, format!("is another model than model.source, {BASE}")));
            }
            check_context(MODEL, &checkpoint, train).map_err(|error| config.of_model(MODEL, error))?;
            let mut other = Model::load(&checkpoint, model.precision(), model.device())?;
            share_vocabulary(MODEL, &checkpoint, &mut other, model.config().vocab_size, tokenizer)?;
            Ok((Reference::Model(Box::new(other)), Some(checkpoint.hash())))
        }
        Some(config::Reference::TopK(path)) => {
            let file = TopFile::open(path, model.config().vocab_size, &train.hash)?;
            check_width(config, &file)?;
            check_whole(config, &file)?;
            check_origin(config, &file, &base.hash())?;
            for doubt in doubts(config, &file) {
                status!("warning: {doubt}");
            }
            let hash = file.hash();
            Ok((Reference::TopK(Box::new(file)), Some(hash)))
        }
    }
}

/// Why only the base model's predictions are right, and how to compare with others.
const BASE: &str = "but `against = \"base\"` compares with that model as it is before training; set \
                    objective.against = \"reference\" to compare with another";

fn compares_with_base(config: &Config) -> bool {
    config.objective.against() == Some(Against::Base)
}

/// Checks that a file is of the base model where the objective compares with it; `base` is the base model's hash.
fn check_origin(config: &Config, file: &TopFile, base: &str) -> Result<()> {
    if !compares_with_base(config) {
        return Ok(());
    }
    let own = config.model.precision;
    let what = if file.model != base {
        "holds predictions of another model than model.source".to_owned()
    } else if file.adapter.as_deref().is_some_and(|adapter| !adapter.is_empty()) {
        "holds predictions of an adapter on model.source".to_owned()
    } else if let Some(theirs) = &file.precision
        && theirs.starts_with("nf4") != own.nf4
    {
        format!("holds predictions of model.source in {theirs} and not in {} (model.dtype)", own.name())
    } else {
        return Ok(());
    };
    let what =
        format!("{what}, {BASE}; `tokensieve topk` without --model and --adapter makes the right file");
    Err(config.wrong("reference.topk", what))
}

/// What may be wrong with a file that is used all the same.
fn doubts(config: &Config, file: &TopFile) -> Vec<String> {
    let mut doubts = Vec::new();
    if compares_with_base(config) && (file.adapter.is_none() || file.precision.is_none()) {
        let what = "reference.topk: does not say with which adapter and in which precision it was made, as files of this \
                    version do, and `against = \"base\"` compares with the model without an adapter, in four bits if the \
                    run's is; if in doubt, make it again with `tokensieve topk`";
        doubts.push(what.to_owned());
    }
    if matches!(Reads::of(&config.objective).onto, Onto::All) && !has_all(file) {
        doubts.push(format!(
            "reference.topk: the objective reads the whole prediction, of which the file holds the {} most probable \
             tokens, {:.1} % of the probability on average; all others count as one",
            file.k(),
            100.0 * file.share()
        ));
    }
    doubts
}

/// Whether a file has every token that can occur.
fn has_all(file: &TopFile) -> bool {
    file.is_exact() || file.k() == file.vocabulary()
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
    let matches = objective.matches_gradient() && objective.distills() && matches!(reads.onto, Onto::All);
    let what = if reads.reference_mass {
        "the objective reads `mass_ref`, which takes a whole prediction"
    } else if matches && !has_all(file) {
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

/// Checks that the documents fit into another model's context.
pub(super) fn check_context(key: &str, checkpoint: &Checkpoint, train: &DataSet) -> Result<()> {
    let context = checkpoint.config().max_positions.max(1) as usize;
    let longest = train.documents.iter().max_by_key(|document| document.tokens.len());
    let Some(document) = longest.filter(|document| document.tokens.len() > context) else { return Ok(()) };
    let what = format!(
        "has a context of {context} tokens, but row {} of the training data has {}; set data.max_length = {context}, and \
         data.truncate = \"end\" to cut longer documents, or name a model with a longer context",
        document.row,
        document.tokens.len()
    );
    Err(Error::setting(key, what))
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

    use tokensieve_model::head::{Origin, Top, TopTable};

    use super::*;

    const VOCABULARY: u32 = 9;

    /// A file of k tokens of a uniform prediction, computed in f32.
    fn file(path: &Path, model: &str, adapter: Option<&str>, k: usize) -> TopFile {
        let share = 1.0 / VOCABULARY as f32;
        let tails = vec![1.0 - share * k as f32];
        let top = Top { k, ids: (0..k as u32).collect(), probabilities: vec![share; k], tails };
        let mut table = TopTable::new(k);
        table.push([(0, 1)], &[3], [0.5], &top);
        let origin = Origin { model, adapter, precision: Some("f32"), data: "d" };
        table.write(path, i64::from(VOCABULARY), origin).unwrap();
        TopFile::open(path, i64::from(VOCABULARY), "d").unwrap()
    }

    fn config(objective: &str, set: &[String]) -> Config {
        let text = format!(
            "[data]\ntrain = \"gsm8k\"\n[reference]\ntopk = \"top\"\n[objective]\npreset = \"{objective}\"\n"
        );
        Config::parse(Path::new("my.toml"), &text, set).unwrap()
    }

    #[test]
    fn the_base_is_the_model_without_an_adapter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("top.safetensors");
        let check = |objective: &str, model: &str, adapter| {
            let error = check_origin(&config(objective, &[]), &file(&path, model, adapter, 5), "base").err();
            error.map(|error| error.to_string())
        };
        for (model, adapter, what) in [
            ("base", Some("a"), "holds predictions of an adapter on model.source, but `against = \"base\"`"),
            ("other", None, "holds predictions of another model than model.source, but"),
            ("oracle/train/0", None, "holds predictions of another model than model.source, but"),
        ] {
            let error = check("asft", model, adapter).unwrap();
            assert!(error.contains(&format!("my.toml:4: `reference.topk`: {what}")), "{error}");
            assert!(error.contains("`tokensieve topk` without --model and --adapter"), "{error}");
            assert_eq!(check("distill", model, adapter), None);
        }
        assert_eq!(check("asft", "base", None), None);

        let whole = file(&path, "base", None, VOCABULARY as usize);
        let in_four_bits = |objective| config(objective, &["model.dtype=nf4-f32".to_owned()]);
        let error = check_origin(&in_four_bits("asft"), &whole, "base").unwrap_err().to_string();
        let what = "`reference.topk`: holds predictions of model.source in f32 and not in nf4-f32 (model.dtype), but";
        assert!(error.contains(what), "{error}");
        check_origin(&in_four_bits("distill"), &whole, "base").unwrap();

        assert_eq!(doubts(&config("asft", &[]), &whole), [""; 0]);
        let mut older = whole;
        older.precision = None;
        let [doubt] = &doubts(&config("asft", &[]), &older)[..] else { panic!("it is of unknown origin") };
        assert!(doubt.starts_with("reference.topk: does not say with which adapter"), "{doubt}");
        older.adapter = None;
        check_origin(&in_four_bits("asft"), &older, "base").unwrap();
        assert_eq!(doubts(&config("asft", &[]), &older).len(), 1);
        assert_eq!(doubts(&config("distill", &[]), &older), [""; 0]);
    }

    #[test]
    fn what_a_file_lacks_of_a_prediction_that_is_read_whole_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("top.safetensors");
        let all = VOCABULARY as usize;
        let doubts =
            |objective: &str, model: &str, k| doubts(&config(objective, &[]), &file(&path, model, None, k));
        let [doubt] = &doubts("distill", "hash", 5)[..] else { panic!("it has 5 of 9 tokens") };
        assert!(
            doubt.contains("holds the 5 most probable tokens, 55.6 % of the probability on average"),
            "{doubt}"
        );
        for (objective, model, k) in [
            ("distill", "hash", all),
            ("distill", "oracle/train/0", 5),
            ("truncated-kd", "hash", 5),
            ("rho", "hash", 5),
        ] {
            assert_eq!(doubts(objective, model, k), [""; 0], "{objective}");
        }
    }

    #[test]
    fn a_file_of_the_most_probable_tokens_is_refused_where_the_whole_reference_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("top.safetensors");
        let config = |objective: &str| config(objective, &["objective.match=grad-norm".to_owned()]);
        let file = |of, k| file(&path, of, None, k);
        let all = VOCABULARY as usize;
        for (objective, reads) in
            [("distill", "`match = \"grad-norm\"` needs"), ("prift-mass", "reads `mass_ref`")]
        {
            let error = check_whole(&config(objective), &file("hash", 5)).unwrap_err().to_string();
            assert!(error.contains("`reference.topk`: holds only the most probable tokens"), "{error}");
            assert!(error.contains(reads), "{error}");
        }
        for (objective, of, k) in
            [("distill", "hash", all), ("distill", "oracle/train/0", 5), ("rho", "hash", 5)]
        {
            check_whole(&config(objective), &file(of, k)).unwrap();
        }
    }
}
