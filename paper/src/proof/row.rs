//! Rows of the figure's table: what each rule chose on each setting, and how good that was.

use super::outcome::Outcomes;
use super::rule::{Rule, Score};
use super::work::{Setting, Work};
use crate::planned::PlannedRuns as _;
use crate::{Estimate, Run, row};
use anyhow::Result;
use tokensieve_base::statistics::{binomial_interval, mean_interval};

row! {
    /// What a rule chose on a setting.
    pub struct Choice {
        model: String = "oracle: a small model in the oracle language; study: the study's model",
        from: Option<usize> = "its capability in the oracle language, 1 (weak) to 5",
        data: String = "what is trained on, as in paper/plans",
        seed: u64 = "seed of the setting",
        rule: String = "what recommends",
        choice: Option<String> = "the objective that it recommends; none by chance",
        right: f64 = "share of right answers after training with it (of the cipher likeness); by chance the \
                      candidates' mean",
        best: f64 = "the best candidate's",
        hit: f64 = "1 if it is within a point, or a standard error, of the best, else 0; by chance the candidates' \
                    mean",
    }
}

/// A small model in the oracle language.
pub const ORACLE: &str = "oracle";
/// The study's model.
pub const STUDY: &str = "study";

/// Coverage of the interval of hits.
const COVERAGE: f64 = 0.95;

impl Choice {
    /// Of all settings of a profile, by every rule, once all are done.
    pub fn all(run: &Run) -> Result<Vec<Self>> {
        let work = Work::of(run.profile)?;
        let outcomes = work.done(run)?;
        // Counted when all are done: who looks on the way may stop where it pleases.
        let all: Option<Vec<_>> =
            work.settings().iter().map(|setting| Self::of(setting, &work, &outcomes)).collect();
        Ok(all.unwrap_or_default().concat())
    }

    /// Of one setting; `None` while it is not done.
    fn of(setting: &Setting, work: &Work, outcomes: &Outcomes) -> Option<Vec<Self>> {
        let found = outcomes.get(&setting.to_string())?;
        let (model, from, data, seed) = match setting {
            Setting::Oracle { seed, from, split } => (ORACLE, Some(*from), split, *seed),
            Setting::Real { seed, data } => (STUDY, None, data, *seed),
        };
        let row = |rule: Rule| {
            let Score { choice, right, best, hit } = rule.score(found, work.counts_answers(setting))?;
            let (model, data, rule) = (model.to_owned(), data.clone(), rule.name());
            Some(Self { model, from, data, seed, rule, choice, right, best, hit })
        };
        Some(Rule::ALL.into_iter().filter_map(row).collect())
    }

    /// How many points of right answers the choice lacks.
    pub fn regret(&self) -> f64 {
        100.0 * (self.best - self.right)
    }

    /// The setting, whatever the rule.
    fn setting(&self) -> (&str, Option<usize>, &str, u64) {
        (&self.model, self.from, &self.data, self.seed)
    }
}

/// The rows of a rule.
pub fn by(rows: &[Choice], rule: Rule) -> Vec<&Choice> {
    let name = rule.name();
    rows.iter().filter(|row| row.rule == name).collect()
}

/// How often a rule hits, with an exact interval; by chance without one.
pub fn hits(rows: &[Choice], rule: Rule) -> Option<Estimate> {
    let of = by(rows, rule);
    let sum: f64 = of.iter().map(|row| row.hit).sum();
    let found = binomial_interval(sum.round() as usize, of.len(), COVERAGE)?;
    let value = sum / of.len() as f64;
    Some(if rule == Rule::Chance { Estimate { value, low: value, high: value, n: of.len() } } else { found })
}

/// What a rule's choices lack on average, in points.
pub fn regret(rows: &[Choice], rule: Rule) -> Option<Estimate> {
    mean_interval(&by(rows, rule).into_iter().map(Choice::regret).collect::<Vec<_>>())
}

/// How much more another rule's choices lack, setting by setting, in points.
pub fn spared(rows: &[Choice], rule: Rule, other: Rule) -> Option<Estimate> {
    let others = by(rows, other);
    let spared = |row: &Choice| {
        let same = others.iter().find(|other| other.setting() == row.setting())?;
        Some(same.regret() - row.regret())
    };
    mean_interval(&by(rows, rule).into_iter().filter_map(spared).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rule: Rule, seed: u64, right: f64, hit: f64) -> Choice {
        let (model, data) = ("oracle".into(), "train".into());
        Choice { model, from: Some(1), data, seed, rule: rule.name(), choice: None, right, best: 0.9, hit }
    }

    #[test]
    fn rules_are_compared_on_the_same_settings() {
        let plain = Rule::Always("mle");
        let rows = [
            row(Rule::Predicted, 1, 0.9, 1.0),
            row(Rule::Predicted, 2, 0.8, 0.0),
            row(plain, 2, 0.7, 0.0),
            row(plain, 1, 0.9, 1.0),
            row(Rule::Chance, 1, 0.85, 0.4),
        ];
        let spared = spared(&rows, Rule::Predicted, plain).unwrap();
        assert!((spared.value - 5.0).abs() < 1e-9 && spared.n == 2, "{spared:?}");
        let found = hits(&rows, Rule::Predicted).unwrap();
        assert_eq!((found.value, found.n), (0.5, 2));
        assert!(found.low < 0.05 && found.high > 0.95);
        assert_eq!(hits(&rows, Rule::Chance).map(|share| share.value), Some(0.4));
        assert!((regret(&rows, Rule::Predicted).unwrap().value - 5.0).abs() < 1e-9);
        assert_eq!(hits(&rows, Rule::Raced), None);
    }
}
