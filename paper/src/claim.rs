//! Claims: a statement of a paper, the statistical test that it is put to, and the verdict.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An effect with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The effect itself.
    pub effect: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Independent repetitions (seeds) behind it.
    pub n: usize,
}

impl Estimate {
    /// An effect with the ends of its interval.
    pub fn new(effect: f64, low: f64, high: f64, n: usize) -> Self {
        Self { effect, low, high, n }
    }

    /// A number without sampling error: a formula's value, an exhaustive count.
    pub fn exact(effect: f64) -> Self {
        Self { effect, low: effect, high: effect, n: 1 }
    }
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval lies on the claimed side of the threshold.
    Holds,
    /// It does not.
    DoesNotHold,
    /// This run cannot tell, and why.
    NotTested(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::DoesNotHold => f.write_str("does not hold"),
            Self::NotTested(_) => f.write_str("not tested"),
        }
    }
}

/// One claim, tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// `a-12/accuracy-rises`: the figure, a slash, a name.
    pub id: String,
    /// The statement, in our words.
    pub statement: String,
    /// Paper and place.
    pub source: String,
    /// What was computed and compared.
    pub test: String,
    /// The effect, absent when the claim was not tested.
    pub estimate: Option<Estimate>,
    /// What the effect is compared with.
    pub threshold: f64,
    /// Whether the claim puts the effect above the threshold (or below it).
    pub above: bool,
    /// What came of it.
    pub verdict: Verdict,
    /// Data sets whose replacement makes the claim untested; `None` stands for all that the figure uses.
    pub data: Option<Vec<String>>,
}

impl Claim {
    /// A claim before its test; [`above`](Self::above), [`below`](Self::below) or
    /// [`not_tested`](Self::not_tested) give the verdict.
    pub fn new(id: &str, source: &str, statement: &str) -> Self {
        Self {
            id: id.into(),
            statement: statement.into(),
            source: source.into(),
            test: String::new(),
            estimate: None,
            threshold: 0.0,
            above: true,
            verdict: Verdict::NotTested("no test was given".into()),
            data: None,
        }
    }

    /// Holds if the whole interval lies above `threshold`. `test` says what was computed.
    #[must_use]
    pub fn above(self, threshold: f64, estimate: Estimate, test: &str) -> Self {
        let verdict = if estimate.low > threshold { Verdict::Holds } else { Verdict::DoesNotHold };
        let test = test.into();
        Self { test, estimate: Some(estimate), threshold, above: true, verdict, ..self }
    }

    /// Holds if the whole interval lies below `threshold`. `test` says what was computed.
    #[must_use]
    pub fn below(self, threshold: f64, estimate: Estimate, test: &str) -> Self {
        let verdict = if estimate.high < threshold { Verdict::Holds } else { Verdict::DoesNotHold };
        let test = test.into();
        Self { test, estimate: Some(estimate), threshold, above: false, verdict, ..self }
    }

    /// Cannot be decided by this run.
    #[must_use]
    pub fn not_tested(self, reason: &str) -> Self {
        Self { verdict: Verdict::NotTested(reason.into()), ..self }
    }

    /// Says which data sets the claim is about (default: all that the figure uses).
    #[must_use]
    pub fn on_data(self, names: &[&str]) -> Self {
        Self { data: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_interval_decides() {
        let claim = |low, high| {
            let estimate = Estimate::new((low + high) / 2.0, low, high, 5);
            let new = || Claim::new("x/y", "A", "s");
            (new().above(0.0, estimate, "t").verdict, new().below(0.0, estimate, "t").verdict)
        };
        assert_eq!(claim(0.1, 0.2), (Verdict::Holds, Verdict::DoesNotHold));
        assert_eq!(claim(-0.2, -0.1), (Verdict::DoesNotHold, Verdict::Holds));
        assert_eq!(claim(-0.1, 0.2), (Verdict::DoesNotHold, Verdict::DoesNotHold));
        assert_eq!(claim(f64::NAN, f64::NAN), (Verdict::DoesNotHold, Verdict::DoesNotHold));
    }
}
