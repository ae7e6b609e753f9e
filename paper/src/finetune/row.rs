//! Rows of the study's tables: means over seeds of what its runs measured.

use super::measures::Quantity;
use super::outcome::Outcomes;
use super::plan::Term;
use super::work::Work;
use crate::planned::contrast::over_seeds;
use crate::planned::{Claimed as _, Decided, Declared, PlannedRuns as _, Rate, Stage};
use crate::table::distinct;
use crate::{Estimate, Profile, Run, row};
use anyhow::Result;

row! {
    /// A mean over seeds.
    pub struct SeedMean {
        data: String = "what is trained on, as in paper/plans/study.toml",
        arm: String = "the way of training, as in the plan; `before`: none",
        rate: Rate = "tuned: the arm's own learning rate; matched: plain training's rate, gradients on the labels' logits as large as its own",
        set: String = "a task, or documents: `test` (held out), `training` (trained on), or other data's, held out",
        minus: Option<String> = "the same measure of these documents is subtracted",
        measure: Quantity = "of documents, in nats per token: fitted (loss at the temperature at which it is least), \
                             nll, hard and rest (loss of the quarter of the tokens with the base's largest losses, and \
                             of the others), overconfidence (loss minus mean entropy); of their tokens: probability, \
                             accuracy, calibration-error; of a task: right (answers, or constraints that are met), \
                             likeness (Jaro-Winkler), margin (nats)",
        versus: Option<String> = "the same measure of this arm is subtracted, seed by seed",
        seeds: usize = "number of seeds, each with documents of its own",
        value: f64 = "mean over seeds",
        low: f64 = "lower end of Student's 95 % interval; the value itself for one seed",
        high: f64 = "upper end",
    }
}

impl SeedMean {
    /// With its interval.
    pub fn estimate(&self) -> Estimate {
        Estimate { value: self.value, low: self.low, high: self.high, n: self.seeds }
    }

    /// With its interval, and positive where it is better.
    pub fn gain(&self) -> Estimate {
        let Estimate { value, low, high, n } = self.estimate();
        if self.measure.more_is_better() {
            return Estimate { value, low, high, n };
        }
        Estimate { value: -value, low: -high, high: -low, n }
    }
}

/// The runs of a profile.
pub struct Study {
    /// What was to be run.
    pub work: Work,
    /// What came of it.
    pub outcomes: Outcomes,
}

impl Study {
    /// The runs of a profile in some groups of the plan: those that the repository keeps are read, others are done first.
    pub fn of(run: &Run, groups: &[&str]) -> Result<Self> {
        let work = Work::available(run.profile, run.lab())?.only(groups);
        Ok(Self { outcomes: work.done(run)?, work })
    }

    /// What the groups train on.
    pub fn data(&self) -> Vec<&String> {
        distinct(self.work.plan.groups.iter().flat_map(|group| &group.data))
    }

    /// What the primary claims compare. A laptop, whose small runs could not decide them, has what the repository keeps of the
    /// whole study.
    pub fn compared(run: &Run) -> Result<Self> {
        if run.profile == Profile::Laptop && !run.lab().is_fixture() {
            let work = Work::of(Profile::Study)?.only_compared();
            return Ok(Self { outcomes: work.kept(run)?, work });
        }
        let work = Work::available(run.profile, run.lab())?.only_compared();
        Ok(Self { outcomes: work.done(run)?, work })
    }

    /// The primary claims, decided.
    pub fn decided(&self) -> Result<Vec<Decided>> {
        self.work.decided(&self.outcomes)
    }

    /// What stands beside primary claims, tested: each on its own, uncorrected.
    pub fn beside(&self) -> Result<Vec<Decided>> {
        let pairs = |claim: &Declared| self.work.pairs(&self.outcomes, claim, Stage::Main);
        let all = Decided::all(&self.work.plan.beside(), pairs)?;
        Ok(all.into_iter().map(|one| Decided { p_holm: None, ..one }).collect())
    }

    /// The mean of a term, or of its difference from another arm's at that arm's own rate, over the seeds that have both;
    /// `None` where none has.
    pub fn row(&self, term: &Term, versus: Option<&str>) -> Option<SeedMean> {
        let other = versus.map(|arm| Term { arm: arm.to_owned(), rate: Rate::Tuned, ..term.clone() });
        let of_seed = |seed| {
            let subtracted = other.as_ref().map_or(Some(0.0), |other| self.outcomes.value(other, seed));
            Some(self.outcomes.value(term, seed)? - subtracted?)
        };
        let seeds = self.work.plan.seeds.of(Stage::Main).into_iter();
        let Estimate { value, low, high, n } = over_seeds(&seeds.filter_map(of_seed).collect::<Vec<_>>())?;
        let Term { arm, data, rate, set, minus, of } = term.clone();
        Some(SeedMean {
            data,
            arm,
            rate,
            set,
            minus,
            measure: of,
            versus: versus.map(str::to_owned),
            seeds: n,
            value,
            low,
            high,
        })
    }

    /// A row for each arm of a list, by everything that models trained on some data are measured by.
    pub fn rows(&self, data: &str, arms: &[&str], rate: Rate, versus: Option<&str>) -> Result<Vec<SeedMean>> {
        let mut rows = Vec::new();
        for arm in arms {
            for (set, of) in self.work.plan.data(data)?.outcomes() {
                let (arm, data) = ((*arm).to_owned(), data.to_owned());
                let term = Term { arm, data, rate, set, minus: None, of };
                rows.extend(self.row(&term, versus));
            }
        }
        Ok(rows)
    }
}
