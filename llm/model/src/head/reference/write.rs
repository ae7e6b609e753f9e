//! Writes a [`TopFile`](super::TopFile).

use std::path::Path;

use tch::{Kind, Tensor, no_grad};

use super::file::{FORMAT, TAILS};
use crate::head::{Head, Rows, Top};
use crate::weights::save_safetensors;
use crate::{Document, Error, Model, Result};

/// What a file's predictions are made from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Hash of the checkpoint, or the name of the language whose distribution it is.
    pub model: &'a str,
    /// Hash of the adapter on the checkpoint.
    pub adapter: Option<&'a str>,
    /// The checkpoint's precision as it was computed with; `None` for a language.
    pub precision: Option<&'a str>,
    /// Hash of the data set.
    pub data: &'a str,
}

/// The most probable tokens of documents' predictions, in memory.
#[derive(Clone, Debug)]
pub struct TopTable {
    rows: Vec<i64>,
    starts: Vec<i64>,
    labels: Vec<i32>,
    label_log_probs: Vec<f32>,
    top: Top,
}

impl TopTable {
    /// An empty table of k tokens for each prediction.
    pub fn new(k: usize) -> Self {
        let top = Top::of(k);
        Self { rows: Vec::new(), starts: vec![0], labels: Vec::new(), label_log_probs: Vec::new(), top }
    }

    /// How many tokens each prediction has.
    pub fn k(&self) -> usize {
        self.top.k
    }

    /// Adds documents: for each its row in the data set and how many tokens it predicts. Of these tokens, document by
    /// document, the labels, their losses in nats, and the most probable tokens in their place.
    pub fn push(
        &mut self,
        documents: impl IntoIterator<Item = (usize, usize)>,
        labels: &[u32],
        losses: impl IntoIterator<Item = f64>,
        top: &Top,
    ) {
        for (row, tokens) in documents {
            self.rows.push(row as i64);
            self.starts.push(self.starts.last().copied().unwrap_or(0) + tokens as i64);
        }
        self.labels.extend(labels.iter().map(|label| *label as i32));
        self.label_log_probs.extend(losses.into_iter().map(|loss| -loss as f32));
        self.top.extend(top);
    }

    /// Writes the file for a model of this vocabulary.
    pub fn write(&self, path: &Path, vocabulary: i64, origin: Origin<'_>) -> Result<()> {
        let ids: Vec<i32> = self.top.ids.iter().map(|id| *id as i32).collect();
        let shape = [self.labels.len() as i64, self.top.k as i64];
        let log = |probabilities: &[f32]| Tensor::from_slice(probabilities).log().to_kind(Kind::Float);
        let tensors = [
            ("rows", Tensor::from_slice(&self.rows)),
            ("starts", Tensor::from_slice(&self.starts)),
            ("labels", Tensor::from_slice(&self.labels)),
            ("label_log_probs", Tensor::from_slice(&self.label_log_probs)),
            ("ids", Tensor::from_slice(&ids).view(shape)),
            ("log_probs", log(&self.top.probabilities).view(shape)),
            (TAILS, log(&self.top.tails)),
        ];
        let vocabulary = vocabulary.to_string();
        let metadata = [
            ("format", FORMAT),
            ("model", origin.model),
            ("adapter", origin.adapter.unwrap_or_default()),
            ("precision", origin.precision.unwrap_or_default()),
            ("data", origin.data),
            ("vocabulary", vocabulary.as_str()),
        ];
        let tensors: Vec<(String, Tensor)> =
            tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        save_safetensors(path, &tensors, &metadata)
    }
}

/// Computes the k most probable tokens of everything that the documents predict, and writes them. Returns k, or the
/// vocabulary's size if that is less.
pub fn write_top(
    path: &Path,
    model: &Model,
    documents: &[&Document],
    k: usize,
    micro_tokens: usize,
    origin: Origin<'_>,
) -> Result<usize> {
    let mut head = Head::default();
    let vocabulary = model.config().vocab_size;
    let mut table = TopTable::new(k.min(vocabulary as usize));
    for members in crate::packs(documents, micro_tokens) {
        let members: Vec<&Document> = members.into_iter().map(|i| documents[i]).collect();
        let pack = model.pack(&members);
        let labels: Vec<u32> = pack.targets.iter().map(|target| target.label).collect();
        let hidden_rd = no_grad(|| model.forward(&pack));
        let asked = Rows { hidden_rd: &hidden_rd, labels: &labels, unembedding: model.unembedding() };
        let (stats, top) = head.statistics_and_top(&asked, table.k());
        for (target, row) in pack.targets.iter().zip(&stats) {
            if !row.is_finite() {
                return Err(Error::not_finite(format!("row {}", members[target.document as usize].row)));
            }
        }
        let predicted = |place: u32| pack.targets.iter().filter(|target| target.document == place).count();
        let each = (0..).zip(&members).map(|(place, document)| (document.row, predicted(place)));
        table.push(each, &labels, stats.iter().map(|row| row.loss), &top);
    }
    table.write(path, vocabulary, origin)?;
    Ok(table.k())
}
