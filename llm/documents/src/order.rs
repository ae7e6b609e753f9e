//! The order in which documents are trained on: one permutation per epoch, each computed independently of the others.

use std::sync::Mutex;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use tokensieve_base::streams::keyed;

/// Documents epoch after epoch, each epoch in its own order. Batches follow each other without gaps: a batch may hold the
/// end of one epoch and the beginning of the next, and the last batch may be shorter.
#[derive(Debug)]
pub struct Order {
    documents: usize,
    /// Number of documents in all epochs together.
    total: u64,
    seed: u64,
    /// The most recent epoch and its permutation, kept so that only a new epoch computes it.
    latest: Mutex<Option<(u64, Vec<usize>)>>,
}

impl Order {
    /// A new permutation for each epoch.
    pub fn new(documents: usize, seed: u64) -> Self {
        Self { documents, total: u64::MAX, seed, latest: Mutex::default() }
    }

    /// This order, ending after `total` documents.
    #[must_use]
    pub fn until(self, total: u64) -> Self {
        Self { total, ..self }
    }

    /// The documents of a step (counted from 0), independent of earlier calls.
    pub fn batch(&self, step: u64, batch_size: usize) -> Vec<usize> {
        let (n, size) = (self.documents as u64, batch_size as u64);
        if n == 0 {
            return Vec::new();
        }
        let mut latest = self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let end = step.saturating_add(1).saturating_mul(size).min(self.total);
        (step.saturating_mul(size)..end)
            .map(|place| {
                let epoch = place / n;
                if latest.as_ref().is_none_or(|(of, _)| *of != epoch) {
                    *latest = Some((epoch, self.permutation(epoch)));
                }
                let index = (place % n) as usize;
                latest.as_ref().map_or(index, |(_, permutation)| permutation[index])
            })
            .collect()
    }

    /// The order of one epoch (counted from 0).
    pub fn permutation(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.documents).collect();
        let mut random = keyed("data order", self.seed, epoch);
        // Fisher–Yates shuffle.
        for last in (1..order.len()).rev() {
            order.swap(last, below(&mut random, last as u64 + 1) as usize);
        }
        order
    }
}

/// A uniformly distributed integer from 0 to n−1, by Lemire's multiplication (arXiv 1805.10941).
fn below(random: &mut ChaCha8Rng, n: u64) -> u64 {
    loop {
        let product = u128::from(random.next_u64()) * u128::from(n);
        // Rejects 2⁶⁴ mod n of the 2⁶⁴ values, so that the rest divides evenly.
        if product as u64 >= n.wrapping_neg() % n {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_orders_are_frozen() {
        let orders = [(0, 0), (0, 1), (1, 0)].map(|(seed, epoch)| Order::new(8, seed).permutation(epoch));
        let expected = [[6, 5, 4, 7, 3, 0, 1, 2], [4, 2, 6, 7, 1, 3, 5, 0], [6, 3, 5, 7, 4, 0, 1, 2]];
        assert_eq!(orders, expected);
    }

    #[test]
    fn an_order_ends_after_its_total() {
        let (order, ending) = (Order::new(3, 0), Order::new(3, 0).until(4));
        let batches = [0, 1, 2].map(|step| ending.batch(step, 3));
        assert_eq!(batches, [order.batch(0, 3), order.batch(3, 1), vec![]]);
        assert!(Order::new(0, 0).batch(5, 4).is_empty());
    }

    proptest! {
        #[test]
        fn every_epoch_has_every_document_once(n in 1_usize..40, size in 1_usize..9, seed: u64) {
            let order = Order::new(n, seed);
            let steps = (2 * n).div_ceil(size) as u64;
            let all: Vec<usize> = (0..steps).flat_map(|step| order.batch(step, size)).collect();
            for epoch in all.chunks_exact(n) {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                prop_assert!(sorted.into_iter().eq(0..n));
            }
            // Resumed anywhere, the run goes on the same way.
            for step in (0..steps).rev() {
                let at = step as usize * size;
                prop_assert_eq!(&Order::new(n, seed).batch(step, size), &all[at..at + size]);
            }
        }
    }
}
