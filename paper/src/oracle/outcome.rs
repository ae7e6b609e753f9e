//! What came of each run, kept in the repository: `paper/recorded/oracle.jsonl.gz`, one line per run.
//!
//! A line has, for each set of documents and each group of tokens, the sums from which every measure follows, so other
//! claims can be tested on the same runs and nothing is computed twice.

use super::measures::{ANSWERS, Group, Measures};
use super::plan::{Cell, Quantity, Term};
use super::proxies::{Qualities, Search};
use super::work::Work;
use crate::lab::{Job, Lab, Provenance, Value, Verb, evaluation};
use crate::planned::{
    self, Candidates, ClaimTerm, Claimed, Declared, Outcome, PlannedRuns, Rate, Seeds, Stage, Tried,
    outcomes::{Measured, settings_of},
};
use crate::read;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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

/// What the lab found in a search that is done.
fn of_search(search: &Search, lab: &Lab) -> Result<Option<Outcome<Found>>> {
    let Some(proxies) = search.read(lab)? else { return Ok(None) };
    let mut done: Vec<Provenance> = search.jobs().filter_map(|job| lab.done(job)).collect();
    let seconds = done.iter().map(|one| one.seconds).sum();
    let last = done.pop().context("a search without jobs")?;
    let found = Found { proxies, ..Found::default() };
    let settings = settings_of(search.jobs());
    Ok(Some(Outcome::new(search.name.clone(), settings, Provenance { seconds, ..last }, found)))
}

impl Outcomes {
    /// What proxies found in a search.
    pub fn named(&self, search: &str) -> Option<&Qualities> {
        self.get(search).map(|found| &found.proxies)
    }
}

impl ClaimTerm<Found> for Term {
    type Cell = Cell;

    fn cell(&self, seed: u64) -> Cell {
        let Self { arm, from, data, rate, look, .. } = self.clone();
        Cell { seed, from, data, arm, rate, look }
    }

    fn value(&self, found: &Found) -> Option<f64> {
        let value = |set: &str| found.value(set, &self.group, self.of);
        Some(value(&self.set)? - self.minus.as_deref().map_or(Some(0.0), value)?)
    }
}

impl Measured for Found {}

impl PlannedRuns for Work {
    type Cell = Cell;
    type Found = Found;

    const KEPT: &'static str = "paper/recorded/oracle.jsonl.gz";
    const RECORDED: &'static [u8] = include_bytes!("../../recorded/oracle.jsonl.gz");

    fn size(&self) -> &str {
        &self.name
    }

    fn cells(&self, stage: Stage) -> Result<Vec<Cell>> {
        let mut cells = match stage {
            Stage::Pilot => self.compared(stage)?,
            Stage::Tuning => self.tuned(),
            Stage::Main => self.plan.groups.iter().flat_map(|group| self.of_group(group)).collect(),
        };
        let mut seen = BTreeSet::new();
        cells.retain(|cell| seen.insert(cell.to_string()));
        // Seed by seed, so that an interrupted study has whole seeds, whose models are not needed again.
        cells.sort_by_key(|cell| cell.seed);
        Ok(cells)
    }

    fn jobs_of(&self, cell: &Cell) -> Result<Vec<Arc<Job>>> {
        Ok(vec![self.measured(cell)?])
    }

    fn found(&self, cell: &Cell, lab: &Lab) -> Result<Option<Outcome<Found>>> {
        let job = self.measured(cell)?;
        let Some(provenance) = lab.done(&job) else { return Ok(None) };
        let path = lab.place(&job).join(Verb::Evaluate.output());
        let Evaluation { tasks } = read::json(&path)?;
        let mut tasks: BTreeMap<String, Task> =
            tasks.into_iter().map(|(task, found)| (evaluation::without_place(&task), found)).collect();
        let mut sets = BTreeMap::new();
        for (set, documents) in self.sets(cell)? {
            let task = Value::Task("oracle", documents).named(&evaluation::no_place);
            let task = tasks.remove(&task).with_context(|| format!("{} lacks {task}", path.display()))?;
            sets.insert(set.to_owned(), Measures::of(&task.groups, RANKED.contains(&set)));
        }
        let found = Found { sets, ..Found::default() };
        Ok(Some(Outcome::new(cell.to_string(), self.settings_of(cell)?, provenance, found)))
    }

