//! Text generation: many requests at a time, each with the reply that it would have alone.
//!
//! Batching is continuous: when a reply is complete, a waiting prompt takes its place at once, and goes through the model
//! together with the latest tokens of the other replies, without padding. Every request samples from random numbers of its
//! own seed. On a processor with AVX2 or AVX-512 every row is computed independently of the other rows, so that a reply is
//! bit-identical whatever the batch, in f32 and in bf16.

mod draw;
mod engine;
mod generator;
mod reply_file;
mod request;
mod sampling;
mod sequence;
#[cfg(test)]
mod tests;
mod text_stream;

pub use generator::{ConversationCache, Generator, Options};
pub use reply_file::{ReplyFile, ReplyLine};
pub use request::{CHAT_LIMIT, Event, Failure, REPLY_LIMIT, Reply, Request, Stop, report_too_long};
pub use sampling::Sampling;
