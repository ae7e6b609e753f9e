//! What came of each run, kept in the repository: `paper/recorded/study.jsonl.gz`, one line per run.

use super::measures::{Evaluation, Found};
use super::plan::{Cell, Term};
use super::work::Work;
use crate::lab::{Job, Lab};
use crate::planned::{self, Declared, Outcome, Stage};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The study's runs that are done, by name: of each what was found by each task and on each set of documents.
pub type Outcomes = planned::Outcomes<BTreeMap<String, Found>>;

/// What the lab found in a run that is done, and whose base is measured.
fn of_run(work: &Work, cell: &Cell, lab: &Lab) -> Result<Option<Outcome<BTreeMap<String, Found>>>> {
    let (own, base) = (work.measured(cell)?, work.measured(&cell.before())?);
    let Some((provenance, _)) = lab.done(&own).zip(lab.done(&base)) else { return Ok(None) };
    let read = |job: &Job| {
        let folder = lab.place(job);
        Evaluation::read(&folder).with_context(|| format!("{} in {}", job.name, folder.display()))
    };
    let (own, base) = (read(&own)?, read(&base)?);
    let found = work.sets(cell)?.into_iter().map(|(name, task)| {
        let task = task.named(&|job| lab.place(job));
        Ok((name, own.found(&task, &base)?))
    });
    let found = found.collect::<Result<_>>().with_context(|| cell.to_string())?;
    Ok(Some(Outcome::new(cell.to_string(), provenance, found)))
}

impl Outcomes {
    /// Those kept in the repository.
    pub fn recorded() -> Result<Self> {
        Self::parse(include_bytes!("../../recorded/study.jsonl.gz")).context("paper/recorded/study.jsonl.gz")
    }

    /// Those that the repository keeps of a size.
    pub fn known(work: &Work) -> Result<Self> {
        if work.is_kept() { Self::recorded() } else { Ok(Self::default()) }
    }

    /// Adds what the lab has of a stage's runs that are not among these yet; returns how many that are.
    pub fn collect(&mut self, work: &Work, stage: Stage, lab: &Lab) -> Result<usize> {
        let before = self.len();
        for cell in work.cells(stage)? {
            if !self.has(&cell.to_string()) {
                self.add(of_run(work, &cell, lab)?);
            }
        }
        Ok(self.len() - before)
    }

    /// The jobs of a stage's runs that are not among these, seed by seed, each after its base's.
    pub fn missing(&self, work: &Work, stage: Stage) -> Result<Vec<Arc<Job>>> {
        let mut jobs = Vec::new();
        for cell in work.cells(stage)?.iter().filter(|cell| !self.has(&cell.to_string())) {
            jobs.push(work.measured(&cell.before())?);
            jobs.push(work.measured(cell)?);
        }
        Ok(jobs)
    }

    /// The value of a term in the run of a seed.
    pub fn value(&self, term: &Term, seed: u64) -> Option<f64> {
        let found = self.get(&term.cell(seed).to_string())?;
        let value = |set: &String| found.get(set)?.value(term.of);
        Some(value(&term.set)? - term.minus.as_ref().map_or(Some(0.0), value)?)
    }

    /// The values of both terms of a claim in the runs of some seeds, as far as there are both.
    pub fn pairs(&self, claim: &Declared, seeds: impl Iterator<Item = u64>) -> Result<Vec<[f64; 2]>> {
        let [of, versus] = claim.terms()?;
        Ok(seeds.filter_map(|seed| Some([self.value(&of, seed)?, self.value(&versus, seed)?])).collect())
    }
}
