//! What came of each run, kept in the repository: `paper/recorded/study.jsonl.gz`, one line per run.

use super::measures::{Evaluation, Found, Tokens};
use super::plan::{Cell, Term, TunedOn};
use super::work::Work;
use crate::lab::{Job, Lab, evaluation};
use crate::planned::{
    self, Candidates, ClaimTerm, Claimed, Declared, Outcome, PlannedRuns, Rate, Seeds, Stage, Tried,
    outcomes::Measured, size::FULL,
};
use crate::tokens;
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The study's runs that are done, by name: of each what was found by each task and on each set of documents.
pub type Outcomes = planned::Outcomes<BTreeMap<String, Found>>;

impl ClaimTerm<BTreeMap<String, Found>> for Term {
    type Cell = Cell;

    fn cell(&self, seed: u64) -> Cell {
        let Self { arm, data, rate, .. } = self.clone();
        Cell { seed, data, arm, rate }
    }

    fn value(&self, found: &BTreeMap<String, Found>) -> Option<f64> {
        let value = |set: &String| found.get(set)?.value(self.of);
        Some(value(&self.set)? - self.minus.as_ref().map_or(Some(0.0), value)?)
    }
}

/// An outcome is kept once the run is evaluated; the tokens that are scored one by one, which decide no claim, may follow.
impl Measured for BTreeMap<String, Found> {
    fn complete(&mut self, other: Self) -> bool {
        let before = self.len();
        for (name, found) in other {
            self.entry(name).or_insert(found);
        }
        self.len() > before
    }

