//! A micro-batch: documents that go through the model together, and what the objective reads of their reference.

use tch::Tensor;
use tokensieve_objective::{Pull, TokenStats};

use tokensieve_model::head::{Place, Reference, RowStats, Rows, Top, Unembedding};
use tokensieve_model::{Document, Model, Pack, Target, dropout_keys};

/// Documents packed, with their places in the batch.
pub(super) struct Micro {
    /// Indices in the batch, in order.
    pub(super) documents: Vec<usize>,
    pub(super) pack: Pack,
    pub(super) labels: Vec<u32>,
}

/// What other models predict for a micro-batch's rows.
#[derive(Default)]
pub(super) struct ReferenceStats {
    /// The reference's hidden states, `[R, D]`.
    pub(super) hidden_rd: Option<Tensor>,
    /// The reference's most probable tokens.
    pub(super) top: Option<Top>,
    /// The labels' losses under the reference.
    pub(super) reference_losses: Option<Vec<f64>>,
    /// The probability under the reference of all tokens no more probable there than the label.
    pub(super) reference_masses: Option<Vec<f64>>,
    /// The labels' losses under the model as it was before training.
    pub(super) base_losses: Option<Vec<f64>>,
}

/// The indices of the documents that have a token to predict.
pub(super) fn predicting(batch: &[&Document]) -> Vec<usize> {
    let predicts = |document: &Document| document.weights.iter().skip(1).any(|weight| *weight != 0.0);
    (0..batch.len()).filter(|index| predicts(batch[*index])).collect()
}

/// A predicted token of one of the batch's documents as the data have it: place, weight and what was precomputed. The
/// model's statistics are still missing.
pub(super) fn known(
    batch: &[&Document],
    document: usize,
    position: u32,
    weight: f32,
    vocabulary: i64,
) -> TokenStats {
    let precomputed = &batch[document].precomputed;
    let at = |values: &Option<Vec<f64>>| values.as_ref()?.get(position as usize).copied();
    TokenStats {
        base_loss: at(&precomputed.base_loss),
        bald: at(&precomputed.bald),
        advantage: precomputed.advantage,
        score: at(&precomputed.scores),
        weight: f64::from(weight),
        vocabulary: vocabulary as u32,
        document: document as u32,
        position,
        ..TokenStats::new(f64::NAN, f64::NAN)
    }
}

impl Micro {
    /// Packs documents of a batch for a model and its reference.
    pub(super) fn new(
        batch: &[&Document],
        documents: Vec<usize>,
        model: &Model,
        reference: &Reference,
    ) -> Self {
        let members: Vec<&Document> = documents.iter().map(|index| batch[*index]).collect();
        let pack = reference.pack(model, &members);
        let labels = pack.targets.iter().map(|target| target.label).collect();
        Self { documents, pack, labels }
    }

    /// The keys of its rows' dropout masks in a step: a document's keys do not depend on what it is packed with.
    pub(super) fn keys(&self, batch: &[&Document], seed: u64) -> Vec<u64> {
        let of_documents = self.documents.iter().map(|index| dropout_keys(seed, &batch[*index].tokens));
        self.pack.layout.rows(of_documents)
    }

    /// Hidden states of the rows that count, as the head takes them.
    pub(super) fn rows<'a>(&'a self, hidden_rd: &'a Tensor, unembedding: Unembedding<'a>) -> Rows<'a> {
        Rows { hidden_rd, labels: &self.labels, unembedding }
    }

    /// Where the predicted tokens lie in the data set.
    pub(super) fn places(&self, batch: &[&Document]) -> Vec<Place> {
        let place = |target: &Target| {
            let Document { row, index_in_row: part, .. } = *batch[self.documents[target.document as usize]];
            Place { row, part, position: target.position as usize, label: target.label }
        };
        self.pack.targets.iter().map(place).collect()
    }

    /// Which documents have a pull; `None` if all have.
    pub(super) fn pulled(&self, pulls: &[Pull]) -> Option<Vec<bool>> {
        let mut pulled = vec![false; self.documents.len()];
        for (target, pull) in self.pack.targets.iter().zip(pulls) {
            pulled[target.document as usize] |= !pull.is_zero();
        }
        pulled.contains(&false).then_some(pulled)
    }

    /// The statistics of some of its rows as the objective reads them.
    pub(super) fn tokens(
        &self,
        rows: std::ops::Range<usize>,
        stats: &[RowStats],
        reference: &ReferenceStats,
        batch: &[&Document],
        vocabulary: i64,
    ) -> Vec<TokenStats> {
        let one = |(i, stats): (usize, &RowStats)| {
            let target = &self.pack.targets[i];
            let document = self.documents[target.document as usize];
            let known = known(batch, document, target.position, target.weight, vocabulary);
            let of_row = |values: &Option<Vec<f64>>| values.as_ref().map(|values| values[i]);
            TokenStats {
                loss: stats.loss,
                entropy: stats.entropy,
                top_entropy: (!stats.top_entropy.is_nan()).then_some(stats.top_entropy),
                concentration: stats.concentration(),
                reference_loss: of_row(&reference.reference_losses),
                reference_mass: of_row(&reference.reference_masses),
                divergence: stats.divergence,
                base_loss: known.base_loss.or_else(|| of_row(&reference.base_losses)),
                ..known
            }
        };
        rows.zip(stats).map(one).collect()
    }
}
