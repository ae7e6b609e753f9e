//! The claims ledger: every claim with its test, effect, interval and verdict, beside the recorded verdict.

use crate::claim::{Measured, distinct, tally};
use crate::recorded::{Recorded, same_verdict};
use crate::study::models;
use crate::table::to_csv;
use crate::{Claim, Made, Profile, Verdict};
use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;
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

    /// Claims whose verdict contradicts the recorded one, each with a sentence that says so. The smoke profile's
    /// verdicts are meaningless and are not compared; nor is a figure of which nothing is recorded yet.
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

    /// How many tests have each verdict, of the papers' claims and of ours apart, in one line.
    pub fn summary(&self) -> String {
        let of = |ours: bool| {
            let [hold, do_not, equal, undecided, untested] = tally(self.of(ours));
            let equal = if equal == 0 { String::new() } else { format!("{equal} practically equal, ") };
            format!("{hold} hold, {do_not} do not hold, {equal}{undecided} undecided, {untested} not tested")
        };
        format!(
            "{} of the papers: {}; {} of our own: {}",
            self.counted(false, "claims"),
            of(false),
            self.counted(true, "questions"),
            of(true)
        )
    }

    /// The papers' claims, or ours.
    fn of(&self, ours: bool) -> impl Iterator<Item = &'a Claim> {
        self.claims().filter(move |claim| claim.is_ours() == ours)
    }

    /// How many tests of how many claims, the papers' or ours: `7 tests of 3 claims`.
    pub fn counted(&self, ours: bool, what: &str) -> String {
        format!("{} tests of {} {what}", self.of(ours).count(), distinct(self.of(ours)))
    }

    /// What decides the papers' claims about trained language models.
    pub fn measured(&self) -> MeasuredTests {
        let of_measure = |measure: &Measured| {
            self.of(false).filter(|claim| claim.measured == Some(*measure)).collect::<Vec<_>>()
        };
        let [loss, answers] = [Measured::Loss, Measured::Answers].each_ref().map(of_measure);
        let decided = |tests: &[&Claim]| tests.iter().filter(|claim| claim.is_decided()).count();
        let mut figures: Vec<&'a str> = Vec::new();
        for claim in loss.iter().chain(&answers) {
            let figure = claim.id.split('/').next().unwrap_or_default();
            if !figures.contains(&figure) {
                figures.push(figure);
            }
        }
        figures.sort_unstable();
        MeasuredTests {
            tests: loss.len() + answers.len(),
            loss: decided(&loss),
            answers: decided(&answers),
            figures: figures.into_iter().map(String::from).collect(),
        }
    }

    /// The sentences under the tally: which models were tested, and what decides claims about trained ones.
    pub fn notes(&self) -> String {
        let sentences = [self.models().unwrap_or_default(), self.measured().sentence()];
        sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Which models the papers are tested on, in a sentence; `None` where no language model is.
    pub fn models(&self) -> Option<String> {
        let mut models: Vec<String> = Vec::new();
        let mut of_paper = [false; 2];
        for made in self.made {
            let Some(of_profile) = models::behind(&made.provenance) else { continue };
            for model in of_profile {
                if !models.contains(&model) {
                    models.push(model);
                }
            }
            for (known, paper) in of_paper.iter_mut().zip(PAPERS) {
                *known |= made.about.source.starts_with(paper);
            }
        }
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

/// What papers' sources begin with.
const PAPERS: [&str; 2] = ["A", "B"];

/// Tests of the papers' claims about trained language models, and how many of them each measure decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeasuredTests {
    /// All of them, decided or not.
    pub tests: usize,
    /// Decided by the loss on held-out text.
    pub loss: usize,
    /// Decided by answers or preference.
    pub answers: usize,
    /// Whose claims they are.
    pub figures: Vec<String>,
}

impl MeasuredTests {
    /// In a sentence; empty without such tests.
    pub fn sentence(&self) -> String {
        let Self { tests, loss, answers, figures } = self;
        if *tests == 0 {
            return String::new();
        }
        let no = |count: usize| if count == 0 { "none".to_owned() } else { count.to_string() };
        format!(
            "Of the {tests} tests of paper A's claims about trained models ({}), {} are decided by the loss on held-out text, which plain \
             training minimises and the paper does not measure; {} are decided by answers or preferences, as in the paper; {} \
             are undecided or not tested.",
            figures.join(", "),
            no(*loss),
            no(*answers),
            no(tests - loss - answers)
        )
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
        Verdict::PracticallyEqual => "is practically equal".into(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine, exact, figures};

    #[test]
    fn the_tally_says_what_decides_claims_about_trained_models() -> Result<()> {
        let mut made = engine::make_synthetic(&figures::registry()[0])?;
        let test = |id: &str, question: &str, source: &str| Claim::new(id, source, "s").of_question(question);
        made.claims = vec![
            test("a-5/x-nats", "a-5/x", "A").measured(Measured::Loss).above(0.0, exact(1.0), "t"),
            test("a-5/x-share", "a-5/x", "A").measured(Measured::Answers).above(0.0, exact(1.0), "t"),
            test("a-3/y-nats", "a-3/y", "A").measured(Measured::Loss).not_tested("no runs"),
            // Neither ours nor what no trained model decides.
            test("a-3/z-nats", "a-3/z", "ours").measured(Measured::Loss).above(0.0, exact(1.0), "t"),
            test("a-2b/w", "a-2b/w", "A").above(0.0, exact(1.0), "t"),
        ];
        let (recorded, made) = (Recorded::default(), [made]);
        let ledger = Ledger::new(&made, &recorded);
        let found = ledger.measured();
        assert_eq!((found.tests, found.loss, found.answers), (3, 1, 1));
        assert_eq!(found.figures, ["a-3", "a-5"]);
        assert!(
            found.sentence().contains("1 are decided by the loss on held-out text"),
            "{}",
            found.sentence()
        );
        assert_eq!(ledger.counted(false, "claims"), "4 tests of 3 claims");
        assert!(ledger.summary().starts_with("4 tests of 3 claims of the papers: 3 hold, 0 do not hold"));
        Ok(())
    }

    #[test]
    fn recorded_tables_say_which_models_they_are_of() -> Result<()> {
        let recorded = Recorded::load()?;
        let made = recorded.figures(&figures::registry())?;
        let sentence = Ledger::new(&made, &recorded).models();
        let expected = "Tested: paper A on SmolLM2-135M-Instruct and on toys, paper B on toys only.";
        assert_eq!(sentence.as_deref(), Some(expected));
        Ok(())
    }
}
