//! Claims: a statement of a paper, the statistical test that it is put to, and the verdict.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use tokensieve_base::statistics::{Estimate, quantile, student_quantile};

/// A number without sampling error: a formula's value, an exhaustive count.
pub fn exact(value: f64) -> Estimate {
    Estimate { value, low: value, high: value, n: 1 }
}

/// The largest of such numbers; `None` if one is NaN, which `f64::max` would pass over.
pub fn largest(values: impl IntoIterator<Item = f64>) -> Option<Estimate> {
    quantile(&values.into_iter().collect::<Vec<_>>(), 1.0).map(exact)
}

/// An estimate as tables hold it: value, lower and upper end of its interval, and n.
pub fn estimate([value, low, high]: [f64; 3], n: usize) -> Estimate {
    Estimate { value, low, high, n }
}

/// The difference of two estimates that a table does not pair: the widest that their intervals allow.
pub fn apart(one: Estimate, other: Estimate) -> Estimate {
    let [value, low, high] = [one.value - other.value, one.low - other.high, one.high - other.low];
    estimate([value, low, high], one.n.min(other.n))
}

/// The estimate behind a claim that several estimates must support together (an intersection-union test): value, both ends of
/// the interval and n are each the least of theirs. All must support it, which needs no correction; one of many refutes it, so
/// the upper ends are first corrected for their number (Bonferroni). `None` if an estimate is NaN.
pub fn least(of: impl IntoIterator<Item = Estimate>) -> Option<Estimate> {
    let of: Vec<Estimate> = of.into_iter().collect();
    let several = of.len();
    if of.iter().any(|one| one.value.is_nan()) {
        return None;
    }
    of.into_iter().map(|one| Estimate { high: corrected(one, several), ..one }).reduce(|a, b| Estimate {
        value: a.value.min(b.value),
        low: a.low.min(b.low),
        high: a.high.min(b.high),
        n: a.n.min(b.n),
    })
}

/// The upper end of a 95 % interval that is one of several, all of which are to hold at once.
fn corrected(one: Estimate, several: usize) -> f64 {
    let quantile = |tail: f64| student_quantile(1.0 - tail, one.n.saturating_sub(1));
    let wider = quantile(0.025 / several as f64).zip(quantile(0.025)).map_or(1.0, |(all, own)| all / own);
    one.value + (one.high - one.value) * wider
}

/// The source of claims that no paper makes: questions of our own, asked of the same runs.
pub const OURS: &str = "ours";

/// The verdict on a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval lies on the claimed side of the threshold.
    Holds,
    /// It lies on the other side, or the effect is exact and not on the claimed side.
    DoesNotHold,
    /// It is too small to matter, in either direction.
    PracticallyEqual,
    /// The threshold lies inside the interval or at its end, what was sampled several times was the same each time,
    /// or a correction for other tests takes away what the interval alone would decide.
    Undecided,
    /// No test was made here, and why.
    NotTested(String),
}

impl Verdict {
    /// What verdicts are called, in the order of tables.
    pub const NAMES: [&'static str; 5] =
        ["holds", "does not hold", "practically equal", "undecided", "not tested"];

    /// What it is called.
    pub fn name(&self) -> &'static str {
        let [holds, does_not_hold, equal, undecided, not_tested] = Self::NAMES;
        match self {
            Self::Holds => holds,
            Self::DoesNotHold => does_not_hold,
            Self::PracticallyEqual => equal,
            Self::Undecided => undecided,
            Self::NotTested(_) => not_tested,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of evidence a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// What the paper itself measures, or argues about in a setting that it describes.
    Paper,
    /// Another measure, which stands in for the paper's.
    Proxy,
    /// The exact distribution of every token, which only a made-up language has.
    Truth,
    /// A question that no paper asks.
    Ours,
    /// A calculation that comes out right unless the program is wrong: algebra, counts, what a design implies. It is counted apart.
    Check,
}

impl Evidence {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Paper, Self::Proxy, Self::Truth, Self::Ours, Self::Check];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper's measure",
            Self::Proxy => "proxy",
            Self::Truth => "truth",
            Self::Ours => "ours",
            Self::Check => "check",
        }
    }

    /// What it means, in a sentence without a full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Paper => "what the paper itself measures, at the size given",
            Self::Proxy => {
                "another measure stands in for the paper's: the loss on held-out text for answers, constraints met for a judge"
            }
            Self::Truth => "measured against the exact distribution of every token, in the oracle language",
            Self::Ours => "a question that no paper asks",
            Self::Check => "algebra, counts, what a design implies: a failure is an error and no finding",
        }
    }
}

