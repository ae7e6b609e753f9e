//! Language models on libtorch, with forward and backward passes written by hand: configuration, weights, text, layers,
//! adapters, and the head.
//!
//! # The idea
//! One implementation, described by a [`config::Config`], computes Llama, `SmolLM2`, Gemma, Phi-3 and Qwen models:
//! there is no file per family. There is no autograd either. A forward pass returns a [`Trace`] of what the backward
//! pass needs, and [`Model::backward`] adds gradients to exactly the [`Parameters`] that are trained. So memory is
//! known in advance, packed documents and dropout masks cost little, and the logits of a batch never exist all at
//! once.
//!
//! # From a sentence to logits
//! ```no_run
//! use tch::{Device, Kind};
//! use tokensieve_model::text::{Conversation, Tokenizer};
//! use tokensieve_model::weights::Checkpoint;
//! use tokensieve_model::{Error, Model};
//!
//! // A name in data.toml, a Hugging Face folder, a GGUF file, or a name on the hub.
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
//! # A gradient
//! ```no_run
//! # use tch::{Device, Kind, Tensor};
//! # use tokensieve_model::{Adapter, Error, Keep, LoraConfig, Model, Pack};
//! # fn gradient(model: &mut Model, pack: &Pack, d_hidden_rd: impl Fn(&Tensor) -> Tensor) -> Result<(), Error> {
//! let adapter = Adapter::new(model.config(), &LoraConfig::default(), 0, Device::Cpu)?;
//! model.attach(Some(&adapter))?;
//! let (hidden_rd, trace) = model.forward_traced(pack, Keep::Everything, None);
//! // The loss's gradient on the hidden states; `head` computes it from pulls without storing all logits.
//! let d_hidden_rd = d_hidden_rd(&hidden_rd);
//! // Adds the gradients of A and B to adapter.parameters.gradients().
//! model.backward(trace, &d_hidden_rd, &adapter.parameters, None);
//! # Ok(())
//! # }
//! ```
//! To train all weights, give [`Model::parameters`] instead of an adapter's, and copy them back with [`Model::refresh`]
//! after each update.
//!
//! # Where things are
//! | module or type | content |
//! |---|---|
//! | [`config`] | a model's sizes and what its family does differently, from `config.json` or GGUF |
//! | [`weights`] | reads safetensors, GGUF and the hub; writes safetensors |
//! | [`export()`] | writes a checkpoint as a Hugging Face folder that other programs load |
//! | [`text`] | tokenizer, chat template, which tokens are trained on |
//! | [`Document`], [`Pack`], [`packs`](packs()) | tokenised conversations; several in one sequence without padding |
//! | [`Model`], [`Trace`] | the transformer, forward and backward; its layers are in `layers/` |
//! | [`Cache`], `Decoder` | keys and values of a growing sequence: on any device, and for many sequences on the CPU |
//! | [`Adapter`], [`LoraConfig`], [`merge`](merge()) | low-rank adapters, in PEFT's format |
//! | [`Precision`] | what a model computes with, and whether its matrices are held in four bits |
//! | [`Parameters`] | what is trained: values and gradients, each one flat tensor |
//! | [`Dropout`] | masks that depend on a seed and the tokens, not on the batch |
//! | [`head`] | from hidden states to statistics, and from pulls to the gradient on the hidden states |
//!
//! Logits and gradients equal those of transformers and PEFT (`tests/parity.rs`, `tests/peft.rs`). Which instructions
//! compute them is the business of `tokensieve-kernels`.
//!
//! # Letters of shapes
//! A shape is written `[T, D]`; a name can end in the letters of its shape, as `hidden_rd` does.
//!
//! | letter | meaning |
//! |---|---|
//! | T | tokens of a pack |
//! | R | output rows of a pack, whose hidden states the forward pass returns; in `head` N of them at a time |
//! | D | width of the residual stream |
//! | H, G, K | query heads, key-value heads, dimensions of a head |
//! | F | width of the feed-forward layer |
//! | V | size of the vocabulary |
//! | O, I | outputs and inputs of a projection |
//! | L | sum of the ranks of the adapters on a projection |

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod adapter;
pub mod config;
mod error;
mod export;
pub mod head;
mod layers;
mod model;
mod modules;
mod pack;
mod parameters;
mod precision;
pub mod text;
pub mod weights;

pub use adapter::{Adapter, LARGEST_RANK, LoraConfig, Pattern, TargetModules, merge};
pub use error::{Error, Result};
pub use export::{convert, export, exported, is_of_weights, of_model};
pub use layers::{Dropout, DropoutSite, dropout_keys, mix64};
pub use model::Decoder;
pub use model::{Cache, Keep, Model, Trace, Unembedding};
pub use pack::{Document, Pack, Precomputed, Target, chunks_by_length, packs};
pub use parameters::Parameters;
pub use precision::Precision;
