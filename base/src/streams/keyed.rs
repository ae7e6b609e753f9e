//! The stream whose key is the SHA-256 of name, seed and a counter: for training and generation.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The random numbers of one purpose: by its name, the run's seed and a counter (the epoch, the step).
pub fn keyed(name: &str, seed: u64, counter: u64) -> ChaCha8Rng {
    let hash = Sha256::new().chain_update(name).chain_update([0]);
    let hash = hash.chain_update(seed.to_le_bytes()).chain_update(counter.to_le_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::RngCore;

    use super::*;

    /// The order of training data, dropout's masks and sampled replies hang on these.
    #[test]
    fn first_draws_are_frozen() {
        let mut stream = keyed("frozen", 7, 3);
        assert_eq!([stream.next_u64(), stream.next_u64()], FROZEN);
        let first = |name, seed, counter| keyed(name, seed, counter).next_u64();
        assert_ne!(first("frozen", 7, 4), FROZEN[0]);
        assert_ne!(first("frozen", 8, 3), FROZEN[0]);
        assert_ne!(first("other", 7, 3), FROZEN[0]);
    }
    const FROZEN: [u64; 2] = [382_421_387_730_236_019, 5_022_026_482_919_665_508];
}
