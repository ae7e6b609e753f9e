//! A study's runs: which of them are done and kept.

use super::outcomes::{Measured, settings_of};
use super::{Outcome, Outcomes, Stage, size::FULL};
use crate::Run;
use crate::lab::{Job, Lab, Verb};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokensieve_base::files;

/// The runs of a committed plan in one size.
pub trait PlannedRuns {
    /// A run; its name is what it displays as.
    type Cell: fmt::Display;
    /// What is measured of a run.
    type Found: Measured;

    /// The file of the repository that keeps what came of the runs.
    const KEPT: &'static str;

    /// Its content.
    const RECORDED: &'static [u8];

    /// What it keeps.
    fn recorded() -> Result<Outcomes<Self::Found>> {
        Outcomes::parse(Self::RECORDED).context(Self::KEPT)
    }

    /// The name of the size.
    fn size(&self) -> &str;

    /// Whether this is the size whose outcomes it keeps.
    fn is_full(&self) -> bool {
        self.size() == FULL
    }

    /// The published model that the runs begin with, if there is one.
    fn published_model(&self) -> Option<&str> {
        None
    }

    /// The runs of a stage, each once, in the order in which they are done.
    fn cells(&self, stage: Stage) -> Result<Vec<Self::Cell>>;

    /// The jobs by which a run is done and measured.
    fn jobs_of(&self, cell: &Self::Cell) -> Result<Vec<Arc<Job>>>;

    /// The jobs of what an outcome of a run lacks: others have come before.
    fn lacking(&self, _cell: &Self::Cell, _found: &Self::Found) -> Result<Vec<Arc<Job>>> {
        Ok(Vec::new())
    }

    /// The hash of the settings of a run, by which a kept one is known.
    fn settings_of(&self, cell: &Self::Cell) -> Result<String> {
        Ok(settings_of(&self.jobs_of(cell)?))
    }

    /// The same of all runs of a stage, by their names.
    fn settings(&self, stage: Stage) -> Result<Vec<(String, String)>> {
        self.cells(stage)?.iter().map(|cell| Ok((cell.to_string(), self.settings_of(cell)?))).collect()
    }

    /// The runs among some outcomes that were done with other settings than the plan has now, with their stage.
    fn outdated(&self, outcomes: &Outcomes<Self::Found>) -> Result<BTreeMap<String, Stage>> {
        let mut outdated = BTreeMap::new();
        if outcomes.is_empty() {
            return Ok(outdated);
        }
        for stage in [Stage::Tuning, Stage::Main] {
            let planned = self.settings(stage)?.into_iter();
            let others = planned.filter(|(run, now)| outcomes.settings(run).is_some_and(|then| then != now));
            outdated.extend(others.map(|(run, _)| (run, stage)));
        }
        Ok(outdated)
    }

    /// The outcomes of a file, which is rejected if it has one of other settings than the plan's.
    fn checked(&self, outcomes: Outcomes<Self::Found>, file: &str) -> Result<Outcomes<Self::Found>> {
        let outdated = self.outdated(&outcomes)?;
        let Some((run, _)) = outdated.first_key_value() else { return Ok(outcomes) };
        let plan = Self::KEPT.trim_start_matches("paper/recorded/").trim_end_matches(".jsonl.gz");
        let again =
            [Stage::Tuning, Stage::Main].into_iter().filter(|stage| outdated.values().any(|of| of == stage));
        let again = again.map(|stage| {
            let named = if stage == Stage::Tuning { " --stage tuning" } else { "" };
            format!("./just lab run --plan {plan} --profile study{named}\n    ")
        });
        let from = if file == Self::KEPT { String::new() } else { format!(" --from {file}") };
        bail!(
            "{file}: {} runs were done with other settings than the plan has now, first `{run}` ({}). Do them anew:\n    \
             {}./just lab collect --plan {plan}\nor, if what was changed in paper/plans/{plan}.toml or in paper/src since \
             then changes no result, say so:\n    ./just lab collect --plan {plan}{from} --restate",
            outdated.len(),
            outcomes.origin(run).unwrap_or_default(),
            again.collect::<String>(),
        )
    }

