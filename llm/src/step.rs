//! One optimizer step's gradient: batch → hidden → statistics → pulls → gradient.
#![allow(missing_docs)]
use crate::*;
pub struct StepOptions { pub micro_tokens: usize, pub checkpointing: bool, pub dropout: u64 }
pub struct Record { pub label: u32, pub selected: bool }
pub struct StepReport { pub loss: f64, pub nll: f64, pub tokens: usize, pub selected: usize, pub phases: Vec<(&'static str, f64)>, pub records: Vec<Record> }
pub struct Evaluation { pub nll: f64, pub mean_p: f64, pub accuracy: f64, pub tokens: usize }
pub fn step(_: &mut model::Model, _: &train::Trained, _: &train::Reference, _: &mut tokensieve_objective::Training, _: &[&Document], _: &StepOptions) -> Result<StepReport> { todo!() }
pub fn evaluate(_: &mut model::Model, _: &[&Document], _: usize) -> Result<Evaluation> { todo!() }
