//! In which order documents are trained on: a permutation per epoch, each computable on its own.

use std::sync::Mutex;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use tokensieve_base::streams::keyed;

/// Documents epoch after epoch, each epoch in its own order. Batch follows batch without a gap: one may hold the end of
/// an epoch and the beginning of the next. The last is as short as what is left.
#[derive(Debug)]
pub struct Order {
    documents: usize,
    /// How many there are in all epochs together.
    total: u64,
    /// `None`: as they are in the file.
    seed: Option<u64>,
    /// The epoch asked for last, and its permutation: a resumed run computes it, a running one keeps it.
    latest: Mutex<Option<(u64, Vec<usize>)>>,
}

impl Order {
    /// Shuffled anew in each epoch.
    pub fn new(documents: usize, seed: u64) -> Self {
        Self { documents, total: u64::MAX, seed: Some(seed), latest: Mutex::default() }
    }

    /// As they are in the file, in every epoch.
    pub fn sequential(documents: usize) -> Self {
        Self { documents, total: u64::MAX, seed: None, latest: Mutex::default() }
    }

    /// The same, ending after so many documents.
    #[must_use]
    pub fn until(self, total: u64) -> Self {
        Self { total, ..self }
    }

    /// The documents of a step (counted from 0), computed without those before it.
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
        if let Some(seed) = self.seed {
            let mut random = keyed("data order", seed, epoch);
            // Fisher and Yates.
            for last in (1..order.len()).rev() {
                order.swap(last, below(&mut random, last as u64 + 1) as usize);
            }
        }
        order
    }
}

/// A number from 0 to n−1, each as likely as any other: Lemire's multiplication (arXiv 1805.10941).
fn below(random: &mut ChaCha8Rng, n: u64) -> u64 {
    loop {
        let product = u128::from(random.next_u64()) * u128::from(n);
        // Of 2⁶⁴ draws, 2⁶⁴ mod n too many.
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
    fn without_a_seed_the_files_order_stays() {
        assert_eq!(Order::sequential(3).batch(1, 2), [2, 0]);
        let once = Order::sequential(3).until(3);
        assert_eq!([once.batch(0, 2), once.batch(1, 2), once.batch(2, 2)], [vec![0, 1], vec![2], vec![]]);
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
