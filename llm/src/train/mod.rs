//! The training run.

pub mod config;