/// How many claims are tested, whatever the corpora, models and measures that each is tested on.
pub fn distinct<'a>(tests: impl IntoIterator<Item = &'a Claim>) -> usize {
    tests.into_iter().map(Claim::asked).collect::<BTreeSet<_>>().len()
}

/// How many tests have each of [`Verdict::NAMES`].
pub fn tally<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> [usize; 5] {
    let found: Vec<&str> = claims.into_iter().map(|claim| claim.verdict.name()).collect();
    Verdict::NAMES.map(|name| found.iter().filter(|one| **one == name).count())
}

/// Where a claim puts an effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    /// Above a threshold.
    Above(f64),
    /// Below a threshold.
    Below(f64),
}

impl Expected {
    /// The same with a threshold that is easier to meet by so much.
    #[must_use]
    pub fn loosened(self, by: f64) -> Self {
        match self {
            Self::Above(threshold) => Self::Above(threshold - by),
            Self::Below(threshold) => Self::Below(threshold + by),
        }
    }
}

/// A claim of a figure as data: who claims what, and how a `T`, made from the figure's table, decides it.
pub struct Declared<T: ?Sized> {
    /// Its name in ids: `accuracy-rises`.
    pub id: &'static str,
    /// Paper and place, or [`OURS`].
    pub source: &'static str,
    /// What kind of evidence the test is.
    pub evidence: Evidence,
    /// The claim, in our words.
    pub statement: &'static str,
    /// What is computed and compared.
    pub test: &'static str,
    /// Where the claim puts the effect.
    pub expected: Expected,
    /// The effect, `None` where it is undefined.
    pub effect: fn(&T) -> Option<Estimate>,
}

impl<T: ?Sized> Declared<T> {
    /// The claim as this figure makes it, not yet tested.
    pub fn of(&self, figure: &str) -> Claim {
        Claim::new(&format!("{figure}/{}", self.id), self.source, self.statement).by(self.evidence)
    }

    /// The claim as this figure makes it, tested.
    pub fn tested(&self, figure: &str, on: &T) -> Claim {
        self.of(figure).expecting(self.expected, (self.effect)(on), self.test)
    }
}

/// One claim, tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Claim {
    /// `a-12/accuracy-rises`: the figure, a slash, a name.
    pub id: String,
    /// What is asked, whatever corpus, model and measure it is tested on: the same for all tests of one claim.
    pub question: String,
    /// What kind of evidence the test is.
    pub evidence: Evidence,
    /// The question of another figure that asks the same, if there is one.
    pub same: Option<String>,
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
    /// The smallest difference from the threshold that matters, where a plan says so.
    pub matters: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
    /// Data sets whose replacement makes the claim untested; `None` stands for all that the figure uses.
    pub data: Option<Vec<String>>,
}

impl Claim {
    /// A claim before its test; [`above`](Self::above), [`below`](Self::below) or
    /// [`not_tested`](Self::not_tested) give the verdict. The test is by the paper's own measure unless [`by`](Self::by) says
    /// otherwise.
    pub fn new(id: &str, source: &str, statement: &str) -> Self {
        Self {
            id: id.into(),
            question: id.into(),
            evidence: if source.starts_with(OURS) { Evidence::Ours } else { Evidence::Paper },
            same: None,
            statement: statement.into(),
            source: source.into(),
            test: String::new(),
            estimate: None,
            threshold: 0.0,
            above: true,
            matters: None,
            verdict: Verdict::NotTested("no test was given".into()),
            data: None,
        }
    }

