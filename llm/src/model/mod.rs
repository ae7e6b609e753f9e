//! The transformer.

pub mod config;
