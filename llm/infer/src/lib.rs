//! What a model says: replies, how uncertain it is of each token, how well it does on tasks.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod evaluate;
pub mod generate;
pub mod uncertainty;