    /// Says of outcomes that they were done with the plan's settings.
    fn restate(&self, outcomes: &mut Outcomes<Self::Found>) -> Result<()> {
        for stage in [Stage::Tuning, Stage::Main] {
            self.settings(stage)?.into_iter().for_each(|(run, now)| outcomes.restate(&run, now));
        }
        Ok(())
    }

    /// What a lab found in a run, if it is done.
    fn found(&self, cell: &Self::Cell, lab: &Lab) -> Result<Option<Outcome<Self::Found>>>;

    /// The jobs of a stage's runs that are not among the outcomes, or not whole, in that order.
    fn absent(&self, outcomes: &Outcomes<Self::Found>, stage: Stage) -> Result<Vec<Arc<Job>>>;

    /// Adds what a lab has of a stage's runs that are not among the outcomes yet, or not whole; returns of how many.
    fn add(&self, outcomes: &mut Outcomes<Self::Found>, stage: Stage, lab: &Lab) -> Result<usize> {
        let mut added = 0;
        for cell in self.cells(stage)? {
            added += usize::from(self.add_cell(outcomes, &cell, lab)?);
        }
        Ok(added)
    }

    /// Adds what a lab has of a run, unless it is among the outcomes and whole; returns whether something was added.
    fn add_cell(&self, outcomes: &mut Outcomes<Self::Found>, cell: &Self::Cell, lab: &Lab) -> Result<bool> {
        let run = cell.to_string();
        let lacks = outcomes.get(&run).map(|found| self.lacking(cell, found)).transpose()?;
        if lacks.as_ref().is_some_and(Vec::is_empty) {
            return Ok(false);
        }
        // What a run lacks is looked for each time.
        let found = if lacks.is_some() {
            self.found(cell, lab)?
        } else {
            let name = format!("{} {} {run}", Self::KEPT, self.size());
            lab.read_once(&name, || self.found(cell, lab))?
        };
        Ok(found.is_some_and(|found| outcomes.add(found)))
    }

    /// What the repository keeps of this size, also of other settings than the plan's.
    fn all_kept(&self) -> Result<Outcomes<Self::Found>> {
        if self.is_full() { Self::recorded() } else { Ok(Outcomes::default()) }
    }

    /// What the repository keeps of this size, which is an error if some of it has other settings than the plan's.
    fn known(&self) -> Result<Outcomes<Self::Found>> {
        self.checked(self.all_kept()?, Self::KEPT)
    }

    /// The jobs of a stage's runs of which nothing is kept that was done with the plan's settings.
    fn missing(&self, stage: Stage) -> Result<Vec<Arc<Job>>> {
        let mut kept = self.all_kept()?;
        let _ = kept.take(self.outdated(&kept)?.keys());
        self.absent(&kept, stage)
    }

    /// What the repository keeps of this size, as part of a figure's provenance.
    fn kept(&self, run: &Run) -> Result<Outcomes<Self::Found>> {
        let outcomes = self.known()?;
        let runs: Vec<String> = self.cells(Stage::Main)?.iter().map(ToString::to_string).collect();
        let seconds: Vec<f64> = runs.iter().filter_map(|run| outcomes.seconds(run)).collect();
        if !seconds.is_empty() {
            let reads: Vec<&str> = self.published_model().into_iter().collect();
            let config = json!({ "verb": Verb::Train.name(), "runs": seconds.len(), "reads": reads });
            run.kept(Self::KEPT, config, seconds.iter().sum(), outcomes.kept(&runs));
        }
        Ok(outcomes)
    }

