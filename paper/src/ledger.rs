//! The claims ledger: every claim with its test, effect, interval and verdict, beside the recorded verdict.

use crate::claim::tally;
use crate::plot::{number, unmarked};
use crate::recorded::{Recorded, same_verdict};
use crate::table::to_csv;
use crate::{Claim, Made, Profile, Verdict};
use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;

/// The ledger of some figures.
#[derive(Debug)]
pub struct Ledger<'a> {
    made: &'a [Made],
    recorded: &'a Recorded,
}

impl<'a> Ledger<'a> {
    /// The claims of `made`, to be set against `recorded`.
    pub fn new(made: &'a [Made], recorded: &'a Recorded) -> Self {
        Self { made, recorded }
    }

    /// All claims.
    pub fn claims(&self) -> impl Iterator<Item = &'a Claim> {
        self.made.iter().flat_map(|made| &made.claims)
    }

    /// Claims whose verdict contradicts the recorded one, each with a sentence that says so. The smoke profile's
    /// verdicts mean nothing and are not compared; nor is a figure of which nothing is recorded yet.
    pub fn disagreements(&self) -> Vec<String> {
        let compared = |made: &&Made| {
            made.provenance.profile != Profile::Smoke.name() && self.recorded.has(made.about.id)
        };
        self.made
            .iter()
            .filter(compared)
            .flat_map(|made| &made.claims)
            .filter_map(|claim| {
                let recorded = self.recorded.verdict(&claim.id);
                (same_verdict(claim, recorded) == Some(false)).then(|| {
                    let recorded = recorded.map_or("nothing", |recorded| &recorded.verdict);
                    format!("{}: here it {}, recorded is {recorded}", claim.id, sentence(&claim.verdict))
                })
            })
            .collect()
    }

    /// How many claims have each verdict, the papers' and ours apart, in one line.
    pub fn summary(&self) -> String {
        let of = |ours: bool| {
            let [hold, do_not, undecided, untested] =
                tally(self.claims().filter(|claim| claim.is_ours() == ours));
            format!("{hold} hold, {do_not} do not hold, {undecided} undecided, {untested} not tested")
        };
        format!("Claims of the papers: {}; questions of our own: {}", of(false), of(true))
    }

    /// The ledger as CSV, one line per claim, numbers in full.
    pub fn to_csv(&self) -> Result<String> {
        let lines: Vec<Line<'_>> = self
            .claims()
            .map(|claim| Line {
                claim: &claim.id,
                source: &claim.source,
                statement: &claim.statement,
                test: &claim.test,
                effect: claim.estimate.map(|estimate| estimate.value),
                low: claim.estimate.map(|estimate| estimate.low),
                high: claim.estimate.map(|estimate| estimate.high),
                n: claim.estimate.map(|estimate| estimate.n),
                threshold: claim.threshold,
                claimed: if claim.above { "above" } else { "below" },
                verdict: claim.verdict.to_string(),
                recorded: self.recorded.verdict(&claim.id).map(|recorded| recorded.verdict.as_str()),
            })
            .collect();
        to_csv(&lines)
    }

    /// The ledger for a terminal of `width` columns.
    pub fn to_text(&self, width: u16) -> String {
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        table.set_header([
            "claim",
            "statement and test",
            "effect",
            "95 % interval",
            "n",
            "verdict",
            "recorded",
        ]);
        for claim in self.claims() {
            let recorded = self.recorded.verdict(&claim.id).map_or("–", |recorded| &recorded.verdict);
            let reason = match &claim.verdict {
                Verdict::NotTested(reason) => format!("not tested: {reason}"),
                verdict => verdict.to_string(),
            };
            table.add_row([
                claim.id.clone(),
                unmarked(&format!("{}\n→ {}", claim.statement, claim.test)),
                effect(claim),
                interval(claim),
                seeds(claim),
                reason,
                recorded.to_owned(),
            ]);
        }
        table.to_string()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    claim: &'a str,
    source: &'a str,
    statement: &'a str,
    test: &'a str,
    effect: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    n: Option<usize>,
    threshold: f64,
    claimed: &'static str,
    verdict: String,
    recorded: Option<&'a str>,
}

fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::NotTested(reason) => format!("was not tested ({reason})"),
        Verdict::Undecided => "is undecided".into(),
        verdict => verdict.to_string(),
    }
}

/// The effect, to three digits.
pub fn effect(claim: &Claim) -> String {
    claim.estimate.map_or_else(|| "–".into(), |estimate| number(estimate.value, 3))
}

/// The interval, to three digits, and the threshold that the claim says it lies beyond.
pub fn interval(claim: &Claim) -> String {
    let sign = if claim.above { '>' } else { '<' };
    let threshold = threshold(claim);
    claim.estimate.map_or_else(
        || "–".into(),
        |estimate| {
            let [low, high] = [estimate.low, estimate.high].map(|v| number(v, 3));
            let range = if low == high { "exact".into() } else { format!("{low} to {high}") };
            format!("{range}; claimed {sign} {threshold}")
        },
    )
}

/// The threshold, to three digits without the zeros that end it.
pub fn threshold(claim: &Claim) -> String {
    let text = number(claim.threshold, 3);
    if text.contains('.') && !text.contains('×') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// How many seeds.
pub fn seeds(claim: &Claim) -> String {
    claim.estimate.map_or_else(|| "–".into(), |estimate| estimate.n.to_string())
}
