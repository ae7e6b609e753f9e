//! The toy experiments of both papers, in plain Rust on `ndarray` containers, **bit-identical** on every
//! x86-64 and aarch64 machine and for any number of threads.
//!
//! Every experiment is one module with three public items, named after it, as in [`ordering`]:
//! - [`OrderingConfig`](ordering::OrderingConfig): everything that determines the result (sizes, seeds, rates); `Default`
//!   is the full protocol, `smoke()` a version of seconds;
//! - [`OrderingRow`](ordering::OrderingRow): one row of the figure's table;
//! - [`run`](ordering::run): from the one to the others.
//!
//! What keeps the bits identical:
//! - sums run in one fixed order; parallel work is split by index and joined in index order;
//! - a product-sum that wants speed uses `mul_add`, which rounds once on every machine;
//! - transcendental functions come from the pure-Rust `libm` crate;
//! - random numbers come from [`Stream`](tokensieve_base::streams::Stream), addressed by name.
//!
//! `toy/clippy.toml` forbids the calls that would break this (`ndarray`'s `dot`, `f64::exp`, …).

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
pub mod mlp;
pub mod objectives;
pub mod ordering;
pub mod polynomial;
pub mod regression;
pub mod seam;
pub mod softmax;
pub mod subset;

mod error;

pub use error::Error;
