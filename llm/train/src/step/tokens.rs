//! What a step knows of its batch's tokens.

use std::ops::Range;

use tokensieve_model::Document;
use tokensieve_objective::{Pull, TokenStats};

use super::micro::{Micro, known};

/// All predicted tokens of a batch, document by document. Where several processes share the batch, each fills in the
/// tokens of its own documents and receives the others' statistics.
pub(super) struct Tokens {
    pub(super) stats: Vec<TokenStats>,
    pub(super) labels: Vec<u32>,
    /// How many tokens each micro-batch of the whole batch has.
    pub(super) micro_batches: Vec<usize>,
    /// −Σ q log p; 0 where no pull onto a reference asks for it.
    pub(super) distance: Vec<f64>,
    /// The pulls that a fused step found chunk by chunk.
    pub(super) fused_pulls: Vec<Pull>,
    /// Where each of the batch's documents' tokens stand.
    documents: Vec<Range<usize>>,
}

impl Tokens {
    /// The tokens of a batch that these micro-batches make up, before anything is computed.
    pub(super) fn new(batch: &[&Document], micro_batches: &[Vec<usize>], vocabulary: i64) -> Self {
        let (mut stats, mut labels) = (Vec::new(), Vec::new());
        let mut documents = Vec::with_capacity(batch.len());
        for (index, document) in batch.iter().enumerate() {
            let each = document.tokens.iter().zip(&document.weights).skip(1);
            let predicted = each.filter(|(_, weight)| **weight != 0.0);
            let start = stats.len();
            for (position, (label, weight)) in (0..).zip(predicted) {
                labels.push(*label);
                stats.push(known(batch, index, position, *weight, vocabulary));
            }
            documents.push(start..stats.len());
        }
        let length = |micro: &Vec<usize>| micro.iter().map(|document| documents[*document].len()).sum();
        Self {
            micro_batches: micro_batches.iter().map(length).collect(),
            distance: vec![0.0; stats.len()],
            fused_pulls: vec![Pull::default(); stats.len()],
            stats,
            labels,
            documents,
        }
    }

    /// Where a document's tokens stand.
    pub(super) fn of(&self, document: usize) -> Range<usize> {
        self.documents[document].clone()
    }

    /// Where the tokens of documents stand.
    pub(super) fn places(&self, documents: &[usize]) -> Vec<usize> {
        documents.iter().flat_map(|document| self.of(*document)).collect()
    }

    /// Fills in a micro-batch's statistics.
    pub(super) fn put(&mut self, micro: &Micro, stats: Vec<TokenStats>) {
        for (place, stats) in self.places(&micro.documents).into_iter().zip(stats) {
            self.stats[place] = stats;
        }
    }

    /// Fills in what a pass computed of the tokens at these places.
    pub(super) fn put_computed(&mut self, places: &[usize], computed: &Computed) {
        for (i, place) in places.iter().enumerate() {
            self.stats[*place] = computed.stats[i];
            self.fused_pulls[*place] = computed.pulls[i];
            self.distance[*place] = computed.distance[i];
        }
    }
}

/// What became known of a micro-batch's tokens, in their order.
#[derive(Default)]
pub(super) struct Computed {
    pub(super) stats: Vec<TokenStats>,
    pub(super) pulls: Vec<Pull>,
    pub(super) distance: Vec<f64>,
}
