//! The lab: work of the `tokensieve` program (training, evaluation, uncertainty), done once and shared by all figures.
//!
//! A [`Job`] is a verb of that program with settings, input files and results of other jobs. What determines its
//! numbers is hashed, code included, and the hash names the folder of its result: `out/lab/HASH/`. A figure asks
//! [`Run::job`](crate::Run::job) for a job and gets that folder; whoever asks first has it computed, with the jobs
//! that it needs. [`queue`] works through many jobs, on several machines if need be.
//!
//! | module | |
//! |---|---|
//! | [`job`] | what a job is, and its identity |
//! | [`program`] | the `tokensieve` program, found and run |
//! | [`store`] | results on disk: whole or not at all |
//! | [`queue`] | all jobs of a profile, in order, by shards |
//! | [`scale`] | how large each profile is |
//! | [`arm`] | ways to train |
//! | [`study`] | which jobs the study consists of |
//! | [`corpus`] | what is trained on, and what stands in where a set cannot be had |
//! | [`outcome`] | what an evaluation says, and gains over a baseline |
//! | [`steps`] | how long a training run's steps took |
//! | `preference` | whose reply is preferred, by a stand-in for a judge |
//! | [`gains`] | the rows that the training figures share |
//! | [`picture`] | panels that they share |
//! | [`models`] | what is said and drawn of each model by itself |
//! | [`ablation`] | tables, drawings and claims of the ablations of masked training |

pub mod ablation;
pub mod arm;
pub mod corpus;
mod fixture;
pub mod gains;
pub mod job;
pub mod models;
pub mod outcome;
pub mod picture;
mod preference;
pub mod program;
pub mod queue;
pub mod scale;
pub mod steps;
pub mod store;
pub mod study;
#[cfg(test)]
mod tests;

pub use job::{Job, Value, Verb};
pub use store::{Lab, Provenance};
