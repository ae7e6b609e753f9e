//! Rows of the study's tables: means over seeds of what its runs measured.

use super::outcome::Outcomes;
use super::plan::{Quantity, Term};
use super::proxies::{self, Qualities};
use super::work::Work;
use crate::planned::{Claimed as _, Decided, PlannedRuns as _, Rate, Stage, contrast::over_seeds};
use crate::{Estimate, Run, row};
use anyhow::Result;

row! {
    /// A mean over seeds.
    pub struct OracleMean {
        arm: String = "the way of training, as in paper/plans/oracle.toml",
        from: usize = "capability of the model that it starts from, 1 (weak) to 5",
        data: String = "post-training data",
        rate: Rate = "tuned: the arm's own rate; plain: plain training's; matched: that, gradients on the labels' logits as large as its own",
        step: Option<u64> = "step after which the model was measured; the last if empty, 0 before training",
        set: String = "documents: test (held out), deep (longer chains), former (pretraining's, held out), training",
        minus: Option<String> = "the same measure of these documents is subtracted",
        group: String = "group of tokens",
        measure: Quantity = "kl, loss, entropy, entropy-gap: mean over tokens, nats; probability, right, selected: \
                             shares",
        versus: Option<String> = "the same measure of this arm is subtracted, seed by seed",
        seeds: usize = "number of seeds, each with a world, data and initial weights of its own",
        value: f64 = "mean over seeds",
        low: f64 = "lower end of Student's 95 % interval; the value itself for one seed",
        high: f64 = "upper end",
    }
}

impl OracleMean {
    /// With its interval.
    pub fn estimate(&self) -> Estimate {
        Estimate { value: self.value, low: self.low, high: self.high, n: self.seeds }
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
    /// The runs of a profile: those that the repository keeps are read, others are done first.
    pub fn of(run: &Run) -> Result<Self> {
        let work = Work::of(run.profile)?;
        Ok(Self { outcomes: work.done(run)?, work })
    }

    /// The main seeds.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        self.work.plan.seeds.of(Stage::Main).into_iter()
    }

    /// The primary claims, decided.
    pub fn decided(&self) -> Result<Vec<Decided>> {
        self.work.decided(&self.outcomes)
    }

    /// What proxies found in the searches of a capability on some data, seed by seed.
    pub fn searched<'a>(
        &'a self,
        from: usize,
        data: &'a str,
    ) -> impl Iterator<Item = &'a Qualities> + use<'a> {
        self.seeds().filter_map(move |seed| self.outcomes.named(&proxies::name(data, from, seed)))
    }

    /// The mean of a term, or of its difference from another arm's, over the seeds that have both; `None` where none has. The
    /// other arm has its own rate; beside runs at plain training's rate it has that, in a run beside them if there is one.
    pub fn row(&self, term: &Term, versus: Option<&str>) -> Option<OracleMean> {
        let rate_of = |arm: &str| self.work.plan.arms.get(arm).map(|arm| arm.rate);
        let others: Option<Vec<Term>> = versus.map(|arm| {
            let rates: &[Rate] = match term.rate {
                Rate::Tuned => &[Rate::Tuned],
                rate if rate_of(arm) == rate_of(rate.arm_of(arm)) => &[Rate::Plain, Rate::Tuned],
                _ => &[Rate::Plain],
            };
            let other = |rate: &Rate| Term { arm: arm.to_owned(), rate: *rate, ..term.clone() };
            rates.iter().map(other).collect()
        });
        let of_seed = |seed| {
            let first = |others: &Vec<Term>| others.iter().find_map(|other| self.outcomes.value(other, seed));
            let subtracted = others.as_ref().map_or(Some(0.0), first);
            Some(self.outcomes.value(term, seed)? - subtracted?)
        };
        let Estimate { value, low, high, n } =
            over_seeds(&self.seeds().filter_map(of_seed).collect::<Vec<_>>())?;
        let Term { arm, from, data, rate, look, set, minus, group, of } = term.clone();
        Some(OracleMean {
            arm,
            from,
            data,
            rate,
            step: look,
            set,
            minus,
            group,
            measure: of,
            versus: versus.map(str::to_owned),
            seeds: n,
            value,
            low,
            high,
        })
    }

    /// A row for each arm of a list on each data and from each capability, as far as there are runs.
    pub fn grid(&self, terms: &Grid<'_>) -> Vec<OracleMean> {
        let Grid { arms, from, data, rate, look, set, minus, groups, of, versus } = *terms;
        let mut rows = Vec::new();
        for data in data {
            for from in from {
                for arm in arms {
                    for group in groups {
                        let term = Term {
                            arm: (*arm).to_owned(),
                            from: *from,
                            data: (*data).to_owned(),
                            rate,
                            look,
                            set: set.to_owned(),
                            minus: minus.map(str::to_owned),
                            group: (*group).to_owned(),
                            of,
                        };
                        rows.extend(self.row(&term, versus));
                    }
                }
            }
        }
        rows
    }
}

/// Runs and measures that are crossed.
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a> {
    /// Arms.
    pub arms: &'a [&'a str],
    /// Capabilities.
    pub from: &'a [usize],
    /// Data.
    pub data: &'a [&'a str],
    /// How large steps are.
    pub rate: Rate,
    /// The step after which models are measured.
    pub look: Option<u64>,
    /// Documents.
    pub set: &'a str,
    /// Documents whose measure is subtracted.
    pub minus: Option<&'a str>,
    /// Groups of tokens.
    pub groups: &'a [&'a str],
    /// The measure.
    pub of: Quantity,
    /// The arm that is subtracted.
    pub versus: Option<&'a str>,
}

impl Default for Grid<'_> {
    /// KL of all held-out tokens.
    fn default() -> Self {
        Self {
            arms: &[],
            from: &[4],
            data: &["clean"],
            rate: Rate::Tuned,
            look: None,
            set: "test",
            minus: None,
            groups: &["all"],
            of: Quantity::Kl,
            versus: None,
        }
    }
}
