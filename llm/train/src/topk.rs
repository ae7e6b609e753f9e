//! A reference's most probable tokens, computed once for the training data of a configuration.

use std::path::Path;

use crate::config::Config;
use crate::load::read;
use crate::references::{check_context, share_vocabulary};
use tokensieve_base::status;
use tokensieve_documents::DataSet;
use tokensieve_documents::estimates::HashedPath;
use tokensieve_kernels::memory;
use tokensieve_model::head::{Origin, write_top};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Document, Error, Model, Result};

/// What a configuration trains on.
#[derive(Debug)]
pub struct TopkData {
    /// The model that is trained.
    pub base: Checkpoint,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The data set in its tokens.
    pub set: DataSet,
}

impl TopkData {
    /// Reads the training data of a configuration.
    pub fn read(config: &Config) -> Result<Self> {
        let base = config.base()?;
        let tokenizer = Tokenizer::open_on(&base, config.date)?;
        let set = read("train", &config.data, &base, &tokenizer)?;
        if let Some(first) = set.skipped.first() {
            let (count, line, reason) = (set.skipped.len(), first.line, &first.reason);
            status!("train: {count} of {} rows left out, the first at line {line}: {reason}", set.rows);
        }
        Ok(Self { base, tokenizer, set })
    }
}

/// How many tokens of each prediction are stored where neither the user nor the objective says (choice).
const USUAL: usize = 20;

/// Writes, for `reference.topk`, the k most probable tokens of everything that `config` trains on: those of `model` (the
/// configuration's own if none is given), with `adapter` if there is one. Without `k`, as many as the objective reads.
/// Returns the number of documents and how many tokens there are of each prediction: the vocabulary has no more.
pub fn write_topk(
    config: &Config,
    model: Option<&str>,
    adapter: Option<&Path>,
    k: Option<usize>,
    path: &Path,
) -> Result<(usize, usize)> {
    memory::keep();
    let wanted = config.objective.top_k();
    let k = k.or(wanted).unwrap_or(USUAL);
    if let Some(wanted) = wanted.filter(|wanted| k < *wanted) {
        let what = format!(
            "the objective of the configuration reads the {wanted} most probable tokens, and {k} would be stored; give \
             -k {wanted}, or set objective.top_k = {k}"
        );
        return Err(Error::setting("-k", what));
    }
    let other = model.map(Checkpoint::open).transpose().map_err(|error| error.model_named_by("--model"))?;
    let TopkData { base, tokenizer, set } = TopkData::read(config)?;
    let checkpoint = other.as_ref().unwrap_or(&base);
    check_context("--model", checkpoint, &set)?;
    let mut model = Model::load(checkpoint, config.model.precision, config.model.device)?;
    share_vocabulary("--model", checkpoint, &mut model, base.config().vocab_size, &tokenizer)?;
    let hashed = adapter.map(HashedPath::adapter).transpose()?;
    if let Some(folder) = adapter {
        let adapter = Adapter::load_on(checkpoint, folder, model.device())?;
        model.attach(Some(&adapter))?;
    }
    let documents: Vec<&Document> = set.documents.iter().collect();
    let origin = Origin {
        model: &checkpoint.hash(),
        adapter: hashed.as_ref().map(|adapter| adapter.sha256.as_str()),
        precision: Some(config.model.precision.name()),
        data: &set.hash,
    };
    let k = write_top(path, &model, &documents, k, config.train.micro_tokens, origin)?;
    Ok((documents.len(), k))
}
