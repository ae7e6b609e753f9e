//! The stream whose key is the SHA-256 of seed and name: for tasks.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// The random numbers of one purpose.
#[derive(Clone, Debug)]
pub struct HashedStream(ChaCha8Rng);

impl HashedStream {
    /// The stream called `name` under `seed`.
    pub fn new(seed: u64, name: &str) -> Self {
        let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
        Self(ChaCha8Rng::from_seed(hash.into()))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on 0..`n`, without bias.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing is below 0");
        let fair = u64::MAX - u64::MAX % n;
        loop {
            let bits = self.bits();
            if bits < fair {
                return bits % n;
            }
        }
    }

    /// Uniform on `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Uniform on [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (f64::EPSILON / 2.0)
    }

    /// Two independent standard normals (Box and Muller, on the pure-Rust `libm`: the same on every machine).
    pub fn normals(&mut self) -> [f64; 2] {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.uniform());
        [radius * cos, radius * sin]
    }

    /// One of them.
    pub fn choose<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len() as u64) as usize]
    }

    /// Puts them in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything generated hangs on these.
    #[test]
    fn first_numbers_stay() {
        let mut stream = HashedStream::new(1, "a");
        let first: Vec<u64> = (0..4).map(|_| stream.below(1000)).collect();
        assert_eq!(first, FIRST);
        assert_ne!(HashedStream::new(2, "a").bits(), HashedStream::new(1, "a").bits());
        assert_ne!(HashedStream::new(1, "b").bits(), HashedStream::new(1, "a").bits());
    }
    const FIRST: [u64; 4] = [559, 861, 751, 923];

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let pairs = 100_000;
        let mut stream = HashedStream::new(3, "moments");
        let draws: Vec<[f64; 2]> = (0..pairs).map(|_| stream.normals()).collect();
        let mean =
            |of: fn([f64; 2]) -> f64| draws.iter().map(|pair| of(*pair)).sum::<f64>() / f64::from(pairs);
        // Each within four standard errors at n = 100,000.
        for coordinate in [|[x, _]: [f64; 2]| x, |[_, y]: [f64; 2]| y] {
            let moment = |power: i32| {
                draws.iter().map(|pair| libm::pow(coordinate(*pair), f64::from(power))).sum::<f64>()
                    / f64::from(pairs)
            };
            assert!(moment(1).abs() < 0.013, "{}", moment(1));
            assert!((moment(2) - 1.0).abs() < 0.018, "{}", moment(2));
            assert!((moment(4) - 3.0).abs() < 0.13, "{}", moment(4));
        }
        assert!(mean(|[x, y]| x * y).abs() < 0.013);
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        HashedStream::new(3, "s").shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
