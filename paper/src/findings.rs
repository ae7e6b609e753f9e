//! What was found, question by question: of each answer the claim with the strongest evidence that decides it.

use crate::ledger::{effect, interval};
use crate::report::counted;
use crate::{Claim, Made, Verdict};
use tokensieve_plot::unmarked;

/// A question that readers come with.
#[derive(Debug)]
pub struct Question {
    /// The question.
    pub asks: &'static str,
    /// Its answers: of each the claims that may give it, the strongest evidence first.
    answers: &'static [&'static [&'static str]],
}

/// The questions, in the order of the report.
pub const QUESTIONS: [Question; 6] = [
    Question {
        asks: "Does loss show what a model does not know?",
        answers: &[
            &["oracle/loss-tracks-ignorance", "a-2b/epistemic-follows-loss-smollm2-135m-gsm8k-attention"],
            &["oracle/noise-hides-ignorance", "a-2b/epistemic-correlates-smollm2-135m-gsm8k-attention"],
        ],
    },
    Question {
        asks: "Does training on the tokens with the largest losses help?",
        answers: &[
            &["study/masked-answers-arithmetic", "oracle/masked-lowers-kl", "a-2c/far-epistemic-helps"],
            &["a-12/top-beats-random-fashion-mnist"],
        ],
    },
    Question {
        asks: "Does distillation repair what that costs?",
        answers: &[
            &["oracle/distillation-is-worth-its-compute"],
            &["oracle/distillation-keeps-the-former", "study/distillation-repairs"],
            &["oracle/distillation-keeps-calibration", "seam/distil-protects-strong"],
        ],
    },
    Question {
        asks: "When does −p do better than −log p?",
        answers: &[
            &[
                "study/strong-noisy-minus-p",
                "oracle/strong-and-noisy-minus-p",
                "b-continuum/strong-noise-30-own",
            ],
            &["study/strong-clean-minus-p", "b-continuum/strong-clean-own"],
        ],
    },
    Question {
        asks: "Which paper is right, and when?",
        answers: &[
            &["map/elsewhere-gains-accuracy"],
            &["map/way-gains-accuracy"],
            &["seam/bottom-over-top"],
            &["seam/top-over-bottom"],
            &["study/weak-log-p", "oracle/weak-minus-log-p", "b-continuum/weak-noise-0-own"],
        ],
    },
    Question {
        asks: "Which objective should I use?",
        answers: &[
            &["diagnosis/recommended-is-good"],
            &["diagnosis/better-than-plain"],
            &["diagnosis/better-than-one-for-all"],
            &["diagnosis/race-is-better"],
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
}

impl Question {
    /// Its answers by some figures: of each the first claim that is decided, or else the first there is.
    pub fn findings<'a>(&self, made: &'a [Made]) -> Vec<Finding<'a>> {
        let find = |id: &&str| {
            let figure =
                made.iter().find(|made| made.about.id == id.split('/').next().unwrap_or_default())?;
            let claim = figure.claims.iter().find(|claim| claim.id == **id)?;
            Some(Finding { made: figure, claim })
        };
        let answer = |ids: &&[&str]| {
            let found: Vec<Finding<'a>> = ids.iter().filter_map(find).collect();
            found.iter().copied().find(Finding::is_decided).or_else(|| found.first().copied())
        };
        self.answers.iter().filter_map(answer).collect()
    }
}

impl Finding<'_> {
    fn is_decided(&self) -> bool {
        matches!(self.claim.verdict, Verdict::Holds | Verdict::DoesNotHold | Verdict::PracticallyEqual)
    }

    /// The verdict as an answer.
    pub fn answer(&self) -> &'static str {
        match self.claim.verdict {
            Verdict::Holds => "Yes.",
            Verdict::DoesNotHold => "No. The claim was:",
            Verdict::PracticallyEqual => "No difference that matters. The claim was:",
            Verdict::Undecided => "Undecided:",
            Verdict::NotTested(_) => "Not tested yet:",
        }
    }

    /// The effect with its interval and what that is over; empty where nothing was tested.
    pub fn numbers(&self) -> String {
        let Some(estimate) = self.claim.estimate else { return String::new() };
        let interval = interval(self.claim);
        let interval = interval.split(';').next().unwrap_or_default();
        let over = counted::what(self.claim, &self.made.table)
            .map_or_else(String::new, |what| format!(", over {} {what}", estimate.n));
        format!("effect {}, 95 % interval {interval}{over}", effect(self.claim))
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
    use crate::{Estimate, Evidence, Profile, engine, figures, finetune, oracle};
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
        for id in QUESTIONS.iter().flat_map(|question| question.answers).copied().flatten() {
            assert!(planned(id) || recorded.verdict(id).is_some(), "{id}");
        }
        Ok(())
    }

    #[test]
    fn the_strongest_evidence_that_decides_answers() -> Result<()> {
        let seam = engine::make_synthetic(&figures::named("seam")?)?;
        let [mut study, mut oracle] = [seam.clone(), seam];
        (study.about.id, oracle.about.id) = ("study", "oracle");
        let claim = |id: &str, low, high| {
            let estimate = Estimate { value: f64::midpoint(low, high), low, high, n: 8 };
            Claim::new(id, "A", "Distillation repairs.").by(Evidence::Truth).above(0.0, estimate, "t")
        };
        study.claims = vec![claim("study/distillation-repairs", -1.0, 1.0)];
        oracle.claims = vec![claim("oracle/distillation-keeps-the-former", 1.0, 3.0)];
        let both = [study.clone(), oracle];
        let found = QUESTIONS[2].findings(&both);
        assert_eq!(found[0].claim.id, "oracle/distillation-keeps-the-former");
        let sentence = found[0].sentence();
        assert!(
            sentence.starts_with("Yes. Distillation repairs. (effect 2.00, 95 % interval 1.00 to 3.00"),
            "{sentence}"
        );
        assert!(sentence.ends_with("; truth)"), "{sentence}");
        let alone = [study];
        let found = QUESTIONS[2].findings(&alone);
        assert!(found[0].sentence().starts_with("Undecided: Distillation repairs."));
        Ok(())
    }
}
