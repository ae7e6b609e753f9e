//! The figures of the two papers: **inputs → table → drawing → claims**, and the report that shows them.
//!
//! A figure is one file in `figures/`, implementing [`Figure`]; [`figures::registry`] lists them all.
//! - its [`table`](Figure::table) is computed through [`Run`], which caches every unit of work by the hash of
//!   what determines it, shows progress and knows the [`Profile`];
//! - its [`drawing`](Figure::draw) and its [`claims`](Figure::claims) are pure functions of that table.
//!
//! [`engine::make`] takes a figure through all of it; [`recorded`] compares the result with the tables and
//! verdicts kept in the repository; [`report`] writes the site. `docs/adding-a-figure.md` is the walk-through.

pub mod cache;
pub mod claim;
mod code;
pub mod engine;
pub mod figure;
pub mod figures;
pub mod lab;
pub mod ledger;
pub mod manuscript;
mod named;
pub mod profile;
pub mod provenance;
pub mod readme;
pub mod recorded;
pub mod report;
pub mod run;
pub mod study;
pub mod table;
pub mod tokens;

pub use claim::{Claim, Declared, Expected, Verdict, exact};
pub use engine::Made;
pub use figure::{About, Column, Entry, Figure};
pub use profile::Profile;
pub use run::Run;
pub use table::Table;
pub use tokensieve_base::statistics::Estimate;
