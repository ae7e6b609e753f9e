//! What came of each setting, kept in the repository: `paper/recorded/proof.jsonl.gz`, one line per setting.

use super::work::{Candidate, Setting, Work};
use crate::code;
use crate::finetune;
use crate::lab::{Job, Lab, Provenance, Verb};
use crate::oracle::Quantity;
use crate::oracle::measures::ANSWERS;
use crate::planned::{self, Outcome, PlannedRuns, Stage, outcomes::Measured};
use crate::read;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// By candidate (the objective's preset) the sum of its right answers, and of how many.
pub type Right = BTreeMap<String, [f64; 2]>;

/// What was measured of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What the candidates came to.
    pub right: Right,
    /// What is recommended by prediction.
    pub predicted: String,
    /// What is recommended by a race.
    pub raced: String,
    /// Mean probability of the labels of what is trained on, before training.
    pub probability: f64,
    /// The fingerprint of the program that recommended.
    pub diagnose: String,
}

/// The settings that are done, by name.
pub type Outcomes = planned::Outcomes<Found>;

#[derive(Deserialize)]
struct Diagnosis {
    classes: Vec<Class>,
    recommendation: Recommendation,
}

/// Of all tokens first.
#[derive(Deserialize)]
struct Class {
    mean_p: f64,
}

#[derive(Deserialize)]
struct Recommendation {
    objective: String,
}

impl Diagnosis {
    fn read(job: &Job, lab: &Lab) -> Result<Self> {
        read::json(&lab.place(job).join(Verb::Diagnose.output()))
    }
}

impl Work {
    /// What each candidate of a setting came to, with the seconds that it took; `None` while one of them is missing.
    fn right(&self, setting: &Setting, lab: &Lab) -> Result<Option<(Right, f64)>> {
        let mut right = BTreeMap::new();
        let mut seconds = 0.0;
        match setting {
            Setting::Oracle { seed, from, split } => {
                let work = self.oracle(*from);
                for Candidate { preset, run } in self.of_oracle(*seed, *from, split)? {
                    let Some(outcome) = work.found(&run, lab)? else { return Ok(None) };
                    let counted = outcome.found.sets["test"].counted(ANSWERS, Quantity::Right);
                    right.insert(preset, counted.with_context(|| format!("{run}: no answers"))?);
                    seconds += outcome.seconds;
                }
            }
            Setting::Real { seed, data } => {
                let (recorded, (task, by)) = (finetune::Work::recorded()?, self.measured_by(data)?);
                for Candidate { preset, run } in self.of_study(*seed, data)? {
                    let Some(found) = recorded.get(&run.to_string()) else { return Ok(None) };
                    let counted = found.get(task).and_then(|found| found.counted(by));
                    right.insert(preset, counted.with_context(|| format!("{run}: no answers"))?);
                }
            }
        }
        Ok(Some((right, seconds)))
    }
}

impl Measured for Found {}

impl PlannedRuns for Work {
    type Cell = Setting;
    type Found = Found;

    const KEPT: &'static str = "paper/recorded/proof.jsonl.gz";
    const RECORDED: &'static [u8] = include_bytes!("../../recorded/proof.jsonl.gz");

    fn size(&self) -> &str {
        &self.name
    }

    fn cells(&self, stage: Stage) -> Result<Vec<Setting>> {
        Ok(if stage == Stage::Main { self.settings() } else { Vec::new() })
    }

    fn jobs_of(&self, setting: &Setting) -> Result<Vec<Arc<Job>>> {
        Ok(self.trained(setting)?.into_iter().chain(self.diagnosed(setting)?).collect())
    }

    fn found(&self, setting: &Setting, lab: &Lab) -> Result<Option<Outcome<Found>>> {
        let [predicted, raced] = self.diagnosed(setting)?;
        let Some((first, last)) = lab.done(&predicted).zip(lab.done(&raced)) else { return Ok(None) };
        let Some((right, seconds)) = self.right(setting, lab)? else { return Ok(None) };
        let (predicted, raced) = (Diagnosis::read(&predicted, lab)?, Diagnosis::read(&raced, lab)?);
        let all = predicted.classes.first().context("a diagnosis has a class of all tokens")?;
        let found = Found {
            right,
            probability: planned::outcomes::rounded(all.mean_p, 4),
            predicted: predicted.recommendation.objective,
            raced: raced.recommendation.objective,
            diagnose: code::DIAGNOSE.to_owned(),
        };
        let seconds = seconds + first.seconds + last.seconds;
        let (run, provenance) = (setting.to_string(), Provenance { seconds, ..last });
        Ok(Some(Outcome::new(run, self.settings_of(setting)?, provenance, found)))
    }

    /// Each setting's candidates, then what the program says of it. At full size no other program is asked than the one that
    /// the plan froze, and none about the study's models before the study has what their candidates came to.
    fn absent(&self, outcomes: &Outcomes, stage: Stage) -> Result<Vec<Arc<Job>>> {
        if self.is_full() && !self.is_frozen() {
            return Ok(Vec::new());
        }
        let studied = finetune::Work::recorded()?;
        let mut jobs = Vec::new();
        for setting in self.cells(stage)?.iter().filter(|setting| !outcomes.has(&setting.to_string())) {
            if let Setting::Real { seed, data } = setting
                && !self.of_study(*seed, data)?.iter().all(|one| studied.has(&one.run.to_string()))
            {
                continue;
            }
            jobs.extend(self.jobs_of(setting)?);
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    #[test]
    fn what_is_kept_was_recommended_by_what_the_plan_froze() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let kept = Work::recorded()?;
        for setting in work.settings() {
            if let Some(found) = kept.get(&setting.to_string()) {
                assert_eq!(found.diagnose, work.plan.diagnose, "{setting}");
                assert!(found.right.contains_key(&found.predicted) && found.right.contains_key(&found.raced));
            }
        }
        Ok(())
    }

    #[test]
    fn nothing_is_run_by_another_program() -> Result<()> {
        let mut work = Work::of(Profile::Study)?;
        work.plan.diagnose = "another".into();
        assert!(work.absent(&Outcomes::default(), Stage::Main)?.is_empty());
        work.plan.diagnose = code::DIAGNOSE.into();
        // Two diagnoses of each of 48 settings, and six candidates.
        assert!(work.absent(&Outcomes::default(), Stage::Main)?.len() >= 48 * 8);
        Ok(())
    }
}
