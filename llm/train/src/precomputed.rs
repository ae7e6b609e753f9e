//! Values known before training (`base_loss`, `bald`, `advantage`, `score`), for objectives that read them.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokensieve_objective::Variable;

use crate::config::Config;
use crate::reads::Reads;
use tokensieve_documents::DataSet;
use tokensieve_documents::estimates::{DocumentRecord, PosteriorSettings, Reader};
use tokensieve_model::{Document, Error, Precomputed, Result};

/// Attaches the configuration's estimates to the documents, and checks that each document has what the objective reads.
/// Returns the SHA-256 of the estimates' numbers.
pub(super) fn complete(config: &Config, set: &mut DataSet, model: &str) -> Result<Option<String>> {
    let estimates = config.uncertainty.as_ref();
    let hash = estimates
        .map(|path| attach(path, &mut set.documents, model, config.model.precision.nf4))
        .transpose()?;
    if let Some(path) = estimates {
        let bald = config.objective.reads(Variable::Bald);
        // Full fine-tuning has no base model to compute it with; otherwise a file that does not serve for it may serve for
        // `bald`.
        let of_base = Reads::of(&config.objective).base_loss && (config.lora.is_none() || !bald);
        let lacks = |precomputed: &Precomputed| {
            if bald && precomputed.bald.is_none() {
                Some(
                    "no `bald`, which the objective reads: `tokensieve uncertainty` writes it with --passes of 2 or more and a --rate above 0, or of two --adapters or more",
                )
            } else if of_base && precomputed.base_loss.is_none() {
                Some(
                    "no `base_loss`, which the objective reads: the file must be of the model that is trained, in four bits if that is, and written without --adapter and --adapters",
                )
            } else {
                None
            }
        };
        if let Some((row, what)) =
            set.documents.iter().find_map(|document| Some((document.row, lacks(&document.precomputed)?)))
        {
            return Err(Error::file(path, format!("row {row} has {what}")));
        }
    }
    let lacks = |precomputed: &Precomputed| {
        if config.objective.reads(Variable::Advantage) && precomputed.advantage.is_none() {
            Some("no `advantage`")
        } else if config.objective.reads(Variable::Score) && precomputed.scores.is_none() {
            Some("no `token_scores` of every response")
        } else {
            None
        }
    };
    let of_row = |document: &Document| Some((document.row, lacks(&document.precomputed)?));
    if let Some((row, what)) = set.documents.iter().find_map(of_row) {
        return Err(Error::file(&set.path, format!("row {row} has {what}, which the objective reads")));
    }
    Ok(hash)
}

