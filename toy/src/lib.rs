//! The toy experiments of both papers: small enough to be exact, and **bit-identical** on every x86-64 and aarch64 machine
//! and for any number of threads.
//!
//! # One experiment
//! Every experiment is one module with these public items, the types named after it ([`ordering::OrderingConfig`]):
//!
//! - its configuration: everything that determines the result (sizes, seeds, rates). `Default` is the full protocol,
//!   `smoke()` the same on tiny inputs;
//! - its row: one line of the figure's table, with fields named with units;
//! - `run`, from the one to a list of the other; or, where a figure keeps each seed's outcomes, `seed`, from a configuration
//!   to the outcomes of one seed, and `summarise`, from those of all seeds to the rows.
//!
//! ```
//! use tokensieve_toy::gradient_weight;
//!
//! // How hard objectives of the family (1 − p^α)/α pull on a label of probability p.
//! for row in gradient_weight::run(&Default::default())? {
//!     if let Some(expected) = row.closed_form {
//!         assert!((row.weight - expected).abs() < 1e-12); // p^α·(1 − p)
//!     }
//! }
//! # Ok::<(), tokensieve_toy::Error>(())
//! ```
//!
//! # The experiments
//! | module | what | figure |
//! |---|---|---|
//! | [`polynomial`] | which datum helps, by its two uncertainties and the distance from the solution | A, 2C |
//! | [`regression`] | linear regression on a subset of the data or of the coordinates | A, 11 |
//! | [`bands`] | a classifier trained on one tenth of each batch, by rank of loss | A, 12 |
//! | [`label_noise_uncertainty`] | which examples help early and late, by kind of uncertainty | A, section 3 |
//! | [`ordering`] | policy gradient, distillation and maximum likelihood where everything is known | A, B.1 |
//! | [`gradient_weight`] | how hard an objective pulls on a label of probability p | B |
//! | [`identity`] | what one step of one objective gains over another, exactly | B |
//! | [`crossover`] | where −p starts to beat −log p: mass on the truth × noise rate | B |
//! | [`continuum`] | fine-tuning under label noise from a weak to a strong model | B |
//! | [`seam`] | which band of probability to train on × capability × label noise | both |
//! | [`map`] | who is right: what is new × what cannot be known × what is wrong, measured and predicted | both |
//!
//! They share [`domain`] and [`finetune`] (a small domain with wrong labels, and the fine-tuning loop), [`images`] and
//! [`mlp`] (MNIST and a multilayer perceptron), [`objectives`] (all built by `tokensieve-objective`), [`subset`],
//! [`softmax`] and [`linalg`].
//!
//! # What keeps the bits identical
//! - Sums run in one fixed order; parallel work is split by index and joined in index order.
//! - A product-sum that needs speed uses `mul_add`, which rounds once on every machine.
//! - Transcendental functions come from the pure-Rust `libm` crate.
//! - Random numbers come from streams addressed by seed and name, never by call order or thread.
//!
//! `toy/clippy.toml` forbids the calls that would break this (`ndarray`'s `dot`, `f64::exp`, …) and says what to use
//! instead. `./just bits` compares the bits between processors, under emulation.

pub mod bands;
pub mod continuum;
pub mod crossover;
pub mod domain;
pub mod finetune;
pub mod gradient_weight;
pub mod identity;
pub mod images;
pub mod label_noise_uncertainty;
pub mod linalg;
pub mod map;
pub mod mlp;
pub mod objectives;
pub mod ordering;
pub mod polynomial;
pub mod regression;
pub mod seam;
pub mod softmax;
pub mod subset;

mod error;

use std::ops::Range;

use rayon::prelude::*;

pub use error::Error;

/// What each of these seeds gives, in their order.
pub(crate) fn over_seeds<T: Send>(
    seeds: Range<u64>,
    of: impl Fn(u64) -> Result<T, Error> + Send + Sync,
) -> Result<Vec<T>, Error> {
    seeds.into_par_iter().map(of).collect()
}

/// What a computation gives on so many threads: the same on any number.
#[cfg(test)]
pub(crate) fn on_threads<T: Send>(threads: usize, compute: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(compute)
}
