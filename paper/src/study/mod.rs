//! The study of trained language models: what is trained on what, what it is measured by, and how gains are tested.
//!
//! | module | |
//! |---|---|
//! | [`corpus`] | what models are trained on, and what replaces a data set that cannot be had |
//! | [`arm`] | ways to train |
//! | [`outcome`] | what models are measured by: outcomes, distributions, units |
//! | [`scale`] | the size of each profile |
//! | [`grid`] | the jobs of the study |
//! | [`draws`] | how much more one evaluation says than another, with its interval |
//! | `preference` | whose reply is preferred |
//! | [`gain`](mod@gain) | a row of the training figures' tables |
//! | [`compare`] | those rows, from the results of the jobs |
//! | [`claims`] | claims about ways of training, and their tests |
//! | [`picture`], [`models`] | panels of gains; models' names, and what is drawn and claimed of each |
//! | [`scoring`], [`held_out`] | documents whose tokens are scored, by chat models and by trained ones |
//! | [`selection`] | kinds of tokens that an objective selects |
//! | [`steps`] | how long a training run's steps took |

pub mod arm;
pub mod claims;
pub mod compare;
pub mod corpus;
pub mod draws;
pub mod gain;
pub mod grid;
pub mod held_out;
pub mod models;
pub mod outcome;
pub mod picture;
mod preference;
pub mod scale;
pub mod scoring;
pub mod selection;
pub mod steps;
#[cfg(test)]
mod tests;

pub use arm::{Arm, Criterion, Granularity};
pub use claims::Contrast;
pub use corpus::{Corpora, Corpus};
pub use draws::{Draws, gain, level};
pub use gain::Gain;
pub use grid::Study;
pub use outcome::{Better, Distribution, Measure, Outcome, Unit};
pub use scale::Scale;
