//! What language models are judged on: questions, graders that agree with the public ones, and intervals. No tensor
//! library: a grader sees text, or log-likelihoods.
//!
//! A task asks [`Question`]s, tallies each [`Answer`], and says what its [`Measure`]s are of the tallies' sums. Whoever has
//! a model (the crate `llm`) answers; [`estimate`] puts a bootstrap interval around every measure and [`compare`] around
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
mod make;
mod marked;
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
