//! What came of each run, kept in the repository: `paper/recorded/oracle.jsonl.gz`, one line per run.
//!
//! A line has, for each set of documents and each group of tokens, the sums from which every measure follows, so other
//! claims can be tested on the same runs and nothing is computed twice.

use super::measures::{Group, Measures};
use super::plan::{Cell, Quantity, Term};
use super::proxies::{Qualities, Search};
use super::work::Work;
use crate::lab::{Job, Lab, Provenance, Verb};
use crate::planned::{self, Outcome, Stage};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sets of documents whose correlations and areas are kept, too.
const RANKED: [&str; 2] = ["test", "training"];

/// What was measured of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its measures by set of documents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, Measures>,
    /// How well proxies find what the model does not know.
    #[serde(default, skip_serializing_if = "Qualities::is_empty")]
    pub proxies: Qualities,
}

/// The study's runs that are done, by name.
pub type Outcomes = planned::Outcomes<Found>;

#[derive(Deserialize)]
struct Evaluation {
    tasks: BTreeMap<String, Task>,
}

#[derive(Deserialize)]
struct Task {
    groups: BTreeMap<String, Group>,
}

impl Found {
    /// A measure of a group of a set.
    pub fn value(&self, set: &str, group: &str, quantity: Quantity) -> Option<f64> {
        self.sets.get(set)?.value(group, quantity)
    }
}

/// What the lab found in a run that is done.
fn of_run(work: &Work, cell: &Cell, lab: &Lab) -> Result<Option<Outcome<Found>>> {
    let job = work.measured(cell)?;
    let Some(provenance) = lab.done(&job) else { return Ok(None) };
    let path = lab.place(&job).join(Verb::Evaluate.output());
    let context = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(&path).with_context(context)?;
    let mut found: Evaluation = serde_json::from_str(&text).with_context(context)?;
    let mut sets = BTreeMap::new();
    for (set, documents) in work.sets(cell)? {
        let task = format!("oracle:{}", lab.place(&documents).join(Verb::Make.output()).display());
        let task = found.tasks.remove(&task).with_context(|| format!("{} lacks {task}", path.display()))?;
        sets.insert(set.to_owned(), Measures::of(&task.groups, RANKED.contains(&set)));
    }
    let found = Found { sets, ..Found::default() };
    Ok(Some(Outcome::new(cell.to_string(), provenance, found)))
}

/// What the lab found in a search that is done.
fn of_search(search: &Search, lab: &Lab) -> Result<Option<Outcome<Found>>> {
    let Some(proxies) = search.read(lab)? else { return Ok(None) };
    let mut done: Vec<Provenance> = search.jobs().filter_map(|job| lab.done(job)).collect();
    let seconds = done.iter().map(|one| one.seconds).sum();
    let last = done.pop().context("a search without jobs")?;
    let found = Found { proxies, ..Found::default() };
    Ok(Some(Outcome::new(search.name.clone(), Provenance { seconds, ..last }, found)))
}

impl Outcomes {
    /// Those kept in the repository.
    pub fn recorded() -> Result<Self> {
        Self::parse(include_bytes!("../../recorded/oracle.jsonl.gz"))
            .context("paper/recorded/oracle.jsonl.gz")
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
        for search in work.searches(stage)? {
            if !self.has(&search.name) {
                self.add(of_search(&search, lab)?);
            }
        }
        Ok(self.len() - before)
    }

    /// The jobs of a stage's runs that are not among these, seed by seed: each run with its measures, then what proxies see.
    pub fn missing(&self, work: &Work, stage: Stage) -> Result<Vec<Arc<Job>>> {
        let mut jobs = Vec::new();
        for cell in work.cells(stage)?.iter().filter(|cell| !self.has(&cell.to_string())) {
            jobs.push((cell.seed, work.measured(cell)?));
        }
        for search in work.searches(stage)?.iter().filter(|search| !self.has(&search.name)) {
            jobs.extend(search.jobs().map(|job| (search.seed, job.clone())));
        }
        jobs.sort_by_key(|(seed, _)| *seed);
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }

    /// What came of a run.
    pub fn of(&self, cell: &Cell) -> Option<&Found> {
        self.get(&cell.to_string())
    }

    /// What proxies found in a search.
    pub fn named(&self, search: &str) -> Option<&Qualities> {
        self.get(search).map(|found| &found.proxies)
    }

    /// The value of a term in the run of a seed.
    pub fn value(&self, term: &Term, seed: u64) -> Option<f64> {
        let found = self.of(&term.cell(seed))?;
        let value = |set: &str| found.value(set, &term.group, term.of);
        Some(value(&term.set)? - term.minus.as_deref().map_or(Some(0.0), value)?)
    }

    /// The values of both terms of a claim in the runs of some seeds, as far as there are both.
    pub fn pairs(
        &self,
        claim: &planned::Declared,
        seeds: impl Iterator<Item = u64>,
    ) -> Result<Vec<[f64; 2]>> {
        let [of, versus] = claim.terms()?;
        Ok(seeds.filter_map(|seed| Some([self.value(&of, seed)?, self.value(&versus, seed)?])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Rate;
    use crate::oracle::measures::tests::groups;

    #[test]
    fn a_run_is_found_by_its_cell() {
        let (data, arm) = ("clean".to_owned(), "mle".to_owned());
        let cell = Cell { seed: 7, from: 1, data, arm, rate: Rate::Tuned, look: None };
        let sets = BTreeMap::from([("test".to_owned(), Measures::of(&groups(), true))]);
        let found = Found { sets, ..Found::default() };
        let (seconds, commit, date) = (1.5, "c".to_owned(), "d".to_owned());
        let mut outcomes = Outcomes::default();
        outcomes.add(Some(Outcome { run: cell.to_string(), seconds, commit, date, found }));
        let found = outcomes.of(&cell).unwrap();
        assert_eq!(found.value("test", "all", Quantity::Kl), Some(0.25));
        assert_eq!(found.value("deep", "all", Quantity::Kl), None);
        assert_eq!(outcomes.of(&Cell { seed: 8, ..cell }), None);
    }

    #[test]
    fn what_is_recorded_can_be_read() {
        assert!(Outcomes::recorded().is_ok());
    }
}