    /// Those of the runs, and of what proxies find.
    fn settings(&self, stage: Stage) -> Result<Vec<(String, String)>> {
        let of_cell = |cell: &Cell| Ok((cell.to_string(), self.settings_of(cell)?));
        let mut all: Vec<_> = self.cells(stage)?.iter().map(of_cell).collect::<Result<_>>()?;
        let searches = self.searches(stage)?;
        all.extend(searches.iter().map(|search| (search.name.clone(), settings_of(search.jobs()))));
        Ok(all)
    }

    /// The runs, and what proxies find.
    fn add(&self, outcomes: &mut Outcomes, stage: Stage, lab: &Lab) -> Result<usize> {
        let mut added = 0;
        for cell in self.cells(stage)? {
            added += usize::from(self.add_cell(outcomes, &cell, lab)?);
        }
        for search in self.searches(stage)? {
            if !outcomes.has(&search.name) {
                added += usize::from(of_search(&search, lab)?.is_some_and(|found| outcomes.add(found)));
            }
        }
        Ok(added)
    }

    /// Of each seed the runs with their measures, then what proxies see.
    fn absent(&self, outcomes: &Outcomes, stage: Stage) -> Result<Vec<Arc<Job>>> {
        let mut jobs = Vec::new();
        for cell in self.cells(stage)?.iter().filter(|cell| !outcomes.has(&cell.to_string())) {
            jobs.extend(self.jobs_of(cell)?.into_iter().map(|job| (cell.seed, job)));
        }
        for search in self.searches(stage)?.iter().filter(|search| !outcomes.has(&search.name)) {
            jobs.extend(search.jobs().map(|job| (search.seed, job.clone())));
        }
        jobs.sort_by_key(|(seed, _)| *seed);
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }
}

impl Claimed for Work {
    type Term = Term;

    fn seeds(&self) -> &Seeds {
        &self.plan.seeds
    }

    fn claims(&self) -> &[Declared] {
        &self.plan.claims
    }

    /// Each arm by the mean over runs on held-out data.
    fn tried(&self, outcomes: &Outcomes) -> Result<Vec<Candidates>> {
        let by = |arm: &str| self.plan.arms[arm].tuned_by;
        let tried = self.cells(Stage::Tuning)?.into_iter().filter_map(|cell| {
            let Rate::Tried(rate) = cell.rate else { return None };
            let of = by(&cell.arm);
            let group = if of == Quantity::Right { ANSWERS } else { "all" };
            let value = outcomes.get(&cell.to_string()).and_then(|found| found.value("test", group, of));
            Some(Tried { arm: cell.arm, rate, value })
        });
        Ok(Candidates::of(tried, |arm| (format!("{:?}", by(arm)), by(arm) == Quantity::Right)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::oracle::measures::tests::groups;

    #[test]
    fn a_run_is_found_by_its_cell() {
        let (data, arm) = ("clean".to_owned(), "mle".to_owned());
        let cell = Cell { seed: 7, from: 1, data, arm, rate: Rate::Tuned, look: None };
        let sets = BTreeMap::from([("test".to_owned(), Measures::of(&groups(), true))]);
        let found = Found { sets, ..Found::default() };
        let mut outcomes = Outcomes::default();
        outcomes.add(Outcome {
            run: cell.to_string(),
            settings: String::new(),
            seconds: 1.5,
            commit: "c".into(),
            date: "d".into(),
            processor: None,
            found,
        });
        let found = outcomes.get(&cell.to_string()).unwrap();
        assert_eq!(found.value("test", "all", Quantity::Kl), Some(0.25));
        assert_eq!(found.value("deep", "all", Quantity::Kl), None);
        assert_eq!(outcomes.get(&Cell { seed: 8, ..cell }.to_string()), None);
    }

    #[test]
    fn what_is_recorded_can_be_read() {
        assert!(Work::recorded().is_ok());
    }

    #[test]
    fn the_plan_has_the_rates_that_tuning_chose() {
        let work = Work::of(Profile::Study).unwrap();
        let candidates = work.candidates().unwrap();
        for one in &candidates {
            assert_eq!(one.best(), Some(work.plan.arms[&one.arm].rate), "{one:?}");
        }
        let tuned = work.plan.arms.values().filter(|arm| !arm.fixed_rate).count();
        let page = include_str!("../../../docs/plans/oracle.md");
        let is_draft = page.contains("**State: draft.**");
        assert!(is_draft || candidates.len() == tuned, "the tuning of some arms is not recorded");
    }
}
