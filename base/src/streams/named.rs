//! The stream whose number is its name's FNV-1a: for the toy experiments and the intervals of figures.
//!
//! Normal variates come from Box–Muller on the pure-Rust `libm`: a ziggurat's tail calls the platform's logarithm, whose
//! last bit differs between CPUs.

use rand::{Rng as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// One named stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream called `name` under `seed`.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fnv1a(name));
        Self(rng)
    }

    /// Uniform on [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        self.0.r#gen()
    }

    /// Uniform on [`low`, `high`).
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Uniform on 0..`n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.gen_range(0..n)
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// 0..`n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut self.0);
        order
    }
}

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first draws are frozen: a new version of `rand` that moves them would move every figure.
    #[test]
    fn first_draws_are_frozen() {
        let mut stream = Stream::new(7, "frozen");
        let draws =
            [stream.uniform(), stream.normal(), stream.below(1000) as f64, stream.uniform_in(-1.0, 1.0)];
        assert_eq!(draws.map(f64::to_bits), FROZEN, "{draws:?}");
        assert_eq!(Stream::new(7, "frozen").permutation(8), FROZEN_ORDER);
    }
    const FROZEN: [u64; 4] = [
        4_601_531_924_318_024_732,
        4_604_765_067_552_491_570,
        4_637_300_241_308_057_600,
        13_821_684_527_531_992_816,
    ];
    const FROZEN_ORDER: [usize; 8] = [5, 1, 6, 0, 4, 2, 7, 3];

    #[test]
    fn streams_depend_on_seed_and_name_only() {
        let first = |seed, name| Stream::new(seed, name).uniform().to_bits();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let n = 200_000;
        let mut stream = Stream::new(3, "moments");
        let draws: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let moment = |k: i32| draws.iter().map(|x| libm::pow(*x, f64::from(k))).sum::<f64>() / f64::from(n);
        // Standard errors at n = 200,000: 0.0022, 0.0032, 0.0087 and 0.022.
        assert!(moment(1).abs() < 0.009, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.013, "{}", moment(2));
        assert!(moment(3).abs() < 0.035, "{}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.09, "{}", moment(4));
    }
}