    /// Holds if the whole interval lies above `threshold`, does not hold if it lies below, and is undecided between.
    /// `test` says what was computed. A statistic that is undefined on the table (`None`) leaves the claim untested.
    pub fn above(self, threshold: f64, estimate: impl Into<Option<Estimate>>, test: &str) -> Self {
        self.expecting(Expected::Above(threshold), estimate, test)
    }

    /// Holds if the whole interval lies below `threshold`; the rest is like [`above`](Self::above).
    pub fn below(self, threshold: f64, estimate: impl Into<Option<Estimate>>, test: &str) -> Self {
        self.expecting(Expected::Below(threshold), estimate, test)
    }

    /// [`above`](Self::above) or [`below`](Self::below), as `expected` says.
    pub fn expecting(self, expected: Expected, estimate: impl Into<Option<Estimate>>, test: &str) -> Self {
        let (above, threshold) = match expected {
            Expected::Above(threshold) => (true, threshold),
            Expected::Below(threshold) => (false, threshold),
        };
        let estimate = estimate.into();
        let verdict = match estimate {
            None => Verdict::NotTested("the statistic is undefined on this table".into()),
            // Counts of a few answers are the same on two seeds by chance.
            Some(e) if e.n > 1 && e.is_without_spread() => Verdict::Undecided,
            Some(e) if (above && e.above(threshold)) || (!above && e.below(threshold)) => Verdict::Holds,
            Some(e) if (above && e.below(threshold)) || (!above && e.above(threshold)) => {
                Verdict::DoesNotHold
            }
            Some(e) if e.high <= e.low => Verdict::DoesNotHold,
            Some(_) => Verdict::Undecided,
        };
        Self { test: test.into(), estimate, threshold, above, verdict, ..self }
    }

    /// A verdict that a test other than an interval gave. The claim puts the effect above zero or below it.
    pub fn decided(self, verdict: Verdict, estimate: Option<Estimate>, above: bool, test: &str) -> Self {
        Self { test: test.into(), estimate, threshold: 0.0, above, verdict, ..self }
    }

    /// Cannot be decided by this run.
    pub fn not_tested(self, reason: &str) -> Self {
        Self { verdict: Verdict::NotTested(reason.into()), ..self }
    }

    /// One of several cases of a claim: `-whitened` in its id, ` (whitened features)` in its statement. Commas, slashes and
    /// blanks of `id` become hyphens.
    pub fn of_case(self, id: &str, statement: &str) -> Self {
        let statement = format!("{} ({statement}).", self.statement.trim_end_matches('.'));
        Self { id: format!("{}-{}", self.id, slug(id)), statement, ..self }
    }

    /// Adds to what was computed and compared.
    pub fn remarking(self, remark: &str) -> Self {
        Self { test: format!("{}; {remark}", self.test), ..self }
    }

    /// Says which of several models the claim is about, in its id too.
    pub fn of_model(self, model: &str) -> Self {
        let id = format!("{}-{}", self.id, slug(model));
        Self { id, statement: format!("{model}: {}", self.statement), ..self }
    }

    /// Names the claim that this is one of several tests of.
    pub fn of_question(self, question: &str) -> Self {
        Self { question: question.into(), ..self }
    }

    /// Says what kind of evidence the test is.
    pub fn by(self, evidence: Evidence) -> Self {
        Self { evidence, ..self }
    }

    /// The same as a question of ours.
    pub fn ours(self, source: &str) -> Self {
        Self { source: source.into(), evidence: Evidence::Ours, ..self }
    }

    /// Names the question of another figure that asks the same.
    pub fn same_as(self, question: Option<&str>) -> Self {
        Self { same: question.map(str::to_owned), ..self }
    }

    /// What is asked, under one name in all figures that ask it.
    pub fn asked(&self) -> &str {
        self.same.as_deref().unwrap_or(&self.question)
    }

    /// Says which data sets the claim is about (default: all that the figure uses).
    pub fn on_data(self, names: &[&str]) -> Self {
        Self { data: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..self }
    }
}

