//! What was found, question by question: of each answer the claim with the strongest evidence of those that are tested.

use crate::claim::estimate;
use crate::ledger::range;
use crate::report::counted;
use crate::{Claim, Estimate, Made, Verdict};
use tokensieve_plot::{number, unmarked};

/// A question that readers come with.
#[derive(Debug)]
pub struct Question {
    /// The question.
    pub asks: &'static str,
    /// Its answers: of each the claims that may give it, the strongest evidence first, and what their effects count.
    answers: &'static [&'static [(&'static str, Unit)]],
}

/// What an effect counts.
#[derive(Clone, Copy, Debug)]
struct Unit {
    name: &'static str,
    /// How many there are in a claim's own unit.
    each: f64,
}

const RANK: Unit = Unit { name: "in rank correlation", each: 1.0 };
const NATS: Unit = Unit { name: "nats", each: 1.0 };
const ACCURACY: Unit = Unit { name: "points of accuracy", each: 100.0 };
const RIGHT: Unit = Unit { name: "points of right answers", each: 100.0 };
const CONSTRAINTS: Unit = Unit { name: "points of constraints met", each: 100.0 };
const LIKENESS: Unit = Unit { name: "points of likeness", each: 100.0 };
const SETTINGS: Unit = Unit { name: "% of the settings", each: 100.0 };
/// The proof's regrets are in points already.
const REGRET: Unit = Unit { each: 1.0, ..RIGHT };

/// The questions, in the order of the report.
pub const QUESTIONS: [Question; 7] = [
    Question {
        asks: "Does loss show what a model has yet to learn?",
        answers: &[
            &[("oracle-proxies/loss-tracks-ignorance-before", RANK)],
            &[("a-2b/epistemic-follows-loss-smollm2-135m-gsm8k-attention", RANK)],
            &[("a-2b/epistemic-correlates-smollm2-135m-gsm8k-attention", RANK)],
        ],
    },
    Question {
        asks: "Does it still, once the model has been trained?",
        answers: &[&[("oracle/loss-tracks-ignorance", RANK)]],
    },
    Question {
        asks: "Does training on the tokens with the largest losses help?",
        answers: &[
            &[("study/masked-answers-arithmetic", RIGHT)],
            &[("study/masked-follows-instructions", CONSTRAINTS)],
            &[("oracle/masked-lowers-kl", NATS), ("a-2c/far-epistemic-helps", RANK)],
            &[("a-12/top-beats-random-fashion-mnist", ACCURACY)],
        ],
    },
    Question {
        asks: "Does distillation repair what that costs?",
        answers: &[
            &[("oracle/distillation-is-worth-its-compute", NATS)],
            &[("study/distillation-repairs", NATS)],
            &[("oracle/distillation-keeps-the-former", NATS)],
            &[("study/masked-distill-answers-arithmetic", RIGHT)],
            &[("oracle/distillation-keeps-calibration", NATS), ("seam/distil-protects-strong", ACCURACY)],
        ],
    },
    Question {
        asks: "When does −p do better than −log p?",
        answers: &[
            &[
                ("study/strong-noisy-minus-p", RIGHT),
                ("oracle/strong-and-noisy-minus-p", RIGHT),
                ("b-continuum/strong-noise-30-own", ACCURACY),
            ],
            &[("study/strong-clean-minus-p", RIGHT), ("b-continuum/strong-clean-own", ACCURACY)],
            &[("study/many-ways-minus-p", RIGHT)],
            &[("study/many-ways-minus-p-greedy", RIGHT)],
            &[("study/strong-noisy-minus-p-gains", RIGHT)],
            &[("study/strong-clean-minus-p-gains", RIGHT)],
        ],
    },
    Question {
        asks: "Which paper is right, and when?",
        answers: &[
            &[("map/elsewhere-gains-accuracy", ACCURACY)],
            &[("map/way-gains-accuracy", ACCURACY)],
            &[("map/way-gains-accuracy-own", ACCURACY)],
            &[("seam/bottom-over-top", ACCURACY)],
            &[
                ("study/weak-log-p", LIKENESS),
                ("oracle/weak-minus-log-p", RIGHT),
                ("b-continuum/weak-noise-0-own", ACCURACY),
            ],
        ],
    },
    Question {
        asks: "Which objective should I use?",
        answers: &[
            &[("diagnosis/recommended-is-good", SETTINGS)],
            &[("diagnosis/better-than-plain", REGRET)],
            &[("diagnosis/better-than-one-for-all", REGRET)],
            &[("diagnosis/race-is-better", REGRET)],
        ],
    },
];

/// A claim that answers a question.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// Its figure.
    pub made: &'a Made,
    /// The claim.
    pub claim: &'a Claim,
    /// Whether the question asks for a yes or a no.
    asks_whether: bool,
    unit: Unit,
}

impl Question {
    /// Its answers by some figures: of each the first claim that is tested, or else the first there is.
    pub fn findings<'a>(&self, made: &'a [Made]) -> Vec<Finding<'a>> {
        let find = |(id, unit): &(&str, Unit)| {
            let figure =
                made.iter().find(|made| made.about.id == id.split('/').next().unwrap_or_default())?;
            let claim = figure.claims.iter().find(|claim| claim.id == *id)?;
            Some(Finding { made: figure, claim, asks_whether: self.asks.starts_with("Does "), unit: *unit })
        };
        let answer = |claims: &&[(&str, Unit)]| {
            let found: Vec<Finding<'a>> = claims.iter().filter_map(find).collect();
            found.iter().copied().find(Finding::is_tested).or_else(|| found.first().copied())
        };
        self.answers.iter().filter_map(answer).collect()
    }

    /// The first of the [findings](Self::findings), and of a question that asks for a yes or a no the next that says the
    /// opposite.
    pub fn in_short<'a>(&self, made: &'a [Made]) -> Vec<Finding<'a>> {
        let all = self.findings(made);
        let Some((first, others)) = all.split_first() else { return all };
        let contrary = others.iter().find(|other| other.contradicts(first));
        [Some(first), contrary].into_iter().flatten().copied().collect()
    }
}

