//! A training run: from a configuration to an adapter (or weights), a curve, and checkpoints to continue from.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//! use tokensieve_train::config::Config;
//! use tokensieve_train::{Begin, Run};
//!
//! // The file, and keys laid over it.
//! let config = Config::read(Path::new("llm/examples/gsm8k.toml"), &["objective=-p".to_owned()])?;
//! // Loads what the configuration names, or a checkpoint of it; true in `interrupted` ends the run after a step.
//! let interrupted = AtomicBool::new(false);
//! let summary = Run::start(config, Begin::Either, &interrupted)?.go()?;
//! println!("{summary}");
//! # Ok::<(), tokensieve_model::Error>(())
//! ```
//!
//! # The loop and the step
//! [`Run::go`] is the loop: evaluate → save → stop? → step. The [`step`] computes the gradient of one optimizer batch:
//! statistics of all its tokens → two pulls for each → gradient. The [`Optimizer`] then moves what is [`Trained`].
//!
//! Everything that a step depends on is the configuration, the step's number, and the state that checkpoints hold. So a run
//! that was killed and continued gives the same numbers, to the last bit, as one that was not.
//!
//! # Where things are
//! | module or type | what |
//! |---|---|
//! | [`config`] | every key with kind, default and meaning; reading, checking and writing out a configuration |
//! | [`step`] | the gradient of a batch, for any [`step::Rule`]: a configured objective, or your own in Rust |
//! | [`Optimizer`], [`Schedule`] | AdamW and SGD; the learning rate |
//! | [`Trained`] | an adapter, or all weights |
//! | [`checkpoint`] | what a run continues from |
//! | [`log`] | `metrics.jsonl`, `timing.jsonl`, `selection.jsonl`, `TensorBoard` |
//! | [`Summary`] | what is printed at the end |
//! | [`write_topk`] | a reference's most probable tokens, computed once |
//!
//! `examples/own_objective.rs` trains with an objective written in Rust; `docs/training.md` is the user's manual.

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod checkpoint;
pub mod config;
mod flat;
mod former;
mod given;
pub mod log;
mod optimizer;
mod references;
mod resume;
mod schedule;
mod start;
pub mod step;
mod summary;
mod survey;
mod topk;
mod weights;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub use optimizer::Optimizer;
pub use schedule::Schedule;
pub use start::Begin;
pub use summary::Summary;
pub use topk::write_topk;
pub use weights::Trained;

use checkpoint::State;
use config::Config;
use log::Log;

use tokensieve_documents::Order;
use tokensieve_kernels::memory;
use tokensieve_model::Document;
use tokensieve_model::Error;
use tokensieve_model::Model;
use tokensieve_model::Result;
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;

/// A run under way.
#[derive(Debug)]
pub struct Run<'a> {
    config: Config,
    base: Checkpoint,
    model: Model,
    tokenizer: Tokenizer,
    trained: Trained,
    reference: Reference,
    head: Head,
    training: tokensieve_objective::Training,
    optimizer: Optimizer,
    schedule: Schedule,
    documents: Vec<Document>,
    order: Order,
    evaluations: Vec<(String, Vec<Document>)>,
    state: State,
    /// The step of the newest checkpoint.
    saved: Option<u64>,
    log: Log,
    interrupted: &'a AtomicBool,
    #[expect(dead_code, reason = "held until the run ends")]
    lock: checkpoint::Lock,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Complete,
    /// The held-out set made no progress any more.
    Converged,
    /// Somebody asked it to stop; it can be continued.
    Interrupted,
}

/// Folder of the checkpoints.
const CHECKPOINTS: &str = "checkpoints";
/// The optimizer's state in a checkpoint.
const OPTIMIZER: &str = "optimizer.safetensors";
/// Folder of the best result where early stopping looks for it.
const BEST: &str = "best";
/// The derived configuration, in the results' folder and in every checkpoint.
const CONFIG: &str = "config.toml";

