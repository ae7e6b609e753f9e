//! Evaluation of a model on a suite of tasks: questions, answers, measures with intervals, comparisons.
//!
//! Every answer is stored as soon as it is given ([`Answers`]), so that an interrupted evaluation continues where it
//! stopped. When a task is complete, its measures and the sums behind them are added to the file of results ([`Results`]).
//!
//! | module | what it does |
//! |---|---|
//! | `run` | evaluates a suite from its [`Settings`] ([`evaluate`]) |
//! | `registry` | finds an entry of a suite by its name: a [`Benchmark`] (a task of `tokensieve-tasks`, held-out text) or a file of the oracle language |
//! | `benchmark`, `sampled`, `held_out` | questions and the measures of their answers |
//! | `oracle`, `token_score`, `groups` | files of the oracle language: predictions against exact distributions |
//! | `ask`, `answers` | asks the questions that have no stored answer yet |
//! | `model`, `score` | answers questions: replies by generation, likelihoods by a forward pass |
//! | `limit` | which rows of a file are asked |
//! | `judging`, `judge`, `local_judge` | win rates of replies, by a local model or an endpoint |
//! | `results`, `compare`, `table` | results, paired differences, and both as tables |

mod answers;
mod ask;
mod benchmark;
mod compare;
mod groups;
mod held_out;
mod judge;
mod judging;
mod limit;
mod local_judge;
mod model;
mod oracle;
mod registry;
mod results;
mod run;
mod sampled;
mod score;
mod settings;
mod table;
mod token_score;

pub use answers::{Answers, answers_path};
pub use benchmark::Benchmark;
pub use compare::{Difference, differences, unshared, without_gain};
pub use groups::{Group, Proxies};
pub use held_out::HeldOut;
pub use judging::{BASELINE, Judging};
pub use local_judge::LocalJudge;
pub use model::EvaluatedModel;
pub use oracle::symbol_tokens;
pub use results::{Judged, Measured, Results, Tallies, TaskResults};
pub use run::evaluate;
pub use score::Scorer;
pub use settings::Settings;
pub use table::{differences_table, gain, groups_table, results_table};
pub use token_score::TokenScore;