impl Finding<'_> {
    fn contradicts(&self, other: &Self) -> bool {
        let [one, two] = [&self.claim.verdict, &other.claim.verdict];
        let opposite = matches!(
            (one, two),
            (Verdict::Holds, Verdict::DoesNotHold) | (Verdict::DoesNotHold, Verdict::Holds)
        );
        self.asks_whether && opposite
    }

    fn is_tested(&self) -> bool {
        !matches!(self.claim.verdict, Verdict::NotTested(_))
    }

    /// The verdict as an answer.
    pub fn answer(&self) -> &'static str {
        match (&self.claim.verdict, self.asks_whether) {
            (Verdict::Holds, true) => "Yes.",
            (Verdict::Holds, false) => "It holds:",
            (Verdict::DoesNotHold, true) => "No. The claim was:",
            (Verdict::DoesNotHold, false) => "It does not hold:",
            (Verdict::PracticallyEqual, _) => "No difference that matters. The claim was:",
            (Verdict::Undecided, _) => "Undecided:",
            (Verdict::NotTested(_), _) => "Not tested yet:",
        }
    }

    /// The effect with its interval and what that is over; empty where nothing was tested.
    pub fn numbers(&self) -> String {
        let Some(Estimate { value, low, high, n }) = self.claim.estimate else { return String::new() };
        let Unit { name, each } = self.unit;
        let over = counted::what(self.claim, &self.made.table)
            .map_or_else(|| format!("n = {n}"), |what| format!("over {n} {what}"));
        let shown = estimate([value, low, high].map(|number| each * number), n);
        format!("effect {} {name}, 95 % interval {}, {over}", number(shown.value, 3), range(shown))
    }

    /// Answer, claim, numbers and evidence in a sentence or two of plain text.
    pub fn sentence(&self) -> String {
        let numbers = self.numbers();
        let separator = if numbers.is_empty() { "" } else { "; " };
        format!(
            "{} {} ({numbers}{separator}{})",
            self.answer(),
            unmarked(&self.claim.statement),
            self.claim.evidence.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planned::Claimed as _;
    use crate::recorded::Recorded;
    use crate::{Evidence, Profile, engine, figures, finetune, oracle};
    use anyhow::Result;

    #[test]
    fn every_answer_is_a_claim_that_is_recorded_or_planned() -> Result<()> {
        let recorded = Recorded::load()?;
        let (study, oracle) = (finetune::Work::of(Profile::Study)?, oracle::Work::of(Profile::Study)?);
        let proof = engine::make_synthetic(&figures::named("diagnosis")?)?;
        let planned = |id: &str| match id.split_once('/') {
            Some(("study", id)) => study.claims().iter().any(|claim| claim.id == id),
            Some(("oracle", id)) => oracle.claims().iter().any(|claim| claim.id == id),
            Some(("diagnosis", _)) => proof.claims.iter().any(|claim| claim.id == id),
            _ => false,
        };
        for (id, _) in QUESTIONS.iter().flat_map(|question| question.answers).copied().flatten() {
            assert!(planned(id) || recorded.verdict(id).is_some(), "{id}");
        }
        Ok(())
    }

    #[test]
    fn the_strongest_evidence_that_is_tested_answers() -> Result<()> {
        let seam = engine::make_synthetic(&figures::named("seam")?)?;
        let [mut study, mut oracle] = [seam.clone(), seam];
        (study.about.id, oracle.about.id) = ("study", "oracle");
        let claim = |id: &str, low, high| {
            let estimate = Estimate { value: f64::midpoint(low, high), low, high, n: 8 };
            Claim::new(id, "A", "Distillation repairs.").by(Evidence::Truth).above(0.0, estimate, "t")
        };
        study.claims = vec![claim("study/distillation-repairs", -1.0, 1.0)];
        oracle.claims = vec![claim("oracle/distillation-is-worth-its-compute", 1.0, 3.0)];
        let both = [study.clone(), oracle];
        let found = QUESTIONS[3].findings(&both);
        assert_eq!(found[0].claim.id, "oracle/distillation-is-worth-its-compute");
        let sentence = found[0].sentence();
        assert!(
            sentence.starts_with("Yes. Distillation repairs. (effect 2.00 nats, 95 % interval 1.00 to 3.00"),
            "{sentence}"
        );
        assert!(sentence.ends_with("; truth)"), "{sentence}");
        // Beside a yes stands a no, and nothing that is undecided.
        assert_eq!(found[1].claim.id, "study/distillation-repairs");
        assert_eq!(QUESTIONS[3].in_short(&both).len(), 1);
        let mut contrary = both.clone();
        contrary[0].claims = vec![claim("study/distillation-repairs", -2.0, -1.0)];
        let short = QUESTIONS[3].in_short(&contrary);
        assert_eq!(short.iter().map(Finding::answer).collect::<Vec<_>>(), ["Yes.", "No. The claim was:"]);
        let alone = [study];
        let found = QUESTIONS[3].findings(&alone);
        assert!(found[0].sentence().starts_with("Undecided: Distillation repairs."));
        // A question that asks when is not answered by yes, and shares are shown as points.
        let [mut shown] = alone;
        shown.about.id = "oracle";
        shown.claims = vec![claim("oracle/strong-and-noisy-minus-p", 0.02, 0.04)];
        let made = [shown];
        let sentence = QUESTIONS[4].findings(&made)[0].sentence();
        assert!(
            sentence.starts_with("It holds: Distillation repairs. (effect 3.00 points of right answers, ")
        );
        Ok(())
    }
}