impl Run<'_> {
    /// The loop. ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
    pub fn go(mut self) -> Result<Summary> {
        let ending = loop {
            if self.evaluation_is_due() {
                self.evaluate()?;
            }
            let ending = self.ending();
            if self.save_is_due(ending) {
                self.save()?;
            }
            if let Some(ending) = ending {
                break ending;
            }
            self.grow()?;
            self.step()?;
        };
        self.finish(ending)
    }

    /// One optimizer step: batch → gradient → parameters → log.
    fn step(&mut self) -> Result<()> {
        let start = Instant::now();
        let step = self.state.step;
        let rows = self.order.batch(step, self.config.train.batch_size);
        let batch: Vec<&Document> = rows.iter().map(|index| &self.documents[*index]).collect();
        let options = self.options(step);
        let report = step::step(
            &mut self.head,
            &mut self.model,
            &self.trained,
            &self.reference,
            &mut self.training,
            &batch,
            &options,
        )
        .and_then(
            |report| if report.loss.is_finite() { Ok(report) } else { Err(unsound("loss", report.loss)) },
        )
        .map_err(|error| failed(step, &batch, self.saved, &error))?;
        let lr = self.schedule.at(step);
        let norm = self.optimizer.step(self.trained.parameters(), lr);
        if !norm.is_finite() {
            return Err(failed(step, &batch, self.saved, &unsound("gradient's length", norm)));
        }
        // So that nothing is ever saved that nobody can go on from.
        let length = flat::norm(self.trained.parameters().values());
        if !length.is_finite() {
            let what = "length of what is trained, after the step,";
            return Err(failed(step, &batch, self.saved, &unsound(what, length)));
        }
        self.trained.refresh(&mut self.model)?;
        self.state.step += 1;
        self.log.step(&log::Step {
            step: self.state.step,
            loss: report.loss,
            nll: report.nll,
            tokens: report.tokens,
            selected: report.selected,
            lr,
            gradient_norm: norm,
            read: batch.iter().map(|document| document.tokens.len()).sum(),
            seconds: start.elapsed().as_secs_f64(),
            peak_device_bytes: memory::peak_device_bytes(self.model.device()),
            phases: &report.phases,
        })?;
        let tokens = report.records.iter().map(|record| (record.label, record.selected));
        self.log.selection(self.state.step, tokens, |token| self.tokenizer.text_of(token))
    }

    fn evaluation_is_due(&self) -> bool {
        let State { step, steps, evaluated, .. } = self.state;
        evaluated != Some(step) && evaluates(step, steps, self.config.train.eval_every, self.stopped())
    }

    /// Every held-out set: plain NLL always, and the objective's loss beside it.
    fn evaluate(&mut self) -> Result<()> {
        let (micro_tokens, objective) = (self.config.train.micro_tokens, Some(&self.config.objective));
        for (name, documents) in &self.evaluations {
            let documents: Vec<&Document> = documents.iter().collect();
            let result = step::evaluate(&mut self.head, &self.model, &documents, micro_tokens, objective);
            if !result.nll.is_finite() {
                let what = format!(
                    "held-out set `{name}`: the loss is {}; the model's output is not finite",
                    result.nll
                );
                return Err(Error::Run(what));
            }
            self.log.evaluation(self.state.step, name, &result)?;
            let Some(early) = self.config.train.early_stop.as_ref().filter(|early| early.on == *name) else {
                continue;
            };
            let (best, waited) = self.state.progress.unwrap_or((f64::INFINITY, 0));
            let better = result.nll < best - early.min_delta;
            self.state.progress = Some(if better { (result.nll, 0) } else { (best, waited + 1) });
            if better {
                checkpoint::write(&self.config.train.out, BEST, |folder| {
                    self.trained.export(&self.base, folder, self.model.kind())
                })?;
            }
        }
        self.state.evaluated = Some(self.state.step);
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn ending(&self) -> Option<Ending> {
        let patience = self.config.train.early_stop.as_ref().map(|early| early.patience);
        let waited = self.state.progress.map_or(0, |(_, waited)| waited);
        if self.state.step >= self.state.steps {
            Some(Ending::Complete)
        } else if patience.is_some_and(|patience| waited >= patience) {
            Some(Ending::Converged)
        } else {
            self.stopped().then_some(Ending::Interrupted)
        }
    }

    fn save_is_due(&self, ending: Option<Ending>) -> bool {
        let step = self.state.step;
        let every = step > 0 && step.is_multiple_of(self.config.train.save_every);
        self.saved != Some(step) && (every || ending.is_some())
    }

    /// Writes a checkpoint, then removes the oldest.
    fn save(&mut self) -> Result<()> {
        let parent = self.config.train.out.join(CHECKPOINTS);
        self.state.logs = self.log.marks()?;
        self.state.objective = self.training.state();
        let step = self.state.step;
        checkpoint::write(&parent, &checkpoint::name(step), |folder| {
            self.trained.save(folder, &self.base)?;
            tokensieve_model::weights::save_safetensors(
                &folder.join(OPTIMIZER),
                &self.optimizer.state(),
                &[],
            )?;
            tokensieve_base::files::write_atomically(&folder.join(CONFIG), self.config.derived().as_bytes())?;
            self.state.save(folder)
        })?;
        self.saved = Some(step);
        checkpoint::prune(&parent, self.config.train.keep_last)
    }

    /// Lets the adapter grow where the configuration says so.
    fn grow(&mut self) -> Result<()> {
        let now = |(step, rank): &(u64, i64)| (*step == self.state.step).then_some(*rank);
        let Some(rank) = self.config.train.grow_rank.iter().find_map(now) else { return Ok(()) };
        let Trained::Adapter(adapter) = &self.trained else { return Ok(()) };
        let grown = adapter.grow(self.model.config(), rank, self.config.train.seed)?;
        self.optimizer.begin_anew(&grown.parameters);
        self.trained = Trained::Adapter(grown);
        self.log.say(&format!("after {} steps the adapter's rank grows to {rank}", self.state.step));
        self.trained.refresh(&mut self.model)
    }

    /// The result, where people look for it.
    fn finish(self, ending: Ending) -> Result<Summary> {
        let out = &self.config.train.out;
        if ending != Ending::Interrupted {
            let name = result(self.trained.adapter().is_none());
            checkpoint::write(out, name, |folder| {
                self.trained.export(&self.base, folder, self.model.kind())
            })?;
        }
        Ok(Summary::new(ending, &self.config, &self.state, self.log.totals()))
    }
}

