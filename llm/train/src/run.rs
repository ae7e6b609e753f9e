//! The training loop: evaluate, save, step, until the run ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand_chacha::rand_core::RngCore as _;
use tokensieve_base::files::write_atomically;
use tokensieve_base::streams::keyed;
use tokensieve_documents::Order;
use tokensieve_kernels::memory;
use tokensieve_kernels::nccl::Communicator;
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::{Checkpoint, save_safetensors};
use tokensieve_model::{Document, Error, Model, Result};
use tokensieve_processes::{Group, Lost};

use crate::checkpoint::{self, State};
use crate::config::Config;
use crate::layout::{self, BEST, CHECKPOINTS, CONFIG, OPTIMIZER};
use crate::log::{self, Log};
use crate::optimizer::Optimizer;
use crate::schedule::Schedule;
use crate::step::{self, Processes, StepOptions};
use crate::summary::{Ending, Summary};
use crate::trained::Trained;

/// A run: everything it computes with, and how far it is.
#[derive(Debug)]
pub struct Run<'a> {
    pub(crate) config: Config,
    pub(crate) base: Checkpoint,
    pub(crate) model: Model,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) trained: Trained,
    pub(crate) reference: Reference,
    pub(crate) head: Head,
    pub(crate) training: tokensieve_objective::Training,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
    pub(crate) documents: Vec<Document>,
    pub(crate) order: Order,
    pub(crate) evaluations: Vec<(String, Vec<Document>)>,
    pub(crate) state: State,
    /// The step of the newest checkpoint.
    pub(crate) saved: Option<u64>,
    /// The processes that share the run; `None` if this one is alone.
    pub(crate) group: Option<&'a Group>,
    /// Their GPUs, where these are connected.
    pub(crate) gpus: Option<&'static Communicator>,
    /// What only the process has that writes.
    pub(crate) writer: Option<Writer>,
    pub(crate) interrupted: &'a AtomicBool,
}

/// The claim on the folder of the results, and the logs in it.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) log: Log,
    #[expect(dead_code, reason = "held until the run ends")]
    pub(crate) lock: checkpoint::Lock,
}