    fn agrees(&self, other: &Self) -> Result<bool> {
        let written = serde_json::to_value::<&Found>;
        for (name, found) in other {
            if let Some(own) = self.get(name)
                && written(own)? != written(found)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl PlannedRuns for Work {
    type Cell = Cell;
    type Found = BTreeMap<String, Found>;

    const KEPT: &'static str = "paper/recorded/study.jsonl.gz";
    const RECORDED: &'static [u8] = include_bytes!("../../recorded/study.jsonl.gz");

    fn size(&self) -> &str {
        &self.name
    }

    fn is_full(&self) -> bool {
        self.name == FULL && !self.is_made_up
    }

    fn published_model(&self) -> Option<&str> {
        Some(self.model())
    }

    fn cells(&self, stage: Stage) -> Result<Vec<Cell>> {
        let compared = self.compared(Stage::Main)?;
        let mut cells = match stage {
            Stage::Pilot => self.compared(stage)?,
            Stage::Tuning => self.tuned(),
            Stage::Main => {
                let seeds = self.plan.seeds.first(self.size.claimed);
                let claimed = compared.iter().filter(|cell| seeds.contains(&cell.seed)).cloned();
                claimed.chain(self.plan.groups.iter().flat_map(|group| self.of_group(group))).collect()
            }
        };
        let mut seen = BTreeSet::new();
        cells.retain(|cell| self.can_run(cell) && seen.insert(cell.to_string()));
        // What the primary claims compare comes first, and what waits for a base of its own, which takes long.
        let runs: BTreeSet<String> = compared.iter().map(ToString::to_string).collect();
        let tunings =
            compared.iter().map(|cell| self.plan.tuning_of(cell)).collect::<Result<BTreeSet<_>>>()?;
        let is_claimed = |cell: &Cell| match stage {
            Stage::Tuning => self.plan.tuning_of(cell).is_ok_and(|tuning| tunings.contains(&tuning)),
            Stage::Pilot | Stage::Main => runs.contains(&cell.to_string()),
        };
        let is_free = |cell: &Cell| self.plan.data[&cell.data].base.is_none();
        cells.sort_by_cached_key(|cell| (!is_claimed(cell), cell.seed, is_free(cell)));
        Ok(cells)
    }

    fn jobs_of(&self, cell: &Cell) -> Result<Vec<Arc<Job>>> {
        let scorings = self.scorings(cell)?.into_iter().map(|(_, job)| job);
        Ok([self.measured(&cell.before())?, self.measured(cell)?].into_iter().chain(scorings).collect())
    }

    fn lacking(&self, cell: &Cell, found: &Self::Found) -> Result<Vec<Arc<Job>>> {
        let scorings = self.scorings(cell)?.into_iter();
        Ok(scorings.filter(|(name, _)| !found.contains_key(name)).map(|(_, job)| job).collect())
    }

    /// As the plan has them, whatever data can be had here.
    fn settings_of(&self, cell: &Cell) -> Result<String> {
        let whole = Self { missing: BTreeSet::new(), ..self.clone() };
        Ok(planned::outcomes::settings_of(&whole.jobs_of(cell)?))
    }

    /// That of its base has to be done, too; of the scorings those are read that are.
    fn found(&self, cell: &Cell, lab: &Lab) -> Result<Option<Outcome<Self::Found>>> {
        let (own, base) = (self.measured(cell)?, self.measured(&cell.before())?);
        let Some((provenance, _)) = lab.done(&own).zip(lab.done(&base)) else { return Ok(None) };
        let read = |job: &Job| {
            let folder = lab.place(job);
            Evaluation::read(&folder).with_context(|| format!("{} in {}", job.name, folder.display()))
        };
        let (own, base) = (read(&own)?, read(&base)?);
        let found = self.sets(cell)?.into_iter().map(|(name, task)| {
            let task = task.named(&evaluation::no_place);
            Ok((name, own.found(&task, &base)?))
        });
        let mut found: Self::Found = found.collect::<Result<_>>().with_context(|| cell.to_string())?;
        for (name, job) in self.scorings(cell)? {
            if lab.done(&job).is_none() {
                continue;
            }
            let documents = tokens::read(&lab.place(&job).join(job.verb.output()))?;
            found.insert(name, Found::Tokens(Tokens::of(&documents, self.size.passes)?));
        }
        Ok(Some(Outcome::new(cell.to_string(), self.settings_of(cell)?, provenance, found)))
    }

    /// Each run whose data can be had after the measures of its base; at full size none before its learning rate is chosen, which
    /// its name does not say.
    fn absent(&self, outcomes: &Outcomes, stage: Stage) -> Result<Vec<Arc<Job>>> {
        let waits = self.is_full() && stage != Stage::Tuning;
        let tuned = if waits { self.tried(outcomes)? } else { Vec::new() };
        let mut jobs = Vec::new();
        for cell in self.cells(stage)?.iter().filter(|cell| self.has(&cell.data)) {
            if let Some(found) = outcomes.get(&cell.to_string()) {
                jobs.extend(self.lacking(cell, found)?);
                continue;
            }
            let tuning = self.plan.tuning_of(cell)?;
            if waits && tuning.is_some_and(|tuning| tuned.iter().all(|found| found.arm != tuning)) {
                continue;
            }
            jobs.extend(self.jobs_of(cell)?);
        }
        Ok(jobs)
    }
}

impl Claimed for Work {
    type Term = Term;

    fn seeds(&self) -> &Seeds {
        &self.plan.seeds
    }

    fn can_run(&self, cell: &Cell) -> bool {
        self.plan.data[&cell.data].seeds.is_none_or(|seeds| cell.seed < seeds)
    }

    fn claims(&self) -> &[Declared] {
        &self.plan.claims
    }

    fn tried(&self, outcomes: &Outcomes) -> Result<Vec<Candidates>> {
        let mut found = Vec::new();
        for (name, TunedOn { set, by, .. }) in &self.plan.tuning.on {
            let of_data = self.cells(Stage::Tuning)?.into_iter().filter(|cell| cell.data == *name);
            let tried = of_data.filter_map(|cell| {
                let Rate::Tried(tried) = cell.rate else { return None };
                let tuning = self.plan.tuning_of(&cell).transpose()?;
                let Cell { seed, data, arm, rate } = cell;
                let term = Term { arm, data, rate, set: set.clone(), minus: None, of: *by };
                let value = outcomes.value(&term, seed);
                Some(tuning.map(|arm| Tried { arm, rate: tried, value }))
            });
            let tried = tried.collect::<Result<Vec<_>>>()?;
            found.extend(Candidates::of(tried, |_| (format!("{by:?}"), by.more_is_better())));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::finetune::plan::BEFORE;
    use crate::lab::queue::{self, Shard};

    #[test]
    fn what_claims_compare_is_run_first() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let cells: Vec<String> = work.cells(Stage::Main)?.iter().map(ToString::to_string).collect();
        let claimed: BTreeSet<String> = work.compared(Stage::Main)?.iter().map(ToString::to_string).collect();
        let last = cells.iter().rposition(|cell| claimed.contains(cell)).unwrap();
        assert!(cells[..=last].iter().all(|cell| claimed.contains(cell)));
        assert!(last + 1 < cells.len() && last > 50);

        // On all main seeds that there are documents for.
        let seeds = |run: &str| cells.iter().filter(|name| name.starts_with(run)).count();
        let of = ["arithmetic masked ", "gsm8k masked ", "arithmetic random "]
            .map(|run| seeds(&format!("finetune {run}")));
        assert_eq!(of, [12, 8, 8]);

        // Their rates are tuned first.
        let tuning: Vec<String> = work.cells(Stage::Tuning)?.iter().map(ToString::to_string).collect();
        let at = |run: &str| tuning.iter().position(|name| name.contains(run)).unwrap();
        let of_a_claim = ["arithmetic masked ", " words minus-p ", "cipher mle "].map(at);
        let others = ["arithmetic entropy ", " words f-half ", "gsm8k-answers mle "].map(at);
        assert!(of_a_claim.iter().max() < others.iter().min(), "{of_a_claim:?} {others:?}");
        Ok(())
    }

    #[test]
    fn a_run_is_kept_when_it_is_evaluated_and_completed_when_it_is_scored() -> Result<()> {
        let (work, lab) = (Work::of(Profile::Smoke)?, Lab::fixture()?);
        let is_scored =
            |cell: &Cell| cell.arm != BEFORE && work.scorings(cell).is_ok_and(|jobs| !jobs.is_empty());
        let cell = work.cells(Stage::Main)?.into_iter().find(is_scored).context("some runs are scored")?;
        let scorings: Vec<Arc<Job>> = work.scorings(&cell)?.into_iter().map(|(_, job)| job).collect();
        let run = |jobs: &[Arc<Job>]| queue::run(&lab, jobs, Shard::ALL, 1, &|_| {});
        let ids = |jobs: &[Arc<Job>]| jobs.iter().map(|job| job.id()).collect::<Vec<_>>();

        run(&[work.measured(&cell.before())?, work.measured(&cell)?])?;
        let mut outcomes = Outcomes::default();
        assert!(work.add_cell(&mut outcomes, &cell, &lab)?);
        let evaluated = outcomes.get(&cell.to_string()).context("it is kept")?.clone();
        assert_eq!(ids(&work.lacking(&cell, &evaluated)?), ids(&scorings));
        assert!(!work.add_cell(&mut outcomes, &cell, &lab)?);

        run(&scorings)?;
        assert!(work.add_cell(&mut outcomes, &cell, &lab)?);
        let whole = outcomes.get(&cell.to_string()).context("it is kept")?;
        assert!(work.lacking(&cell, whole)?.is_empty());
        assert_eq!(whole.len(), evaluated.len() + scorings.len());
        assert!(evaluated.iter().all(|(name, found)| whole.get(name) == Some(found)));
        assert!(evaluated.agrees(whole)? && whole.agrees(&evaluated)?);
        let other = BTreeMap::from([(
            evaluated.keys().next().context("a set")?.clone(),
            whole.values().last().context("a scoring")?.clone(),
        )]);
        assert!(!evaluated.agrees(&other)?);
        Ok(())
    }

    #[test]
    fn a_lab_that_lies_elsewhere_now_is_read() -> Result<()> {
        let (work, lab) = (Work::of(Profile::Smoke)?, Lab::fixture()?);
        let cells = work.cells(Stage::Main)?;
        let cell = cells.iter().find(|cell| cell.arm != BEFORE).context("some runs train")?;
        let jobs = [work.measured(&cell.before())?, work.measured(cell)?];
        queue::run(&lab, &jobs, Shard::ALL, 1, &|_| {})?;
        let before = work.found(cell, &lab)?.context("it is done")?.found;
        let place = lab.place(&jobs[1]);
        let folder = place.parent().context("the lab's folder")?.display().to_string();
        for file in ["evaluation.json", "evaluation.answers.jsonl"] {
            let text = std::fs::read_to_string(place.join(file))?;
            assert!(text.contains(&folder));
            std::fs::write(place.join(file), text.replace(&folder, "/elsewhere/out/lab"))?;
        }
        assert_eq!(work.found(cell, &lab)?.context("it is done")?.found, before);
        Ok(())
    }

    #[test]
    fn nothing_is_run_before_its_rate_is_chosen() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let names = |outcomes: &Outcomes, stage| -> Result<Vec<String>> {
            Ok(work.absent(outcomes, stage)?.iter().map(|job| job.name.clone()).collect())
        };
        let trains = |names: &[String], run: &str| names.iter().any(|name| name.contains(run));
        let untuned = names(&Outcomes::default(), Stage::Main)?;
        assert!(trains(&untuned, " before ") && !trains(&untuned, " mle "), "{untuned:?}");
        assert!(trains(&names(&Outcomes::default(), Stage::Tuning)?, " arithmetic masked "));
        // Those of paper A's arms on word problems are recorded.
        let recorded = names(&Work::recorded()?, Stage::Main)?;
        assert!(trains(&recorded, " arithmetic masked-distill tuned "), "{recorded:?}");
        Ok(())
    }

    #[test]
    fn the_plan_has_the_rates_that_tuning_chose() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let candidates = work.candidates()?;
        for one in &candidates {
            let (on, arm) = one.arm.split_once(' ').unwrap();
            assert_eq!(one.best(), Some(work.plan.rates[on][arm]), "{one:?}");
        }
        let is_draft = include_str!("../../../docs/plans/study.md").contains("**State: draft.**");
        for cell in work.compared(Stage::Main)? {
            let tuning = work.plan.tuning_of(&cell)?;
            let is_recorded = candidates.iter().any(|one| Some(&one.arm) == tuning.as_ref());
            assert!(is_draft || is_recorded, "{cell}: its tuning is not recorded");
        }
        Ok(())
    }
}
