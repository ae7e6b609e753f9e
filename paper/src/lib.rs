//! The figures of the two papers: **inputs → table → drawing → claims**, and the report that shows them.
//!
//! # The idea
//! A figure is one file in `figures/` that implements [`Figure`]; [`figures::registry`] lists them all.
//!
//! - Its [`table`](Figure::table) is computed through [`Run`], which caches every unit of work under the hash of what
//!   determines it, shows progress, and knows the [`Profile`].
//! - Its [`drawing`](Figure::draw) and its [`claims`](Figure::claims) are pure functions of that table. So what is recorded
//!   in the repository can be drawn and tested again without computing anything.
//!
//! A [`Claim`] is a statement, a test and a [`Verdict`], which the whole 95 % interval decides:
//!
//! ```
//! use tokensieve_paper::{Claim, Estimate, Verdict};
//!
//! let claim = || Claim::new("a-99/gains", "A, figure 99", "Training on the top 25 % beats training on all tokens.");
//! let gain = |low, high| Estimate { value: f64::midpoint(low, high), low, high, n: 3 };
//! assert_eq!(claim().above(0.0, gain(0.1, 0.5), "gain per seed").verdict, Verdict::Holds);
//! assert_eq!(claim().above(0.0, gain(-0.1, 0.5), "gain per seed").verdict, Verdict::Undecided);
//! ```
//!
//! # From a figure to the report
//! | module | what |
//! |---|---|
//! | [`figure`], [`figures`] | what a figure is; one file for each |
//! | [`run`], [`cache`], [`profile`] | units of work, computed once; their size |
//! | [`table`], [`claim`] | rows as CSV; statements, tests, verdicts |
//! | [`engine`] | takes a figure from its inputs to its claims |
//! | [`lab`] | runs of the `tokensieve` program, done once and shared by all figures |
//! | [`planned`] | what studies by a committed plan share: claims, seeds, outcomes, tests |
//! | [`finetune`] | the study of a fine-tuned language model: its plan and its runs |
//! | [`oracle`] | the study in the oracle language: its plan and its runs |
//! | [`proof`] | how often the program's recommendations are right: plan and runs |
//! | [`study`] | language models as they are: whose documents' tokens are scored |
//! | [`tokens`] | tables of tokens, and conversations for the viewer |
//! | [`recorded`], [`provenance`] | tables and verdicts kept in the repository, and where each came from |
//! | [`checkout`] | the clone that is written into |
//! | [`ledger`], [`findings`] | all claims together; what they answer, question by question |
//! | [`moved`] | which figures' numbers are not what they were at another commit |
//! | [`report`], [`readme`], [`manuscript`] | the site, the README's part on results, the paper |
//!
//! The arithmetic lives in `tokensieve-toy` and in the `tokensieve` program; drawing is `tokensieve-plot`.
//! `docs/adding-a-figure.md` is the walk-through.

pub mod book;
pub mod cache;
pub mod checkout;
pub mod claim;
mod code;
pub mod engine;
pub mod figure;
pub mod figures;
pub mod findings;
pub mod finetune;
pub mod lab;
pub mod ledger;
pub mod manuscript;
pub mod moved;
mod named;
pub mod oracle;
mod picture;
pub mod planned;
pub mod profile;
pub mod proof;
pub mod provenance;
mod read;
pub mod readme;
pub mod recorded;
pub mod report;
pub mod run;
pub mod study;
pub mod table;
pub mod tokens;

pub use claim::{Claim, Declared, Evidence, Expected, Verdict, exact};
pub use engine::Made;
pub use figure::{About, Entry, Figure};
pub use profile::Profile;
pub use run::Run;
pub use table::{Column, Table};
pub(crate) use table::{columns, row};
pub use tokensieve_base::statistics::Estimate;