impl<'a> Run<'a> {
    /// The training loop. ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
    pub fn go(mut self) -> Result<Summary> {
        let ending = loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(ending)) => break ending,
                Err(error) => return Err(self.way_back(error)),
            }
        };
        self.finish(ending)
    }

    /// One turn of the loop: evaluate and save when due, then a step, unless the run ends here.
    fn turn(&mut self) -> Result<Option<Ending>> {
        if self.evaluation_is_due(self.stopped()?) {
            self.evaluate()?;
        }
        let ending = self.ending(self.stopped()?);
        if self.save_is_due(ending) {
            self.save()?;
        }
        if self.config.train.save_at.contains(&self.state.step) {
            self.export(&layout::after(self.state.step))?;
        }
        if ending.is_none() {
            self.grow()?;
            self.step()?;
        }
        Ok(ending)
    }

    /// One optimizer step: batch → gradient → update → log.
    fn step(&mut self) -> Result<()> {
        let start = Instant::now();
        let step = self.state.step;
        let rows = self.order.batch(step, self.config.train.batch_size);
        let batch: Vec<&Document> = rows.iter().map(|index| &self.documents[*index]).collect();
        let lr = self.schedule.at(step);
        let options = self.options(step);
        let (head, model, trained) = (&mut self.head, &mut self.model, &self.trained);
        let (report, norm) =
            step::step(head, model, trained, &self.reference, &mut self.training, &batch, &options)
                .and_then(|report| {
                    step::finite("loss", report.loss)?;
                    let norm = step::update(&mut self.optimizer, trained, model, lr)?;
                    Ok((report, norm))
                })
                .map_err(|error| failed(step, &batch, self.saved, error))?;
        self.state.step += 1;
        let Some(Writer { log, .. }) = &mut self.writer else { return Ok(()) };
        log.step(&log::Step {
            step: self.state.step,
            report: &report,
            lr,
            gradient_norm: norm,
            read: batch.iter().map(|document| document.tokens.len()).sum(),
            seconds: start.elapsed().as_secs_f64(),
            peak_device_bytes: memory::peak_device_bytes(self.model.device()),
        })?;
        let tokens = report.records.iter().map(|record| (record.label, record.selected));
        log.selection(self.state.step, tokens, |token| self.tokenizer.text_of(token))
    }

    /// How step number `step` is done, besides what its objective decides.
    pub(crate) fn options(&self, step: u64) -> StepOptions<'a> {
        StepOptions {
            micro_tokens: self.config.train.micro_tokens,
            checkpointing: self.config.train.checkpointing,
            dropout: keyed("dropout", self.config.train.seed, step).next_u64(),
            ranking: self.config.train.ranking,
            processes: self.group.map(|group| Processes { group, gpus: self.gpus }),
        }
    }

    /// Prints a line on standard error.
    pub(crate) fn say(&self, line: &str) {
        if let Some(Writer { log, .. }) = &self.writer {
            log.say(line);
        }
    }

    fn evaluation_is_due(&self, stopped: bool) -> bool {
        let State { step, steps, evaluated, .. } = self.state;
        evaluated != Some(step) && evaluates(step, steps, self.config.train.eval_every, stopped)
    }

    /// Evaluates every held-out set: its NLL, and the objective's loss where that needs no reference.
    fn evaluate(&mut self) -> Result<()> {
        let (micro_tokens, objective) = (self.config.train.micro_tokens, Some(&self.config.objective));
        for (name, documents) in &self.evaluations {
            let documents: Vec<&Document> = documents.iter().collect();
            let result =
                step::evaluate(&mut self.head, &self.model, &documents, micro_tokens, objective, self.group)?;
            if !result.nll.is_finite() {
                let what = format!(
                    "held-out set `{name}`: the loss is {}; the model's output is not finite",
                    result.nll
                );
                return Err(Error::Run(what));
            }
            if let Some(Writer { log, .. }) = &mut self.writer {
                log.evaluation(self.state.step, name, &result)?;
            }
            let Some(early) = self.config.train.early_stop.as_ref().filter(|early| early.on == *name) else {
                continue;
            };
            let (last, waited) = self.state.progress.unwrap_or((f64::INFINITY, 0));
            let progress = result.nll < last - early.min_delta;
            self.state.progress = Some(if progress { (result.nll, 0) } else { (last, waited + 1) });
            // What is too little for progress may be the best result all the same.
            if self.state.lowest.is_none_or(|lowest| result.nll < lowest) {
                self.state.lowest = Some(result.nll);
                self.export(BEST)?;
            }
        }
        self.state.evaluated = Some(self.state.step);
        Ok(())
    }

    /// Whether any of the processes was asked to stop.
    fn stopped(&self) -> Result<bool> {
        let own = self.interrupted.load(Ordering::Relaxed);
        self.group.map_or(Ok(own), |group| group.any(own).map_err(Error::other))
    }

    fn ending(&self, stopped: bool) -> Option<Ending> {
        let patience = self.config.train.early_stop.as_ref().map(|early| early.patience);
        let waited = self.state.progress.map_or(0, |(_, waited)| waited);
        if self.state.step >= self.state.steps {
            Some(Ending::Complete)
        } else if patience.is_some_and(|patience| waited >= patience) {
            Some(Ending::Converged)
        } else {
            stopped.then_some(Ending::Interrupted)
        }
    }

    fn save_is_due(&self, ending: Option<Ending>) -> bool {
        let step = self.state.step;
        let every = step > 0 && step.is_multiple_of(self.config.train.save_every);
        self.saved != Some(step) && (every || ending.is_some())
    }

    /// Writes a checkpoint, then removes the oldest. The other processes wait until it is there.
    fn save(&mut self) -> Result<()> {
        self.write_checkpoint()?;
        self.wait()?;
        self.saved = Some(self.state.step);
        Ok(())
    }

    fn write_checkpoint(&mut self) -> Result<()> {
        let step = self.state.step;
        let Some(Writer { log, .. }) = &mut self.writer else { return Ok(()) };
        let parent = self.config.train.out.join(CHECKPOINTS);
        self.state.logs = log.marks()?;
        self.state.objective = self.training.state();
        let keep = self.config.train.keep_last;
        // First: the disk may be full, and the user may have lowered the number for that reason.
        checkpoint::prune(&parent, keep)?;
        checkpoint::write(&parent, &checkpoint::name(step), |folder| {
            self.trained.save(folder, &self.base)?;
            save_safetensors(&folder.join(OPTIMIZER), &self.optimizer.state(), &[])?;
            write_atomically(&folder.join(CONFIG), self.config.derived().as_bytes())?;
            self.state.save(folder)
        })?;
        self.saved = Some(step);
        checkpoint::prune(&parent, keep)
    }

    /// Until all processes are here.
    fn wait(&self) -> Result<()> {
        self.group.map_or(Ok(()), |group| group.wait().map_err(Error::other))
    }

    /// Writes what is trained in a standard format into this folder of the results.
    fn export(&self, name: &str) -> Result<()> {
        if self.writer.is_none() {
            return Ok(());
        }
        checkpoint::write(&self.config.train.out, name, |folder| {
            self.trained.export(&self.base, folder, self.model.kind())
        })
        .map(drop)
    }

    /// Enlarges the adapter at the steps that `train.grow_rank` names.
    fn grow(&mut self) -> Result<()> {
        let now = |(step, rank): &(u64, i64)| (*step == self.state.step).then_some(*rank);
        let Some(rank) = self.config.train.grow_rank.iter().find_map(now) else { return Ok(()) };
        let Trained::Adapter(adapter) = &self.trained else { return Ok(()) };
        let grown = adapter.grow(self.model.config(), rank, self.config.train.seed)?;
        self.optimizer.restart(&grown.parameters);
        self.trained = Trained::Adapter(grown);
        self.say(&format!("after {} steps the adapter's rank grows to {rank}", self.state.step));
        self.trained.refresh(&mut self.model)
    }

    /// Writes the result, unless the run was interrupted. The other processes wait for it.
    fn finish(self, ending: Ending) -> Result<Summary> {
        if ending != Ending::Interrupted {
            self.export(layout::result(self.trained.adapter().is_none()))?;
        }
        self.wait()?;
        let totals = self.writer.as_ref().map(|writer| writer.log.totals()).unwrap_or_default();
        Ok(Summary::new(ending, &self.config, &self.state, totals))
    }

    /// An error; if it is the loss of a process, with the step and the way back.
    fn way_back(&self, error: Error) -> Error {
        let Some(lost) = lost(&error) else { return error };
        let back = match self.saved {
            None => "there is no checkpoint yet: the same command starts over".to_owned(),
            Some(saved) => format!(
                "the checkpoint after step {saved} is intact: the same command continues from it, with any number of \
                 processes"
            ),
        };
        Error::Run(format!("step {}: {lost}; {back}", self.state.step + 1))
    }
}

