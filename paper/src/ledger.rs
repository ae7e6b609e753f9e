//! The claims ledger: every claim with its test, effect, interval and verdict, beside the recorded verdict.

use crate::claim::{Evidence, distinct, tally};
use crate::planned::outcomes::rounded;
use crate::recorded::{Recorded, same_verdict};
use crate::study::models;
use crate::table::{self, to_csv};
use crate::{Claim, Estimate, Made, Verdict};
use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;
use serde_json::json;
use std::fmt;
use tokensieve_plot::{number, unmarked};

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

    /// Claims whose verdict contradicts the recorded one, each with a sentence that says so, of the figures whose recorded
    /// verdicts are of the same runs.
    pub fn disagreements(&self) -> Vec<String> {
        self.made
            .iter()
            .filter(|made| self.recorded.has_verdicts_for(made))
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

    /// How many tests have each verdict by each kind of evidence, in one line.
    pub fn summary(&self) -> String {
        self.kinds().iter().map(Kind::to_string).collect::<Vec<_>>().join("; ")
    }

    /// The tests by each kind of evidence of which there are any, in the order of [`Evidence::ALL`].
    pub fn kinds(&self) -> Vec<Kind> {
        let kind =
            |evidence: Evidence| Kind::of(evidence, self.claims().filter(|claim| claim.evidence == evidence));
        Evidence::ALL.into_iter().map(kind).filter(|kind| kind.tests > 0).collect()
    }

    /// The verdicts that other kinds of evidence give on what a claim asks: `proxy: 2 hold, 1 undecided; truth: 1 holds`.
    /// Empty where there is no other kind.
    pub fn elsewhere(&self, of: &Claim) -> String {
        let by = |evidence: Evidence| {
            let others =
                self.claims().filter(|claim| claim.evidence == evidence && claim.asked() == of.asked());
            let kind = Kind::of(evidence, others);
            (kind.tests > 0).then(|| format!("{}: {}", kind.name, kind.found()))
        };
        let others = Evidence::ALL.into_iter().filter(|evidence| *evidence != of.evidence);
        others.filter_map(by).collect::<Vec<_>>().join("; ")
    }

    /// Which models the papers are tested on, in a sentence; `None` where no language model is.
    pub fn models(&self) -> Option<String> {
        let mut models = Vec::new();
        let mut of_paper = [false; 2];
        for made in self.made {
            let Some(of_profile) = models::behind(&made.provenance) else { continue };
            models.extend(of_profile);
            for (known, paper) in of_paper.iter_mut().zip(PAPERS) {
                *known |= made.about.source.starts_with(paper);
            }
        }
        let models = table::distinct(models);
        let on = |of_models: bool| {
            if of_models { format!("{} and on toys", models.join(", ")) } else { "toys only".into() }
        };
        let tested =
            PAPERS.iter().zip(of_paper).map(|(paper, known)| format!("paper {paper} on {}", on(known)));
        (!models.is_empty()).then(|| format!("Tested: {}.", tested.collect::<Vec<_>>().join(", ")))
    }

    /// The ledger as CSV, one line per claim, numbers in full.
    pub fn to_csv(&self) -> Result<String> {
        let lines: Vec<Line<'_>> = self
            .claims()
            .map(|claim| Line {
                claim: &claim.id,
                source: &claim.source,
                evidence: claim.evidence.name(),
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

    /// The ledger as JSON: every claim with its verdict, the command that tests it anew, what that costs and where its
    /// evidence lies. `schema` rises when a key changes its meaning or goes.
    pub fn to_json(&self) -> Result<String> {
        let entries: Vec<serde_json::Value> = self
            .made
            .iter()
            .flat_map(|made| made.claims.iter().map(move |claim| entry(made, claim)))
            .collect();
        Ok(serde_json::to_string_pretty(&json!({ "schema": SCHEMA, "claims": entries }))? + "\n")
    }

    /// The ledger for a terminal of `width` columns.
    pub fn to_text(&self, width: u16) -> String {
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        table.set_header([
            "claim",
            "statement, test (evidence)",
            "effect",
            "interval",
            "n",
            "verdict",
            "recorded",
        ]);
        for claim in self.claims() {
            let recorded = self.recorded.verdict(&claim.id).map_or("–", |recorded| &recorded.verdict);
            let reason = match &claim.verdict {
                Verdict::NotTested(reason) => not_tested(reason),
                verdict => verdict.to_string(),
            };
            table.add_row([
                claim.id.clone(),
                unmarked(&format!("{}\n→ {} ({})", claim.statement, claim.test, claim.evidence.name())),
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

/// What papers' sources begin with.
const PAPERS: [&str; 2] = ["A", "B"];

/// The tests by one kind of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// [`Evidence::name`].
    pub name: &'static str,
    /// [`Evidence::meaning`].
    pub meaning: &'static str,
    /// How many there are.
    pub tests: usize,
    /// Of how many claims.
    pub claims: usize,
    /// How many have each of [`Verdict::NAMES`].
    pub verdicts: [usize; 5],
}

impl Kind {
    fn of<'a>(evidence: Evidence, claims: impl Iterator<Item = &'a Claim>) -> Self {
        let all: Vec<&Claim> = claims.collect();
        Self {
            name: evidence.name(),
            meaning: evidence.meaning(),
            tests: all.len(),
            claims: distinct(all.iter().copied()),
            verdicts: tally(all),
        }
    }

    /// The verdicts that were found, with their numbers: `3 hold, 1 undecided`.
    fn found(&self) -> String {
        let named = |(count, name): (usize, &str)| match name {
            _ if count == 0 => None,
            "holds" if count > 1 => Some(format!("{count} hold")),
            "does not hold" if count > 1 => Some(format!("{count} do not hold")),
            name => Some(format!("{count} {name}")),
        };
        self.verdicts.into_iter().zip(Verdict::NAMES).filter_map(named).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (tests, claims) = (counted(self.tests, "test"), counted(self.claims, "claim"));
        write!(f, "{} ({tests} of {claims}): {}", self.name, self.found())
    }
}

#[derive(Serialize)]
struct Line<'a> {
    claim: &'a str,
    source: &'a str,
    evidence: &'static str,
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

/// Of the ledger's JSON.
const SCHEMA: u32 = 1;

/// A claim in the ledger's JSON, as challenges to reproduce papers ask for it: `reason` says why it was not tested, `command`
/// computes the figure and tests its claims, `hours` are the computing time of the figure's units on `machine`, and `evidence`
/// are files beside the ledger (page, table, drawing, provenance).
fn entry(made: &Made, claim: &Claim) -> serde_json::Value {
    let id = made.about.id;
    let from = &made.provenance;
    let name = claim.id.split_once('/').map_or(claim.id.as_str(), |(_, name)| name);
    let reason = match &claim.verdict {
        Verdict::NotTested(reason) => Some(reason),
        _ => None,
    };
    json!({
        "claim": claim.id,
        "source": claim.source,
        "statement": unmarked(&claim.statement),
        "test": unmarked(&claim.test),
        "kind": claim.evidence.name(),
        "effect": claim.estimate.map(|estimate| estimate.value),
        "low": claim.estimate.map(|estimate| estimate.low),
        "high": claim.estimate.map(|estimate| estimate.high),
        "n": claim.estimate.map(|estimate| estimate.n),
        "threshold": claim.threshold,
        "claimed": if claim.above { "above" } else { "below" },
        "verdict": claim.verdict.name(),
        "reason": reason,
        "command": format!("./just figure {id} --profile {}", from.profile),
        "hours": rounded(from.seconds / 3600.0, 3),
        "machine": from.computed_on(),
        "commit": from.computed_by(),
        "evidence": [
            format!("{id}.html#{name}"),
            format!("{id}.csv"),
            format!("{id}.svg"),
            format!("{id}.json"),
        ],
    })
}

fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::NotTested(reason) => format!("was {}", not_tested(reason)),
        Verdict::Undecided => "is undecided".into(),
        Verdict::PracticallyEqual => "is practically equal".into(),
        verdict => verdict.to_string(),
    }
}

/// That a claim was not tested, and why, which may begin with those words.
fn not_tested(reason: &str) -> String {
    if reason.starts_with("not tested") { reason.to_owned() } else { format!("not tested: {reason}") }
}

/// The effect, to three digits.
pub fn effect(claim: &Claim) -> String {
    claim.estimate.map_or_else(|| "–".into(), |estimate| number(estimate.value, 3))
}

/// The interval, to three digits, and the threshold that the claim says it lies beyond.
pub fn interval(claim: &Claim) -> String {
    let sign = if claim.above { '>' } else { '<' };
    let threshold = threshold(claim);
    claim
        .estimate
        .map_or_else(|| "–".into(), |estimate| format!("{}; claimed {sign} {threshold}", range(estimate)))
}

/// An interval, both ends to the same place: to three digits of the larger one, and to two of their difference. An end that is
/// closer to zero than that has one digit.
pub fn range(estimate: Estimate) -> String {
    let Estimate { low, high, n, .. } = estimate;
    match (estimate.is_without_spread(), n) {
        (true, ..=1) => return "exact".into(),
        (true, _) => return "no spread".into(),
        (false, _) => {}
    }
    let place = (leading(low.abs().max(high.abs())) - 2).min(leading(high - low) - 1);
    let end = |value: f64| number(value, usize::try_from(leading(value) - place + 1).unwrap_or(0).max(1));
    format!("{} to {}", end(low), end(high))
}

/// The power of ten of a number's first digit.
fn leading(value: f64) -> i32 {
    if value == 0.0 || !value.is_finite() { 0 } else { (value.abs().log10() + 1e-12).floor() as i32 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine, exact, figures};

    #[test]
    fn tests_are_counted_by_kind_of_evidence_and_a_claim_is_followed_from_kind_to_kind() -> Result<()> {
        let mut made = engine::make_synthetic(&figures::registry()[0])?;
        let test = |id: &str, question: &str| Claim::new(id, "A", "s").of_question(question);
        let [up, down] = [exact(1.0), exact(-1.0)];
        made.claims = vec![
            test("a-5/x-nats", "a-5/x").by(Evidence::Proxy).above(0.0, down, "t"),
            test("a-6/x-nats", "a-5/x").by(Evidence::Proxy).above(0.0, up, "t"),
            test("a-5/x-share", "a-5/x").above(0.0, up, "t"),
            test("a-3/y-share", "a-3/y").not_tested("no runs"),
            test("oracle/z", "oracle/z").by(Evidence::Truth).same_as(Some("a-5/x")).above(0.0, up, "t"),
            test("a-1/count", "a-1/count").by(Evidence::Check).above(0.0, up, "t"),
        ];
        let (recorded, made) = (Recorded::default(), [made]);
        let ledger = Ledger::new(&made, &recorded);
        assert_eq!(
            ledger.summary(),
            "paper's measure (2 tests of 2 claims): 1 holds, 1 not tested; proxy (2 tests of 1 claim): 1 holds, 1 does not hold; \
             truth (1 test of 1 claim): 1 holds; check (1 test of 1 claim): 1 holds"
        );
        let claims: Vec<&Claim> = ledger.claims().collect();
        assert_eq!(ledger.elsewhere(claims[0]), "paper's measure: 1 holds; truth: 1 holds");
        assert_eq!(ledger.elsewhere(claims[4]), "paper's measure: 1 holds; proxy: 1 holds, 1 does not hold");
        assert_eq!(ledger.elsewhere(claims[3]), "");
        assert!(ledger.to_csv()?.contains("a-5/x-nats,A,proxy,"));
        let json: serde_json::Value = serde_json::from_str(&ledger.to_json()?)?;
        let first = &json["claims"][0];
        assert_eq!([&first["verdict"], &first["kind"]], ["does not hold", "proxy"]);
        assert_eq!([&json["claims"][3]["reason"], &json["schema"]], [&json!("no runs"), &json!(SCHEMA)]);
        assert!(first["command"].as_str().is_some_and(|command| command.starts_with("./just figure ")));
        Ok(())
    }

    #[test]
    fn the_ends_of_an_interval_have_the_same_decimals_and_differ() {
        let of = |low, high, n| range(Estimate { value: f64::midpoint(low, high), low, high, n });
        assert_eq!(of(0.999_758, 1.000_278, 5), "0.99976 to 1.00028");
        assert_eq!(of(-0.073_91, -0.047_38, 5), "−0.0739 to −0.0474");
        assert_eq!(of(0.0739, 0.474, 5), "0.074 to 0.474");
        assert_eq!(of(-0.000_3, 0.5, 5), "−0.0003 to 0.500");
        assert_eq!(of(0.0, 0.25, 5), "0.000 to 0.250");
        assert_eq!(of(1234.6, 23456.7, 5), "1235 to 23457");
        assert_eq!(of(1.2e-7, 3.4e-7, 5), "1.20×10⁻⁷ to 3.40×10⁻⁷");
        assert_eq!([of(0.5, 0.5, 1), of(0.5, 0.5, 5)], ["exact", "no spread"]);
        // Not alike, whatever three digits say.
        assert_eq!(of(0.999_9, 1.000_1, 1), "0.99990 to 1.00010");
    }

    #[test]
    fn recorded_tables_say_which_models_they_are_of() -> Result<()> {
        let recorded = Recorded::load()?;
        let made = recorded.figures(&figures::registry())?;
        let sentence = Ledger::new(&made, &recorded).models();
        let expected = "Tested: paper A on SmolLM2-135M-Instruct and on toys, paper B on SmolLM2-135M-Instruct and on toys.";
        assert_eq!(sentence.as_deref(), Some(expected));
        Ok(())
    }
}