    /// The outcomes of the results' runs: those that are kept are read, others are done first.
    fn done(&self, run: &Run) -> Result<Outcomes<Self::Found>> {
        let mut outcomes = self.kept(run)?;
        let jobs = self.absent(&outcomes, Stage::Main)?;
        run.jobs(&jobs.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        self.add(&mut outcomes, Stage::Main, run.lab())?;
        Ok(outcomes)
    }

    /// Adds what other files and a lab have of finished runs to a file. Of a run that came out otherwise elsewhere,
    /// what is kept stays; so does one of other settings than the plan's until it is done anew, or `restate` says that it has
    /// the plan's.
    fn collect(&self, lab: &Lab, file: &Path, from: &[PathBuf], restate: bool) -> Result<Collected> {
        let _held = collecting(file)?;
        let mut outcomes = if file.exists() { Outcomes::read(file)? } else { Outcomes::default() };
        if restate {
            self.restate(&mut outcomes)?;
        }
        let outdated = self.outdated(&outcomes)?;
        let outdated = outcomes.take(outdated.keys());
        let (mut added, mut conflicts) = (0, Vec::new());
        for other in from {
            let mut theirs = Outcomes::read(other)?;
            if restate {
                self.restate(&mut theirs)?;
            }
            let theirs = self.checked(theirs, &other.display().to_string())?;
            let merged = outcomes.merge(theirs)?;
            added += merged.added;
            if !merged.conflicting.is_empty() {
                conflicts.push(Conflict { file: other.clone(), runs: merged.conflicting });
            }
        }
        let mut stage = |stage: Stage| -> Result<_> {
            let added = self.add(&mut outcomes, stage, lab)?;
            let missing = self.absent(&outcomes, stage)?.len();
            Ok(OfStage { stage, added, missing })
        };
        let stages = [stage(Stage::Tuning)?, stage(Stage::Main)?];
        outcomes.fill(outdated);
        outcomes.write(file)?;
        Ok(Collected { merged: added, conflicts, stages, total: outcomes.len() })
    }
}

/// Held by the process that collects outcomes in a file: what two write at the same time lacks what the other adds.
fn collecting(file: &Path) -> Result<File> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    files::wait_for(&file.with_file_name(format!(".{name}.lock")))
        .context("waiting for the process that collects outcomes")
}

/// What [`PlannedRuns::collect`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Runs that other files had.
    pub merged: usize,
    /// Other files that have other outcomes.
    pub conflicts: Vec<Conflict>,
    /// Of tuning and of the results.
    pub stages: [OfStage; 2],
    /// Runs in the file.
    pub total: usize,
}

/// A file with outcomes that were not taken, because others are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The file.
    pub file: PathBuf,
    /// Whose outcomes.
    pub runs: Vec<String>,
}

