//! The choice of learning rates, on seeds of its own: for each arm the candidate that is best by what the arm is tuned by, in
//! the mean over runs.

use std::collections::{BTreeMap, BTreeSet};
use tokensieve_base::statistics::mean;

/// What the candidates of an arm come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// The arm.
    pub arm: String,
    /// What decides.
    pub by: String,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// Rate, and mean over the tuning runs; the least rate first.
    pub tried: Vec<(f64, f64)>,
}

/// A tuning run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Its arm.
    pub arm: String,
    /// Its learning rate.
    pub rate: f64,
    /// What decides, if the run is done.
    pub value: Option<f64>,
}

impl Candidates {
    /// Of all arms whose tuning runs are all done. `by` says what decides about an arm, and whether more of it is better.
    pub fn of(runs: impl IntoIterator<Item = Tried>, by: impl Fn(&str) -> (String, bool)) -> Vec<Self> {
        let mut by_arm: BTreeMap<String, Vec<Tried>> = BTreeMap::new();
        for run in runs {
            by_arm.entry(run.arm.clone()).or_default().push(run);
        }
        let complete = |(arm, runs): (String, Vec<Tried>)| {
            // By rate: its bits order positive numbers.
            let rates: BTreeSet<u64> = runs.iter().map(|run| run.rate.to_bits()).collect();
            let mean_at = |rate: u64| {
                let at = runs.iter().filter(|run| run.rate.to_bits() == rate);
                let values: Option<Vec<f64>> = at.map(|run| run.value).collect();
                Some((f64::from_bits(rate), mean(&values?)?))
            };
            let tried = rates.into_iter().map(mean_at).collect::<Option<_>>()?;
            let (by, more_is_better) = by(&arm);
            Some(Self { arm, by, more_is_better, tried })
        };
        by_arm.into_iter().filter_map(complete).collect()
    }

    /// The best rate; the least of several.
    pub fn best(&self) -> Option<f64> {
        let worth = |value: f64| if self.more_is_better { -value } else { value };
        self.tried.iter().min_by(|a, b| worth(a.1).total_cmp(&worth(b.1))).map(|(rate, _)| *rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_rate_is_that_of_the_best_mean_over_all_runs() {
        let tried = |arm: &str, rate, value| Tried { arm: arm.into(), rate, value };
        let runs = [
            tried("a", 1e-3, Some(0.5)),
            tried("a", 1e-4, Some(0.25)),
            tried("a", 1e-3, Some(0.5)),
            tried("a", 1e-4, Some(0.5)),
            tried("b", 1e-3, Some(0.5)),
            tried("b", 1e-4, None),
        ];
        let found = |more| Candidates::of(runs.clone(), |_| ("loss".into(), more));
        assert_eq!(found(false).len(), 1, "not all runs of b are done");
        assert_eq!(found(false)[0].tried, [(1e-4, 0.375), (1e-3, 0.5)]);
        assert_eq!((found(false)[0].best(), found(true)[0].best()), (Some(1e-4), Some(1e-3)));
    }
}
