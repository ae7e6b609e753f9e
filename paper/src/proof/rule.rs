//! What is recommended on a setting: by the program, or whatever the setting; and how good that was.

use super::outcome::Found;
use crate::planned::PLAIN;

/// Where paper B's domains are strong: its mathematics have a mean probability of 0.76 and more, its medicine of 0.59 and less.
const STRONG: f64 = 0.675;

/// A rule that recommends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The program, by prediction.
    Predicted,
    /// The program, by a race.
    Raced,
    /// The same preset on every setting.
    Always(&'static str),
    /// Paper B's continuum: −p where the labels are probable, else plain training.
    Continuum,
    /// Any candidate, all alike.
    Chance,
}

/// How good a choice was.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The candidate that was chosen; none by chance.
    pub choice: Option<String>,
    /// Share of right answers.
    pub right: f64,
    /// The most right answers of a candidate.
    pub best: f64,
    /// 1 if the choice is within a point or a standard error of the best, else 0; by chance their mean.
    pub hit: f64,
}

impl Rule {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 10] = [
        Self::Predicted,
        Self::Raced,
        Self::PLAIN,
        Self::Always("masked-mle"),
        Self::Always("-p"),
        Self::Always("f-alpha"),
        Self::Always("threshold-above"),
        Self::Always("percentile"),
        Self::Continuum,
        Self::Chance,
    ];

    /// Plain training on every setting.
    pub const PLAIN: Self = Self::Always(PLAIN);

    /// Each other objective on every setting.
    pub fn others() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|rule| matches!(rule, Self::Always(preset) if *preset != PLAIN))
    }

    /// What it is called.
    pub fn name(self) -> String {
        match self {
            Self::Predicted => "diagnose".into(),
            Self::Raced => "diagnose --race".into(),
            Self::Always(preset) => format!("always {preset}"),
            Self::Continuum => "B's continuum".into(),
            Self::Chance => "chance".into(),
        }
    }

    fn choice(self, found: &Found) -> Option<&str> {
        Some(match self {
            Self::Predicted => &found.predicted,
            Self::Raced => &found.raced,
            Self::Always(preset) => preset,
            Self::Continuum => {
                if found.probability >= STRONG {
                    "-p"
                } else {
                    PLAIN
                }
            }
            Self::Chance => return None,
        })
    }

    /// How good its choice was; `None` where the setting has no such candidate. Answers that are right or wrong have a standard
    /// error; their mean likeness has a smaller one that is not kept, and a point decides.
    pub fn score(self, found: &Found, counts_answers: bool) -> Option<Score> {
        let shares = || found.right.iter().map(|(preset, [right, of])| (preset.as_str(), right / of, *of));
        let (best, of) = shares().map(|(_, share, of)| (share, of)).max_by(|a, b| a.0.total_cmp(&b.0))?;
        let error = if counts_answers { (best * (1.0 - best) / of).sqrt() } else { 0.0 };
        let tolerance = error.max(POINT);
        let hit = |share: f64| f64::from(u8::from(share >= best - tolerance - 1e-12));
        let Some(choice) = self.choice(found) else {
            let count = found.right.len() as f64;
            let mean = |of: &dyn Fn(f64) -> f64| shares().map(|(_, share, _)| of(share)).sum::<f64>() / count;
            return Some(Score { choice: None, right: mean(&|share| share), best, hit: mean(&hit) });
        };
        let (_, right, _) = shares().find(|(preset, ..)| *preset == choice)?;
        Some(Score { choice: Some(choice.to_owned()), right, best, hit: hit(right) })
    }
}

/// What is as good as the best: a point.
const POINT: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn found(right: &[(&str, f64)], of: f64) -> Found {
        Found {
            right: right.iter().map(|(preset, share)| ((*preset).to_owned(), [share * of, of])).collect(),
            predicted: "-p".into(),
            raced: "mle".into(),
            probability: 0.7,
            diagnose: String::new(),
        }
    }

    #[test]
    fn a_choice_is_a_hit_within_a_point_or_a_standard_error() {
        let close = |of| found(&[("mle", 0.78), ("-p", 0.80)], of);
        let hit = |of, rule: Rule| Some(rule.score(&close(of), true)?.hit);
        // The best one's standard error is 1.3 points of 1,000 answers, 2.8 of 200.
        assert_eq!((hit(1_000.0, Rule::Raced), hit(200.0, Rule::Raced)), (Some(0.0), Some(1.0)));
        assert_eq!(Rule::Raced.score(&close(200.0), false).map(|score| score.hit), Some(0.0));
        assert_eq!(hit(1_000.0, Rule::Predicted), Some(1.0));
        assert_eq!(hit(1_000.0, Rule::Chance), Some(0.5));
        let near = found(&[("mle", 0.795), ("-p", 0.80)], 1e6);
        assert_eq!(Rule::Raced.score(&near, true).map(|score| score.hit), Some(1.0));
        let score = Rule::Chance.score(&near, true).unwrap();
        assert!((score.right - 0.7975).abs() < 1e-12 && score.choice.is_none());
    }

    #[test]
    fn the_continuum_has_minus_p_where_labels_are_probable() {
        let of = found(&[("mle", 0.5), ("-p", 0.6)], 100.0);
        assert_eq!(Rule::Continuum.score(&of, true).unwrap().choice.as_deref(), Some("-p"));
        let weak = Found { probability: 0.4, ..of };
        assert_eq!(Rule::Continuum.score(&weak, true).unwrap().choice.as_deref(), Some("mle"));
        assert_eq!(Rule::Always("f-alpha").score(&weak, true), None);
        let empty = Found { right: BTreeMap::new(), ..weak };
        assert_eq!(Rule::Chance.score(&empty, true), None);
    }
}