/// What it did for a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfStage {
    /// The stage.
    pub stage: Stage,
    /// Runs that were added or completed.
    pub added: usize,
    /// Jobs that are missing.
    pub missing: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::lab::queue::{self, Shard};
    use crate::oracle::Work;
    use std::thread;
    use std::time::Duration;

    type Found = <Work as PlannedRuns>::Found;

    #[test]
    fn what_came_out_otherwise_elsewhere_is_named_and_not_taken() -> Result<()> {
        let (study, lab, folder) = (Work::of(Profile::Smoke)?, Lab::fixture()?, tempfile::tempdir()?);
        let cells = study.cells(Stage::Main)?;
        queue::run(&lab, &study.jobs_of(&cells[0])?, Shard::ALL, 1, &|_| {})?;
        let [file, other] = ["kept.jsonl.gz", "other.jsonl.gz"].map(|name| folder.path().join(name));
        assert!(study.collect(&lab, &file, &[], false)?.conflicts.is_empty());
        let kept = Outcomes::<Found>::read(&file)?;

        let mut others = Outcomes::default();
        for cell in &cells[..2] {
            let (run, settings, text) = (cell.to_string(), study.settings_of(cell)?, String::new());
            let (commit, date, found) = (text.clone(), text, Found::default());
            others.add(Outcome { run, settings, seconds: 1.0, commit, date, processor: None, found });
        }
        others.write(&other)?;
        let collected = study.collect(&lab, &file, std::slice::from_ref(&other), false)?;
        assert_eq!((collected.merged, collected.total), (1, kept.len() + 1));
        let run = cells[0].to_string();
        assert_eq!(collected.conflicts, [Conflict { file: other, runs: vec![run.clone()] }]);
        assert_eq!(Outcomes::<Found>::read(&file)?.get(&run), kept.get(&run));
        Ok(())
    }

    #[test]
    fn what_is_kept_was_done_with_the_plans_settings() -> Result<()> {
        crate::proof::Work::of(Profile::Study)?.known()?;
        crate::finetune::Work::of(Profile::Study)?.known()?;
        Work::of(Profile::Study)?.known()?;
        Ok(())
    }

    #[test]
    fn what_was_done_with_other_settings_is_named_and_does_not_count() -> Result<()> {
        let mut study = crate::finetune::Work::of(Profile::Study)?;
        let before = study.missing(Stage::Tuning)?.len();
        // A machine that lacks data has the same plan.
        let mut lacking = study.clone();
        lacking.missing.insert("alpaca");
        assert!(lacking.outdated(&lacking.known()?)?.is_empty());
        study.plan.training.batch *= 2;
        let error = study.known().unwrap_err().to_string();
        for part in [
            "paper/recorded/study.jsonl.gz: ",
            " runs were done with other settings than the plan has now, first `finetune ",
            "` (commit ",
            "./just lab run --plan study --profile study --stage tuning\n",
            "./just lab run --plan study --profile study\n",
            "./just lab collect --plan study --restate",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
        assert!(study.missing(Stage::Tuning)?.len() > before);
        Ok(())
    }

    #[test]
    fn a_run_of_other_settings_is_kept_until_it_is_done_anew_or_restated() -> Result<()> {
        let (mut study, folder) = (Work::of(Profile::Smoke)?, tempfile::tempdir()?);
        let file = folder.path().join("kept.jsonl.gz");
        let cell = study.cells(Stage::Main)?.swap_remove(0);
        let run = cell.to_string();
        let collected = |study: &Work, is_done, restate| -> Result<String> {
            let lab = Lab::fixture()?;
            if is_done {
                queue::run(&lab, &study.jobs_of(&cell)?, Shard::ALL, 1, &|_| {})?;
            }
            study.collect(&lab, &file, &[], restate)?;
            let kept = Outcomes::<Found>::read(&file)?;
            Ok(kept.settings(&run).context("it is kept")?.to_owned())
        };
        let first = collected(&study, true, false)?;
        assert_eq!(first, study.settings_of(&cell)?);
        study.plan.pretraining.rate *= 2.0;
        assert_eq!(collected(&study, false, false)?, first);
        assert_eq!(collected(&study, false, true)?, study.settings_of(&cell)?);
        study.plan.pretraining.rate *= 2.0;
        assert_eq!(collected(&study, true, false)?, study.settings_of(&cell)?);
        // So is what another file has.
        study.plan.pretraining.rate *= 2.0;
        let (other, lab) = (folder.path().join("other.jsonl.gz"), Lab::fixture()?);
        let error = study.collect(&lab, &other, std::slice::from_ref(&file), false).unwrap_err().to_string();
        assert!(error.contains(&format!("--from {} --restate", file.display())), "{error}");
        assert_eq!(study.collect(&lab, &other, &[file], true)?.merged, 1);
        Ok(())
    }

    #[test]
    fn one_process_collects_at_a_time() -> Result<()> {
        let (study, lab, folder) = (Work::of(Profile::Smoke)?, Lab::fixture()?, tempfile::tempdir()?);
        let file = folder.path().join("kept.jsonl.gz");
        let held = collecting(&file)?;
        thread::scope(|scope| {
            let second = scope.spawn(|| study.collect(&lab, &file, &[], false));
            thread::sleep(Duration::from_millis(200));
            assert!(!second.is_finished());
            drop(held);
            second.join().expect("no panic")
        })?;
        Ok(())
    }
}
