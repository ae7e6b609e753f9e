//! Settings, and the runs that they ask for, as jobs of the lab.

use super::plan::{Plan, Size};
use crate::code;
use crate::lab::{Job, Value, Verb, evaluation::replies};
use crate::planned::{Claimed as _, PLAIN, Rate, size};
use crate::{Profile, finetune, oracle};
use anyhow::{Context as _, Result};
use std::fmt;
use std::sync::Arc;

/// A model and data to train it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A small model in the oracle language.
    Oracle {
        /// The seed of world, data and initial weights.
        seed: u64,
        /// The capability of the model, from 1.
        from: usize,
        /// The split that is trained on.
        split: String,
    },
    /// The study's model.
    Real {
        /// The seed of the data.
        seed: u64,
        /// Their name.
        data: String,
    },
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oracle { seed, from, split } => {
                write!(formatter, "proof oracle {split} from {from} seed {seed}")
            }
            Self::Real { seed, data } => write!(formatter, "proof study {data} seed {seed}"),
        }
    }
}

/// The plan in one size.
#[derive(Clone, Debug)]
pub struct Work {
    /// The plan.
    pub plan: Plan,
    /// The name of the size.
    pub(super) name: String,
    size: Size,
    oracle: oracle::Work,
    study: finetune::Work,
}

/// A candidate: its objective's preset and the run that trains and measures it.
pub(super) struct Candidate<C> {
    pub(super) preset: String,
    pub(super) run: C,
}

impl Work {
    /// The committed plan at a profile's size.
    pub fn of(profile: Profile) -> Result<Self> {
        let plan = Plan::load()?;
        let (name, size) = size::of(&plan.sizes, profile)?;
        let (name, size) = (name.to_owned(), *size);
        let oracle = oracle::Work::of(profile)?.with_splits(&plan.oracle.splits);
        Ok(Self { plan, name, size, oracle, study: finetune::Work::of(profile)? })
    }

    /// Whether the program that recommends is the one that the plan froze.
    pub fn is_frozen(&self) -> bool {
        self.plan.diagnose == Self::program()
    }

    /// The fingerprint of the program that recommends.
    pub fn program() -> &'static str {
        code::DIAGNOSE
    }

    /// The settings, in the order in which they are run.
    pub fn settings(&self) -> Vec<Setting> {
        let of = &self.plan.oracle;
        let [first, last] = of.seeds;
        let oracle = (first..=last).zip(0..).map(|(seed, at): (u64, usize)| {
            let (from, split) = (at % of.from.len(), at / of.from.len() % of.splits.len());
            Setting::Oracle { seed, from: of.from[from], split: of.splits[split].clone() }
        });
        let of = &self.plan.real;
        let seeds = || self.study.seeds().first(of.seeds).into_iter();
        let real =
            of.data.iter().flat_map(|data| seeds().map(|seed| Setting::Real { seed, data: data.clone() }));
        oracle.take(self.size.oracle).chain(real.take(self.size.real)).collect()
    }

    /// The oracle study, whose models are pretrained no further than a setting needs.
    pub(super) fn oracle(&self, from: usize) -> oracle::Work {
        self.oracle.pretrained_to(from)
    }

    /// The candidates of a setting in the oracle language.
    pub(super) fn of_oracle(
        &self,
        seed: u64,
        from: usize,
        split: &str,
    ) -> Result<Vec<Candidate<oracle::Cell>>> {
        let candidate = |arm: &String| {
            let (data, rate) = (split.to_owned(), Rate::Tuned);
            let run = oracle::Cell { seed, from, data, arm: arm.clone(), rate, look: None };
            let known = self.oracle.plan.arms.get(arm).with_context(|| format!("no arm `{arm}`"))?;
            Ok(Candidate { preset: preset(&known.objective)?, run })
        };
        self.plan.oracle.arms.iter().map(candidate).collect()
    }

    /// The candidates of a setting of the study's model.
    pub(super) fn of_study(&self, seed: u64, data: &str) -> Result<Vec<Candidate<finetune::Cell>>> {
        let candidate = |arm: &String| {
            let run = finetune::Cell { seed, data: data.to_owned(), arm: arm.clone(), rate: Rate::Tuned };
            Ok(Candidate { preset: preset(&self.study.plan.arm(arm)?.objective)?, run })
        };
        self.plan.real.arms.iter().map(candidate).collect()
    }

    /// The task that measures a setting of the study's model, and by what: the one that is answered greedily, for the program
    /// is asked which labels are the most probable token.
    pub(super) fn measured_by(&self, data: &str) -> Result<(&str, finetune::Quantity)> {
        let of = self.study.plan.data(data)?;
        let greedy = of.tasks.iter().find(|task| replies(task) == 1);
        let task = greedy.with_context(|| format!("{data} has no task that is answered greedily"))?;
        Ok((task, self.study.plan.answers(of)))
    }

    /// Whether its candidates are compared by how many answers are right, and not by how like the right ones they are.
    pub(super) fn counts_answers(&self, setting: &Setting) -> bool {
        let Setting::Real { data, .. } = setting else { return true };
        self.measured_by(data).is_ok_and(|(_, by)| by == finetune::Quantity::Right)
    }

    /// The jobs that train and measure a setting's candidates; none of the study's, which are its own.
    pub(super) fn trained(&self, setting: &Setting) -> Result<Vec<Arc<Job>>> {
        let Setting::Oracle { seed, from, split } = setting else { return Ok(Vec::new()) };
        let work = self.oracle(*from);
        self.of_oracle(*seed, *from, split)?.iter().map(|one| work.measured(&one.run)).collect()
    }

    /// What the program says of a setting: by prediction, and by a race.
    pub fn diagnosed(&self, setting: &Setting) -> Result<[Arc<Job>; 2]> {
        // Whichever objective they have, all candidates start from the same model and train on the same rows.
        let job = match setting {
            Setting::Oracle { seed, from, split } => {
                let candidates = self.of_oracle(*seed, *from, split)?;
                let (work, cell) = (self.oracle(*from), first(&candidates)?);
                let held_out = work.more_held_out(cell, self.plan.oracle.held_out)?;
                self.asked(
                    setting,
                    work.start(*seed, *from)?,
                    &work.training_data(cell)?,
                    &held_out,
                    &candidates,
                )
                .set("format", "text")
                .set("documents", self.plan.oracle.documents)
                .set("precision", self.oracle.plan.dtype.as_str())
            }
            Setting::Real { seed, data } => {
                let candidates = self.of_study(*seed, data)?;
                let of = self.study.plan.data(data)?;
                let rows = self.study.training_data(first(&candidates)?)?;
                let held_out = self.study.held_out(of, *seed)?;
                let job = self
                    .asked(setting, self.study.base(of)?, &rows, &held_out, &candidates)
                    .set("precision", self.study.plan.dtype.as_str());
                if of.base.is_none() { job.reading(self.study.model())? } else { job }
            }
        };
        let mut race = job.clone().set("race", true).set("race-steps", self.size.race_steps);
        race.name.push_str(", by a race");
        Ok([job.shared(), race.shared()])
    }

    fn asked<C>(
        &self,
        setting: &Setting,
        model: Value,
        rows: &Arc<Job>,
        held_out: &Arc<Job>,
        candidates: &[Candidate<C>],
    ) -> Job {
        // Plain training is always among what may be recommended.
        let presets = candidates.iter().map(|one| one.preset.as_str());
        let among: Vec<&str> = presets.filter(|preset| *preset != PLAIN).collect();
        Job::new(Verb::Diagnose, format!("diagnose {setting}"))
            .set("model", model)
            .set("data", Value::output(rows))
            .set("held-out", Value::output(held_out))
            .set("measure", self.plan.measure.as_str())
            .set("among", among.join(","))
            .set("n", ROWS)
            .set("passes", 0)
            .taking(SECONDS)
    }
}

