//! Training of language models with tokensieve's objectives: from a configuration to an adapter (or weights), a curve, and
//! checkpoints to continue from.
//!
//! # The idea
//! An objective turns a few statistics per token into two pulls per token (see [`tokensieve_objective`]). This crate
//! computes the statistics of an optimizer batch, asks the objective for the pulls, computes the gradient that the pulls
//! have on the trained parameters, and updates them. The objective sees the whole optimizer batch, however many
//! micro-batches compute it, so results do not depend on the size of micro-batches.
//!
//! Everything that a step depends on is the configuration, the number of the step, and the state that checkpoints hold. A
//! run that was killed and continued gives the same numbers, to the last bit, as one that was not.
//!
//! # The life of a run
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//! use tokensieve_train::config::Config;
//! use tokensieve_train::{Begin, Run};
//!
//! let interrupted = AtomicBool::new(false);
//! let config = Config::read(Path::new("my.toml"), &["train.steps=100".to_owned()])?;
//! let summary = Run::start(config, Begin::Either, &interrupted, None)?.go()?;
//! println!("{summary}");
//! # Ok::<(), tokensieve_model::Error>(())
//! ```
//!
//! 1. [`config::Config::read`] checks every key of a TOML file before anything is loaded.
//! 2. [`Run::start`] claims the folder of the results, loads tokenizer, documents, model and reference, and continues from
//!    the newest checkpoint, if there is one.
//! 3. [`Run::go`] is the loop: evaluate and save when due, else [`step::step`] (statistics → pulls → gradient), then
//!    [`step::update`].
//! 4. At the end the result is written, and [`Summary`] says what happened.
//!
//! # Where is what
//!
//! | module | holds |
//! |---|---|
//! | `run` | the loop |
//! | [`step`] | one optimizer step: statistics → pulls → gradient → update |
//! | `optimizer`, `schedule` | `AdamW` and SGD; the learning rate over a run |
//! | `trained` | what is trained: an adapter or all weights |
//! | `reads` | what an objective reads, and whether a reference can supply it |
//! | [`config`] | the table of keys, parsing, checks, the derived configuration |
//! | `start`, `load` | what a configuration names is loaded |
//! | `together`, `gpus` | several processes begin the same run; their GPUs are connected |
//! | `references`, `precomputed` | the reference model; estimates computed before training |
//! | `corpus_survey` | statistics of all data before the first step, for objectives that select within the corpus |
//! | [`checkpoint`], `resume`, `existing_run` | checkpoints, continuing, what `--fresh` removes |
//! | [`log`], `summary` | metrics, timing, `TensorBoard`, progress; the last lines of a run |
//! | `topk` | `tokensieve topk`: a reference's most probable tokens, written to a file |
//! | `layout`, `elementwise` | names of files; loops over flat f32 buffers |

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod checkpoint;
pub mod config;
mod corpus_survey;
mod elementwise;
mod existing_run;
mod gpus;
mod layout;
mod load;
pub mod log;
mod optimizer;
mod precomputed;
mod reads;
mod references;
mod resume;
mod run;
mod schedule;
mod start;
pub mod step;
mod summary;
mod together;
mod topk;
mod trained;

pub use optimizer::Optimizer;
pub use resume::Begin;
pub use run::Run;
pub use schedule::Schedule;
pub use summary::{Ending, Summary};
pub use topk::{TopkData, write_topk};
pub use trained::Trained;