/// Attaches a file's estimates to their documents; `model` is the hash of the model that is trained, with matrices in four
/// bits or whole.
fn attach(path: &Path, documents: &mut [Document], model: &str, nf4: bool) -> Result<String> {
    let mut lines = Reader::open(path)?;
    let header = lines.header();
    let alike = header.model_sha256 == model && header.precision.starts_with("nf4") == nf4;
    let has_adapter =
        header.adapter.is_some() || matches!(header.posterior, PosteriorSettings::Adapters { .. });
    let of_base = alike && !has_adapter;
    // One prediction has no spread: all tokens would be alike, and which are selected would be decided by their order.
    let is_spread = header.posterior.passes() > 1;
    // A conversation may be several documents of one row.
    let mut by_row = HashMap::<usize, Vec<DocumentRecord>>::new();
    while let Some(record) = lines.next_document()? {
        by_row.entry(record.row).or_default().push(record);
    }
    let mut hash = Sha256::new();
    for document in documents {
        let row = document.row;
        let records = by_row.get(&row).ok_or_else(|| {
            Error::file(path, format!("holds no estimates of row {row} of the training data"))
        })?;
        let found = records.iter().find_map(|record| estimates(record, document));
        let found =
            found.ok_or_else(|| {
                let what = format!(
                    "its tokens of row {row} are not those of the training data: it was made from other data or with another chat template"
                );
                Error::file(path, what)
            })?;
        let base_loss = found.base_loss.filter(|_| of_base);
        let bald = found.bald.filter(|_| is_spread);
        for number in [&bald, &base_loss].into_iter().flatten().flatten() {
            hash.update(number.to_le_bytes());
        }
        document.precomputed.bald = bald;
        document.precomputed.base_loss = base_loss;
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// A record's values, if the record is of this document, which may have been cut at the end.
fn estimates(record: &DocumentRecord, document: &Document) -> Option<Precomputed> {
    let tokens = record.tokens.get(..document.tokens.len())?;
    let ids = tokens.iter().map(|token| token.id);
    let counts = document.weights.iter().map(|weight| *weight != 0.0);
    if !ids.eq(document.tokens.iter().copied()) || !tokens.iter().map(|token| token.response).eq(counts) {
        return None;
    }
    let predicted = || tokens.iter().filter(|token| token.response);
    Some(Precomputed {
        bald: predicted().map(|token| token.epistemic.map(f64::from)).collect(),
        base_loss: predicted().map(|token| token.loss.map(f64::from)).collect(),
        ..Precomputed::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokensieve_documents::estimates::{DropoutSettings, HashedPath, Header, TokenRecord, Writer};

    fn record() -> DocumentRecord {
        let prompt = |id| TokenRecord { id, ..TokenRecord::default() };
        let response = |id, loss, epistemic| {
            let (loss, epistemic) = (Some(loss), Some(epistemic));
            TokenRecord { id, response: true, loss, epistemic, ..TokenRecord::default() }
        };
        DocumentRecord {
            row: 0,
            tokens: vec![prompt(5), prompt(6), response(7, 1.0, 0.25), response(8, 2.0, 0.5)],
        }
    }

    fn document(tokens: &[u32], weights: &[f32]) -> Document {
        let (tokens, weights) = (tokens.to_vec(), weights.to_vec());
        Document { row: 0, index_in_row: 0, tokens, weights, precomputed: Precomputed::default() }
    }

    #[test]
    fn the_base_loss_is_of_the_model_without_adapters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.jsonl");
        let hashed = || HashedPath { path: "a".to_owned(), sha256: "0".to_owned() };
        let complete = |objective: &str, set: &[&str], adapter, posterior| {
            let _ = std::fs::remove_file(&path);
            let header = Header {
                model: "m".to_owned(),
                model_sha256: "base".to_owned(),
                adapter,
                precision: "f32".to_owned(),
                data: "d".to_owned(),
                split: None,
                data_sha256: "1".to_owned(),
                documents: 1,
                top: 0,
                posterior,
            };
            Writer::open(&path, &header).unwrap().write(&record()).unwrap();
            let uncertainty = format!("data.uncertainty={}", path.display());
            let set: Vec<String> =
                set.iter().copied().chain([uncertainty.as_str()]).map(str::to_owned).collect();
            let text =
                format!("objective = {objective}\n[data]\ntrain = \"gsm8k\"\n[model]\ndtype = \"f32\"\n");
            let config = Config::parse(Path::new("my.toml"), &text, &set).unwrap();
            let documents = vec![document(&[5, 6, 7, 8], &[0.0, 0.0, 1.0, 1.0])];
            let mut set = DataSet { documents, ..DataSet::default() };
            super::complete(&config, &mut set, "base").map(|_| set.documents.remove(0).precomputed)
        };
        let ensemble = || PosteriorSettings::Adapters { adapters: vec![hashed(), hashed()] };
        let (by_base, full) = ("\"prift-prob\"", &["train.full=true"][..]);
        for set in [full, &[]] {
            let found = complete(by_base, set, None, PosteriorSettings::None).unwrap();
            assert_eq!(found.base_loss, Some(vec![1.0, 2.0]));
            for (adapter, posterior) in
                [(Some(hashed()), PosteriorSettings::None), (None, ensemble()), (Some(hashed()), ensemble())]
            {
                let error = complete(by_base, set, adapter, posterior).unwrap_err().to_string();
                assert!(error.contains("u.jsonl: row 0 has no `base_loss`"), "{error}");
                assert!(error.contains("written without --adapter and --adapters"), "{error}");
            }
        }
        // With an adapter in training the base model computes what the file does not have.
        let both = "{ selected = \"-bald * base_loss * log p\" }";
        let found = complete(both, &[], None, ensemble()).unwrap();
        assert_eq!((found.bald, found.base_loss), (Some(vec![0.25, 0.5]), None));
        // A single prediction has no spread.
        let dropout = |passes, rate| {
            PosteriorSettings::Dropout(DropoutSettings { passes, rate, ..DropoutSettings::default() })
        };
        assert!(complete("\"bald\"", &[], None, dropout(2, 0.1)).is_ok());
        let single = PosteriorSettings::Adapters { adapters: vec![hashed()] };
        for posterior in [dropout(1, 0.1), dropout(2, 0.0), single] {
            let error = complete("\"bald\"", &[], None, posterior).unwrap_err().to_string();
            assert!(error.contains("row 0 has no `bald`") && error.contains("--passes of 2"), "{error}");
        }
    }

    #[test]
    fn estimates_belong_to_documents_with_the_same_tokens() {
        let expected = |bald: &[f64], losses: &[f64]| {
            let (bald, base_loss) = (Some(bald.to_vec()), Some(losses.to_vec()));
            Some(Precomputed { bald, base_loss, ..Precomputed::default() })
        };
        let of = |tokens, weights| estimates(&record(), &document(tokens, weights));
        assert_eq!(of(&[5, 6, 7, 8], &[0.0, 0.0, 1.0, 0.5]), expected(&[0.25, 0.5], &[1.0, 2.0]));
        assert_eq!(of(&[5, 6, 7], &[0.0, 0.0, 1.0]), expected(&[0.25], &[1.0]));
        assert_eq!(of(&[5, 6, 9, 8], &[0.0, 0.0, 1.0, 1.0]), None);
        assert_eq!(of(&[5, 6, 7, 8], &[0.0, 0.0, 0.0, 1.0]), None);
        assert_eq!(of(&[5, 6, 7, 8, 9], &[0.0, 0.0, 1.0, 1.0, 1.0]), None);
    }
}
