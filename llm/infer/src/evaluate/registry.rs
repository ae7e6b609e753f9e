//! Entries of a suite by their names: a task of `tokensieve-tasks`, held-out text, or a file of the oracle language.

use tokensieve_tasks::{self as tasks, Measure, Options};

use super::benchmark::Benchmark;
use super::held_out::{self, HeldOut};
use super::judge;
use super::oracle::{self, Oracle};
use super::sampled::{self, Sampled};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Error, Result};

/// An entry of a suite.
pub(super) enum Entry {
    /// Questions whose answers are stored.
    Benchmark(Box<dyn Benchmark>),
    /// A file of the oracle language.
    Oracle(Oracle),
}

/// Opens the entry with this name. Documents of held-out text are cut to `longest` tokens.
pub(super) fn open(
    name: &str,
    options: &Options,
    tokenizer: &Tokenizer,
    longest: usize,
    skip_bad: bool,
) -> Result<Entry> {
    if name.starts_with(oracle::PREFIX) {
        return Ok(Entry::Oracle(Oracle::open(name, options, tokenizer, longest)?));
    }
    if name.starts_with(held_out::PREFIX) {
        let held_out = HeldOut::open(name, options, tokenizer, longest, skip_bad)?;
        return Ok(Entry::Benchmark(Box::new(held_out)));
    }
    let (task, replies) = sampled::parts(name)?;
    let task = tasks::open(task, options).map_err(|error| match error {
        tasks::Error::Setting(what) => Error::setting(
            "--suite",
            format!(
                "{what}; TASK@N samples N replies to each question; nll:SET, nll:SET/SPLIT and nll:FILE measure the loss \
                 on the responses of a data set, oracle:FILE predictions of the oracle language"
            ),
        ),
        other => Error::other(other),
    })?;
    Ok(Entry::Benchmark(match replies {
        Some(replies) => Box::new(Sampled::new(name, task, replies, options.seed)?),
        None => Box::new(task),
    }))
}

/// The measures of a benchmark whose tallies are stored in a file of results.
pub(super) fn measures(name: &str) -> Result<Vec<Measure>> {
    if name.starts_with(held_out::PREFIX) {
        return Ok(held_out::MEASURES.to_vec());
    }
    if name.starts_with(oracle::PREFIX) {
        return Ok(oracle::MEASURES.to_vec());
    }
    let (name, _) = sampled::parts(name)?;
    let mut measures = tasks::measures(name).map_err(Error::other)?.to_vec();
    if name == judge::TASK {
        measures.insert(0, judge::WIN_RATE);
    }
    Ok(measures)
}
