//! What a step knows of its batch's tokens.

use std::ops::Range;

use tokensieve_objective::{Pull, TokenStats};

use super::micro::Micro;

/// All predicted tokens of a batch, document by document.
#[derive(Default)]
pub(super) struct Tokens {
    pub(super) stats: Vec<TokenStats>,
    pub(super) labels: Vec<u32>,
    /// How many tokens each micro-batch has.
    pub(super) micro_batches: Vec<usize>,
    /// −Σ q log p; 0 where no pull onto a reference asks for it.
    pub(super) cross_entropy: Vec<f64>,
    /// The pulls that a fused step found chunk by chunk.
    pub(super) fused_pulls: Vec<Pull>,
}

impl Tokens {
    /// Adds a micro-batch's tokens; returns their place.
    pub(super) fn push(&mut self, micro: &Micro, stats: Vec<TokenStats>) -> Range<usize> {
        let place = self.stats.len()..self.stats.len() + stats.len();
        self.labels.extend_from_slice(&micro.labels);
        self.micro_batches.push(stats.len());
        self.cross_entropy.resize(place.end, 0.0);
        self.stats.extend(stats);
        place
    }

    /// The documents of the first `n` tokens, in their order, each with its tokens' place.
    pub(super) fn documents(&self, n: usize) -> Vec<(usize, Range<usize>)> {
        let mut documents: Vec<(usize, Range<usize>)> = Vec::new();
        for (i, token) in self.stats[..n].iter().enumerate() {
            match documents.last_mut().filter(|(document, _)| *document == token.document as usize) {
                Some((_, place)) => place.end = i + 1,
                None => documents.push((token.document as usize, i..i + 1)),
            }
        }
        documents
    }
}
