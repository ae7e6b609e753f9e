//! What language models are evaluated on: questions, graders that agree with the public ones, and intervals. There is no
//! tensor library here: a grader sees text, or probabilities.
//!
//! # The idea
//! A [`Task`] asks [`Question`]s. For each [`Answer`] it computes tallies, and each of its [`Measure`]s is a function of
//! the tallies' sums. So any resampling of questions is a sum too: [`estimate`] puts a bootstrap interval around a measure,
//! and [`compare`] around the difference of two models on the same questions. Whoever has a model answers: the crate
//! `tokensieve-infer`, or the line below.
//!
//! ```
//! use tokensieve_tasks::{Answer, Options, Result, estimate, open};
//!
//! let task = open("arithmetic", &Options { limit: Some(20), seed: 0 })?;
//! // A model that always says 42.
//! let answer = Answer::Reply { text: "#### 42".to_owned(), tokens: 5, ended: true };
//! let tallies: Vec<Vec<Vec<f64>>> =
//!     (0..task.questions().len()).map(|question| task.tally(question, &answer)).collect::<Result<_>>()?;
//!
//! let headline = &task.measures()[0];
//! let of_headline: Vec<&[f64]> = tallies.iter().map(|tally| tally[0].as_slice()).collect();
//! let result = estimate(headline, &of_headline, &[], 0);
//! assert_eq!((headline.name, result.n), ("strict", 20));
//! assert!(result.low <= result.value && result.value <= result.high);
//! # Ok::<(), tokensieve_tasks::Error>(())
//! ```
//!
//! # The tasks
//! [`names`] lists them and [`open`] opens one by name. `docs/tasks.md` has what each asks and the formula of every measure.
//!
//! | module | tasks | graded by |
//! |---|---|---|
//! | [`gsm8k`], [`number`] | GSM8K, zero-shot and 8-shot | lm-evaluation-harness's two rules, and the number's value |
//! | [`arithmetic`] | word problems, generated, answered in lines or in sentences | the same |
//! | `paired` | worked answers to GSM8K and to word problems against the same with another result | likelihood |
//! | [`cipher`] | words in a cipher, generated | exact match, Jaro-Winkler |
//! | [`instructions`] | short texts under constraints, generated | the checks of IFEval |
//! | [`ifeval`] | 541 prompts, 25 types of instruction | the published checker, to the character |
//! | [`alpaca_eval`], [`judge`] | 805 instructions, head to head | a judge; win rates, raw and length-controlled |
//! | [`overlap`] | held-out prompts of Alpaca | chrF and chrF++ |
//! | [`maths`] | five sets of mathematics problems | equality of LaTeX answers |
//! | [`figfont`] | words drawn in FIGlet fonts, generated | exact match, Jaro-Winkler |
//! | `choice` | five medical multiple-choice sets | likelihood of each option, by text or by letter |
//! | [`oracle`] | documents whose every next token's distribution is known, generated | the exact distributions; `tokensieve-infer` compares a model with them |
//!
//! [`make`] writes training data for the generated ones. Row i of a seed and split is the same on every machine and for any
//! number of rows.

pub mod alpaca_eval;
mod answer;
pub mod arithmetic;
mod choice;
pub mod cipher;
mod error;
pub mod figfont;
pub mod gsm8k;
pub mod ifeval;
pub mod instructions;
mod interval;
pub mod judge;
mod make;
pub mod maths;
pub mod number;
pub mod oracle;
pub mod overlap;
mod paired;
mod pattern;
mod registry;
mod rows;
mod task;

pub use answer::{Answer, Ask, Message, Question, REASONING};
pub use error::{Error, Result};
pub use interval::{compare, estimate};
pub use make::{MAKES, make};
pub use registry::{Options, measures, names, open};
pub use task::{Measure, Task, Unit};
pub use tokensieve_base::statistics::Estimate;
