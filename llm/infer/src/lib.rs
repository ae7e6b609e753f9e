//! What a model says: replies, how uncertain it is about each token, and how well it does on tasks.
//!
//! | module | what | manual |
//! |---|---|---|
//! | [`generate`] | replies with continuous batching; the same to the last bit whatever the batch | `docs/generating.md` |
//! | [`uncertainty`] | total, aleatoric and epistemic uncertainty of each token, by dropout or an ensemble | `docs/uncertainty.md` |
//! | [`evaluate`] | suites of tasks and held-out text, with intervals; comparisons; a local judge | `docs/evaluating.md` |
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use tch::{Device, Kind};
//! use tokensieve_infer::generate::{Generator, Options, Request};
//! use tokensieve_model::text::{Message, Tokenizer};
//! use tokensieve_model::weights::Checkpoint;
//! use tokensieve_model::{Error, Model};
//!
//! let checkpoint = Checkpoint::open("smollm2-135m")?;
//! let tokenizer = Tokenizer::open(&checkpoint)?;
//! let model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu)?;
//! let generator = Generator::new(&model, &tokenizer, Options::default());
//!
//! let prompt = tokenizer.chat_prompt(&[Message::new("user", "Why is the sky blue?")], &[])?;
//! let request = Request { prompt, limit: 64, ..Request::default() };
//! let replies = generator.run(&[request], &mut |_, _| ControlFlow::Continue(()))?;
//! for reply in replies.iter().flatten() {
//!     println!("{} ({} tokens, {})", reply.text, reply.tokens.len(), reply.stop.name());
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! All three write files that the same command continues after it was stopped.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod evaluate;
pub mod generate;
pub mod uncertainty;