/// A name as part of an id.
fn slug(name: &str) -> String {
    name.replace([',', '/', ' '], "-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_about_several_is_decided_by_the_least() {
        let of_all = |intervals: &[[f64; 2]]| {
            let one = |[low, high]: &[f64; 2]| Estimate {
                value: f64::midpoint(*low, *high),
                low: *low,
                high: *high,
                n: 5,
            };
            Claim::new("x/y", "A", "s").above(0.0, least(intervals.iter().map(one)), "t").verdict
        };
        assert_eq!(of_all(&[[0.1, 0.4], [0.2, 0.3]]), Verdict::Holds);
        // The one with the lowest low end decides nothing; the other refutes.
        assert_eq!(of_all(&[[-0.5, 0.2], [-0.3, -0.1]]), Verdict::DoesNotHold);
        // Alone it would be refuted; that one of six is so by chance is not rare.
        assert_eq!(of_all(&[[-0.2, -0.01]]), Verdict::DoesNotHold);
        let five = [[0.1, 0.2]; 5];
        assert_eq!(of_all(&[&five[..], &[[-0.2, -0.01]]].concat()), Verdict::Undecided);
        assert_eq!(of_all(&[[0.1, 0.4], [-0.1, 0.2], [0.3, 0.5]]), Verdict::Undecided);
        assert!(matches!(of_all(&[]), Verdict::NotTested(_)));
        assert!(matches!(of_all(&[[0.1, 0.4], [f64::NAN; 2]]), Verdict::NotTested(_)));
    }

    #[test]
    fn the_largest_of_numbers_of_which_one_is_nan_is_unknown() {
        assert_eq!(largest([1.0, 3.0, 2.0]).map(|of| of.value), Some(3.0));
        assert!(largest([1.0, f64::NAN, 2.0]).is_none());
        assert!(largest([]).is_none());
    }

    #[test]
    fn the_whole_interval_decides() {
        let claim = |low, high| {
            let estimate = Estimate { value: f64::midpoint(low, high), low, high, n: 5 };
            let new = || Claim::new("x/y", "A", "s");
            (new().above(0.0, estimate, "t").verdict, new().below(0.0, estimate, "t").verdict)
        };
        assert_eq!(claim(0.1, 0.2), (Verdict::Holds, Verdict::DoesNotHold));
        assert_eq!(claim(-0.2, -0.1), (Verdict::DoesNotHold, Verdict::Holds));
        assert_eq!(claim(-0.1, 0.2), (Verdict::Undecided, Verdict::Undecided));
        // As many right answers on each seed are no exact number.
        assert_eq!(claim(0.0, 0.0), (Verdict::Undecided, Verdict::Undecided));
        assert_eq!(claim(0.25, 0.25 + 1e-16), (Verdict::Undecided, Verdict::Undecided));
        assert_eq!(claim(0.0, 0.1), (Verdict::Undecided, Verdict::Undecided));
        assert_eq!(claim(f64::NAN, f64::NAN), (Verdict::Undecided, Verdict::Undecided));
        let new = || Claim::new("x/y", "A", "s");
        let undefined = new().above(0.0, None, "t");
        assert!(matches!(undefined.verdict, Verdict::NotTested(_)));
        let all = [undefined, new().above(0.0, exact(1.0), "t"), new().below(0.0, exact(1.0), "t")];
        assert_eq!(tally(&all), [1, 1, 0, 0, 1]);
        assert_eq!([&all[1].verdict, &all[2].verdict], [&Verdict::Holds, &Verdict::DoesNotHold]);
        assert_eq!(new().above(1.0, exact(1.0), "t").verdict, Verdict::DoesNotHold);
    }

    #[test]
    fn tests_of_one_claim_are_one_claim() {
        let test = |id: &str| Claim::new(id, "A", "s").of_question("x/y").of_model("m");
        let all = [test("x/y-gsm8k"), test("x/y-alpaca"), Claim::new("x/z", "A", "s").of_model("m")];
        assert_eq!((distinct(&all), distinct(&all[..2]), distinct([])), (2, 1, 0));
        // Of several models it is the same claim too, for each of those that have no name of their own.
        let of = |model: &str| Claim::new("x/z", "A", "s").of_model(model);
        assert_eq!(distinct(&[of("one"), of("other")]), 1);
    }
}
