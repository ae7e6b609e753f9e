//! Evaluation tasks for language models: questions, graders that agree with the public ones, and intervals. No tensor
//! library: a grader sees text or log-likelihoods.
//!
//! A task asks [`Question`]s, tallies each [`Answer`], and computes its [`Measure`]s from the sums of the tallies. The
//! program with a model (the crate `llm`) answers; [`estimate`] puts a bootstrap interval around every measure and [`compare`] around
//! the difference of two models on the same questions.

pub mod alpaca_eval;
mod answer;
pub mod arithmetic;
mod choice;
mod error;
pub mod figfont;
pub mod gsm8k;
pub mod ifeval;
pub mod instructions;
mod interval;
pub mod judge;
mod keyed;
mod make;
pub mod maths;
pub mod number;
pub mod overlap;
mod registry;
mod rows;
mod task;

pub use answer::{Answer, Ask, Message, Question};
pub use error::{Error, Result};
pub use interval::{compare, estimate};
pub use make::{MAKES, make};
pub use registry::{Options, names, open};
pub use task::{Measure, Task, Unit};
pub use tokensieve_base::statistics::Estimate;
