//! Language models on libtorch, forward and backward by hand: configuration, weights, text, layers, adapters, and the head.
//!
//! # The idea
//! One transformer, described by a [`config::Config`], computes Llama, `SmolLM2`, Gemma, Phi-3 and Qwen models: no file per
//! family. There is no autograd. A forward pass keeps a [`Trace`] of what the backward pass needs, and
//! [`Model::backward`] writes gradients of exactly the [`Parameters`] that are trained. So memory is known, dropout masks
//! and packed documents are cheap, and the logits of a batch never exist all at once.
//!
//! # From a sentence to logits
//! ```no_run
//! use tch::{Device, Kind};
//! use tokensieve_model::text::{Conversation, Tokenizer};
//! use tokensieve_model::weights::Checkpoint;
//! use tokensieve_model::{Error, Model};
//!
//! // A set of the catalogue, a Hugging Face folder, a GGUF file, or a name on the hub.
//! let checkpoint = Checkpoint::open("smollm2-135m")?;
//! let tokenizer = Tokenizer::open(&checkpoint)?;
//! let conversation = Conversation::exchange("What is a sieve?", "A tool that lets some things pass.");
//! let document = tokenizer.document(&conversation, 0)?;
//! let model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu)?;
//!
//! // One row per response token: the hidden state that predicts it.
//! let pack = model.pack(&[&document]);
//! let hidden_rd = tch::no_grad(|| model.forward(&pack));
//! assert_eq!(hidden_rd.size()[0] as usize, document.response_tokens());
//! let logits_rv = model.unembedding().logits(&hidden_rd);
//! # let _ = logits_rv;
//! # Ok::<(), Error>(())
//! ```
//!
//! # Where things are
//! | module or type | what |
//! |---|---|
//! | [`config`] | a model's shape and its quirks, from `config.json` or GGUF |
//! | [`weights`] | reading safetensors, GGUF and the hub; writing Hugging Face folders |
//! | [`text`] | tokenizer, chat template, which tokens are trained on |
//! | [`Document`], [`Pack`], [`packs`](packs()) | tokenised conversations, laid side by side without padding |
//! | [`Model`], [`Trace`] | the transformer, forward and backward |
//! | [`Cache`] | keys and values of what was read before |
//! | [`Adapter`], [`LoraConfig`], [`merge`](merge()) | low-rank adapters, in PEFT's format |
//! | [`Parameters`] | what is trained: values and gradients, each one flat tensor |
//! | [`Dropout`] | masks that follow from a seed and the tokens, not from the batch |
//! | [`head`] | from hidden states to statistics, and from pulls to the gradient on the hidden states |
//! | [`terminal`] | what is printed |
//!
//! Logits and gradients equal those of transformers and peft (`tests/parity.rs`). What is computed fast, and with which
//! instructions, is the business of `tokensieve-kernels`.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod adapter;
pub mod config;
mod error;
pub mod head;
mod layers;
mod model;
mod modules;
mod pack;
mod parameters;
pub mod terminal;
pub mod text;
pub mod weights;

pub use adapter::{Adapter, LoraConfig, Pattern, TargetModules, merge};
pub use error::{Error, Result};
pub use layers::{Dropout, DropoutSite, dropout_keys, mix64};
#[cfg(target_arch = "x86_64")]
pub use model::Decoder;
pub use model::{Cache, Keep, Model, Trace, Unembedding};
pub use pack::{Document, Pack, Precomputed, Target, chunks_by_length, packs};
pub use parameters::Parameters;
