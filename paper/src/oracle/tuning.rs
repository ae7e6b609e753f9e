//! The choice of learning rates, on seeds of its own: for each arm the candidate that is best by what the arm is tuned by, in
//! the mean over runs, on held-out data.

use super::measures::ANSWERS;
use super::outcome::Outcomes;
use super::plan::Quantity;
use super::work::Work;
use crate::planned::{Rate, Stage};
use anyhow::Result;
use std::collections::BTreeMap;
use tokensieve_base::statistics::mean;

/// Values of the tuning runs by arm and rate (by its bits, which order positive numbers), none where a run is missing.
type Tried = BTreeMap<u64, (f64, Vec<Option<f64>>)>;

/// What the candidates of an arm come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// The arm.
    pub arm: String,
    /// What decides.
    pub by: Quantity,
    /// Rate, and mean over the tuning runs; the least rate first.
    pub tried: Vec<(f64, f64)>,
}

impl Candidates {
    /// The best rate; the least of several.
    pub fn best(&self) -> Option<f64> {
        let worth = |value: f64| if self.by == Quantity::Right { -value } else { value };
        self.tried.iter().min_by(|a, b| worth(a.1).total_cmp(&worth(b.1))).map(|(rate, _)| *rate)
    }
}

/// The candidates of all arms whose tuning runs are all done.
pub fn candidates(work: &Work, outcomes: &Outcomes) -> Result<Vec<Candidates>> {
    let mut found: BTreeMap<String, Tried> = BTreeMap::new();
    for cell in work.cells(Stage::Tuning)? {
        let Rate::Tried(rate) = cell.rate else { continue };
        let by = work.plan.arms[&cell.arm].tuned_by;
        let group = if by == Quantity::Right { ANSWERS } else { "all" };
        let value = outcomes.of(&cell).and_then(|outcome| outcome.value("test", group, by));
        let tried = found.entry(cell.arm).or_default();
        tried.entry(rate.to_bits()).or_insert((rate, Vec::new())).1.push(value);
    }
    let mean_of = |(rate, all): (f64, Vec<Option<f64>>)| {
        let all: Option<Vec<f64>> = all.into_iter().collect();
        Some((rate, mean(&all?)?))
    };
    let complete = |(arm, tried): (String, Tried)| {
        let tried = tried.into_values().map(mean_of).collect::<Option<_>>()?;
        Some(Candidates { by: work.plan.arms[&arm].tuned_by, arm, tried })
    };
    Ok(found.into_iter().filter_map(complete).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    #[test]
    fn the_plan_has_the_rates_that_tuning_chose() {
        let work = Work::of(Profile::Study).unwrap();
        let candidates = candidates(&work, &Outcomes::recorded().unwrap()).unwrap();
        for one in &candidates {
            assert_eq!(one.best(), Some(work.plan.arms[&one.arm].rate), "{one:?}");
        }
        let tuned = work.plan.arms.values().filter(|arm| !arm.fixed_rate).count();
        let page = include_str!("../../../docs/plans/oracle.md");
        let is_draft = page.contains("**State: draft.**");
        assert!(is_draft || candidates.len() == tuned, "the tuning of some arms is not recorded");
    }
}