/// Whether held-out sets are evaluated after so many of the steps. A run that is stopped does so when it goes on, unless
/// there is nothing left to go on with.
fn evaluates(step: u64, steps: u64, every: Option<u64>, stopped: bool) -> bool {
    let now_and_then = step == 0 || every.is_some_and(|every| step.is_multiple_of(every));
    step == steps || (now_and_then && !stopped)
}

/// Folder of what was trained: all weights, or an adapter.
fn result(full: bool) -> &'static str {
    if full { "model" } else { "adapter" }
}

fn unsound(what: &str, value: f64) -> Error {
    Error::Run(format!("the {what} is {value}"))
}

/// Names the step, the documents and the way back.
fn failed(step: u64, batch: &[&Document], saved: Option<u64>, error: &Error) -> Error {
    let rows: Vec<String> = batch.iter().map(|document| document.row.to_string()).collect();
    let back = saved.map_or("there is no checkpoint yet".to_owned(), |saved| {
        format!("the checkpoint after step {saved} is sound")
    });
    let what =
        format!("step {}: {error}; it trains on the rows {} (from 0); {back}", step + 1, rows.join(", "));
    Error::Run(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_evaluated_even_of_a_run_that_is_stopped_in_its_last_step() {
        let steps =
            |every, stopped| (0..=5).filter(|step| evaluates(*step, 5, every, stopped)).collect::<Vec<_>>();
        assert_eq!(steps(None, false), [0, 5]);
        assert_eq!(steps(Some(2), false), [0, 2, 4, 5]);
        assert_eq!(steps(Some(2), true), [5]);
    }
}
