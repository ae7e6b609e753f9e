//! The data sets that a configuration names.

use std::{fs, io};

use serde_json::json;
use tokensieve_base::files::{make_folder, write_atomically};
use tokensieve_base::status;
use tokensieve_documents::{DataSet, DataSource, Skipped};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Document, Error, Result};

use crate::config::Config;

/// The sets that a run trains on and evaluates.
pub(crate) struct Data {
    pub(crate) train: DataSet,
    /// Held-out sets by name.
    pub(crate) evaluations: Vec<(String, DataSet)>,
}

impl Data {
    /// Reads the held-out sets beside the one that is trained on.
    pub(crate) fn with_evaluations(
        train: DataSet,
        config: &Config,
        base: &Checkpoint,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let each = config.evaluations.iter();
        let each = each.map(|(name, data)| Ok((name.clone(), read(name, data, base, tokenizer)?)));
        Ok(Self { train, evaluations: each.collect::<Result<_>>()? })
    }

    /// Lists beside the results which rows were left out.
    pub(crate) fn list_skipped(&self, config: &Config) -> Result<()> {
        list_skipped(config, "train", &self.train)?;
        self.evaluations.iter().try_for_each(|(name, set)| list_skipped(config, &format!("eval-{name}"), set))
    }
}

/// Reads a data set, and reports what was cut or replaced.
pub(crate) fn read(
    name: &str,
    data: &DataSource,
    base: &Checkpoint,
    tokenizer: &Tokenizer,
) -> Result<DataSet> {
    let mut source = data.clone();
    let longest = base.config().max_positions.max(1) as usize;
    source.max_length = Some(source.max_length.unwrap_or(longest).min(longest));
    let set = tokensieve_documents::load(&source, tokenizer)?;
    if let Some(why) = &set.substitution {
        status!("{name}: {why}");
    }
    if set.truncated > 0 {
        status!("{name}: {} documents cut at the end", set.truncated);
    }
    Ok(set)
}

/// Why no reply of a data set ends where the model could learn to stop; `None` if one does.
pub(crate) fn never_ends(set: &DataSet, tokenizer: &Tokenizer) -> Option<String> {
    let ends = |document: &Document| {
        let mut tokens = document.tokens.iter().zip(&document.weights);
        tokens.any(|(token, weight)| *weight != 0.0 && tokenizer.eos().contains(token))
    };
    if set.documents.iter().any(ends) {
        return None;
    }
    let names = tokenizer.eos().iter().filter_map(|token| tokenizer.inner().id_to_token(*token));
    let names = names.collect::<Vec<_>>().join(" or ");
    let is_cut = |document: &Document| set.cut_rows.binary_search(&document.row).is_ok();
    Some(if names.is_empty() {
        "the tokenizer names no end-of-text token".to_owned()
    } else if set.documents.iter().all(is_cut) {
        format!("all documents are cut before {names} (data.max_length, data.truncate)")
    } else {
        format!("{names} follows no answer, or has the weight 0 there")
    })
}

/// Writes which rows were left out, if any were.
fn list_skipped(config: &Config, name: &str, set: &DataSet) -> Result<()> {
    let path = config.train.out.join(format!("skipped-{name}.jsonl"));
    if set.skipped.is_empty() {
        // A run that ended before its first checkpoint may have left the rows of other data.
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(&path)(error)),
            _ => Ok(()),
        };
    }
    make_folder(&config.train.out)?;
    let line = |bad: &Skipped| format!("{}\n", json!({ "line": bad.line, "reason": bad.reason }));
    let lines: String = set.skipped.iter().map(line).collect();
    write_atomically(&path, lines.as_bytes())?;
    status!("{name}: {} of {} rows left out; {} lists why", set.skipped.len(), set.rows, path.display());
    Ok(())
}