/// Rows that are read: all of them.
const ROWS: i64 = 100_000;
/// For estimates of time.
const SECONDS: f64 = 20.0;

fn first<C>(candidates: &[Candidate<C>]) -> Result<&C> {
    candidates.first().map(|one| &one.run).context("a setting has candidates")
}

fn preset(objective: &toml::Table) -> Result<String> {
    let preset = objective.get("preset").and_then(toml::Value::as_str);
    preset.map(str::to_owned).context("a candidate is a preset")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::queue::with_needs;
    use crate::planned::Stage;
    use std::collections::BTreeSet;

    #[test]
    fn every_pair_of_capability_and_data_comes_up() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let settings = work.settings();
        let pairs: BTreeSet<(usize, &str)> = settings
            .iter()
            .filter_map(|setting| match setting {
                Setting::Oracle { from, split, .. } => Some((*from, split.as_str())),
                Setting::Real { .. } => None,
            })
            .collect();
        assert_eq!((pairs.len(), settings.len()), (45, 60));
        let names: BTreeSet<String> = settings.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), settings.len());
        Ok(())
    }

    #[test]
    fn its_seeds_are_nobody_elses() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let [first, last] = work.plan.oracle.seeds;
        for stage in [Stage::Main, Stage::Pilot, Stage::Tuning] {
            let others = work.oracle.plan.seeds.of(stage);
            assert!(others.iter().all(|seed| !(first..=last).contains(seed)));
        }
        Ok(())
    }

    #[test]
    fn the_program_is_asked_about_what_the_candidates_train_on() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let setting = Setting::Oracle { seed: 3_000, from: 2, split: "uniform-20".into() };
        let [predicted, raced] = work.diagnosed(&setting)?;
        assert_ne!(predicted.id(), raced.id());
        let names = |job: &Arc<Job>| -> BTreeSet<String> {
            with_needs(std::slice::from_ref(job)).iter().map(|job| job.name.clone()).collect()
        };
        let needed = names(&predicted);
        for job in work.trained(&setting)? {
            let own = names(&job);
            for shared in ["make oracle uniform-20 1600 from 0 seed 3000", "oracle pretraining seed 3000"] {
                assert!(needed.contains(shared) && own.contains(shared), "{shared}: {needed:?} {own:?}");
            }
        }
        // Pretraining ends with the capability that is needed.
        let command = predicted.command(std::path::Path::new("x"), &|job| job.id().into());
        assert!(command.iter().any(|word| word.ends_with("step-600")), "{command:?}");
        assert!(command.iter().any(|word| word == "masked-mle,-p,f-alpha,threshold-above,percentile"));
        assert_eq!(command[command.len() - 2..], ["--json", "x/diagnosis.json"]);
        // What the candidates are measured on is not what the program sees.
        let sets = work.oracle(2).sets(&work.of_oracle(3_000, 2, "uniform-20")?[0].run)?;
        assert!(
            sets.iter().filter(|(set, _)| *set != "training").all(|(_, rows)| !needed.contains(&rows.name))
        );
        Ok(())
    }

    #[test]
    fn the_studys_models_are_asked_about_with_their_base() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        for setting in work.settings().iter().filter(|setting| matches!(setting, Setting::Real { .. })) {
            let [predicted, _] = work.diagnosed(setting)?;
            assert!(with_needs(&[predicted]).len() >= 3, "{setting}");
            assert!(work.trained(setting)?.is_empty());
        }
        Ok(())
    }
}
