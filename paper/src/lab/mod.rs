//! The lab: work of the `tokensieve` program (training, evaluation, uncertainty), done once and shared by all figures.
//!
//! A [`Job`] is a verb of that program with settings, input files and results of other jobs. What determines its
//! numbers is hashed, code included, and the hash names the folder of its result: `out/lab/HASH/`. A figure asks
//! [`Run::job`](crate::Run::job) for a job and gets that folder; the first caller has it computed, with the jobs
//! that it needs. [`queue`] works through many jobs, on several machines if need be.
//!
//! | module | |
//! |---|---|
//! | [`job`] | what a job is, and its identity |
//! | [`program`] | the `tokensieve` program, found and run |
//! | [`store`] | results on disk: whole or not at all |
//! | [`queue`] | all jobs of a profile, in order, by shards |
//! | [`evaluation`] | what figures read of an evaluation |
//! | `fixture` | made-up results in the same formats, for tests |

pub mod evaluation;
mod fixture;
pub mod job;
pub mod program;
pub mod queue;
pub mod store;
#[cfg(test)]
mod tests;

pub use job::{Job, Value, Verb};
pub use store::{Lab, Provenance};