/// The loss of a process, if an error is one.
fn lost(error: &Error) -> Option<&Lost> {
    if let Error::Other(error) = error { error.downcast_ref() } else { None }
}

/// Whether held-out sets are evaluated after `step` of the steps: at the start, every so often, and at the end. A run that
/// is interrupted leaves it to the run that continues it, unless no step is left.
fn evaluates(step: u64, steps: u64, every: Option<u64>, stopped: bool) -> bool {
    let due = step == 0 || every.is_some_and(|every| step.is_multiple_of(every));
    step == steps || (due && !stopped)
}

/// An error of a step, with the step, its documents and the checkpoint to return to.
fn failed(step: u64, batch: &[&Document], saved: Option<u64>, error: Error) -> Error {
    // Not this process' error, nor the documents'.
    if lost(&error).is_some() {
        return error;
    }
    let rows: Vec<String> = batch.iter().map(|document| document.row.to_string()).collect();
    let back = saved.map_or("there is no checkpoint yet".to_owned(), |saved| {
        format!("the checkpoint after step {saved} is intact")
    });
    let what = format!("step {}: {error}; its rows, counted from 0: {}; {back}", step + 1, rows.join(", "));
    Error::Run(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_evaluated_even_if_the_last_step_is_interrupted() {
        let steps =
            |every, stopped| (0..=5).filter(|step| evaluates(*step, 5, every, stopped)).collect::<Vec<_>>();
        assert_eq!(steps(None, false), [0, 5]);
        assert_eq!(steps(Some(2), false), [0, 2, 4, 5]);
        assert_eq!(steps(Some(2), true), [5]);
    }
}
