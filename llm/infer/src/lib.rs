//! Inference with a trained model: generation, uncertainty, evaluation.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use tch::{Device, Kind};
//! use tokensieve_infer::generate::{Generator, Options, Request};
//! use tokensieve_model::Model;
//! use tokensieve_model::text::{Message, Tokenizer};
//! use tokensieve_model::weights::Checkpoint;
//!
//! let checkpoint = Checkpoint::open("smollm2-135m")?;
//! let tokenizer = Tokenizer::open(&checkpoint)?;
//! let model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu)?;
//! let generator = Generator::new(&model, &tokenizer, Options::default());
//! let prompt = tokenizer.chat_prompt(&[Message::new("user", "What is 3 + 4?")], &[])?;
//! let request = Request { prompt, limit: 64, ..Request::default() };
//! let replies = generator.run(&[request], &mut |_, _| ControlFlow::Continue(())).map_err(|failure| failure.error)?;
//! for reply in replies.into_iter().flatten() {
//!     println!("{} ({})", reply.text, reply.stop.name());
//! }
//! # Ok::<(), tokensieve_model::Error>(())
//! ```
//!
//! # Map
//! | module | what it does |
//! |---|---|
//! | [`generate`] | replies to prompts: continuous batching, sampling, files of replies |
//! | [`uncertainty`] | total, aleatoric and epistemic uncertainty of every token of a response |
//! | [`evaluate`] | a model on a suite of tasks: answers, measures with intervals, comparisons, judges |
//! | [`truth`] | the exact distribution of the oracle language, as a reference to train with |
//! | [`together`] | processes that share the work |
//!
//! Nothing here knows how a model was trained, and training imports nothing from here.
//!
//! # Letters of shapes
//! Names of tensors end in their shape: `hidden_prd` is `[P, R, D]`.
//!
//! | letter | dimension |
//! |---|---|
//! | p, m | passes: all, or those computed at a time |
//! | r, n | rows, one per predicted token: all of a group, or those computed at a time |
//! | d | hidden size |
//! | v | vocabulary |
//! | g | groups of passes, for the jackknife |

// Tests compare with the exact number that they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod evaluate;
pub mod generate;
mod header;
pub mod together;
pub mod truth;
pub mod uncertainty;
