//! What figures claim beside the primary claims: that one arm does better than another, or worse, asked of every data that
//! both were trained on.

use super::measures::Quantity;
use super::plan::{Data, Plan, TEST};
use super::row::SeedMean;
use crate::claim::{Evidence, Expected, OURS};
use crate::lab::evaluation::replies;
use crate::{Claim, Verdict};
use anyhow::Result;

/// Where an arm is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// By the task, and on held-out documents, of what is trained on.
    Home,
    /// On other data's documents.
    Away,
}

/// A claim about two arms.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// Its name in the claim's id: `loss-gains`.
    pub id: &'static str,
    /// Who makes the claim.
    pub source: &'static str,
    /// The claim, in our words, without data and measure.
    pub statement: &'static str,
    /// The arm.
    pub arm: &'static str,
    /// What it is compared with.
    pub versus: &'static str,
    /// Where.
    pub place: Place,
    /// Above 0: it does better. Below: worse.
    pub expected: Expected,
}

impl Comparison {
    /// The claims of several, each about every data that the rows are about.
    pub fn all(figure: &str, comparisons: &[Self], rows: &[SeedMean]) -> Result<Vec<Claim>> {
        let tested = comparisons.iter().map(|comparison| comparison.tested(figure, rows));
        Ok(tested.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The claim about every data that some rows are about, by each measure.
    pub fn tested(&self, figure: &str, rows: &[SeedMean]) -> Result<Vec<Claim>> {
        let plan = Plan::load()?;
        let mut claims = Vec::new();
        for (name, data) in &plan.data {
            let of_data: Vec<&SeedMean> =
                rows.iter().filter(|row| row.data == *name && self.is_of(row)).collect();
            for (set, of) in self.measures(&plan, data) {
                if let Some(row) = of_data.iter().find(|row| row.set == set && row.measure == of) {
                    claims.push(self.decided(figure, row, data));
                }
            }
        }
        Ok(claims)
    }

    fn is_of(&self, row: &SeedMean) -> bool {
        row.arm == self.arm && row.versus.as_deref() == Some(self.versus) && row.minus.is_none()
    }

    fn measures(&self, plan: &Plan, data: &Data) -> Vec<(String, Quantity)> {
        match self.place {
            Place::Home => {
                // The first task is what decides about the data.
                let of = std::iter::once(plan.answers(data)).chain(std::iter::repeat(Quantity::Right));
                let tasks = data.tasks.iter().cloned().zip(of);
                tasks.chain([(TEST.to_owned(), Quantity::Fitted)]).collect()
            }
            Place::Away => data.former.iter().map(|former| (former.clone(), Quantity::Fitted)).collect(),
        }
    }

    fn decided(&self, figure: &str, row: &SeedMean, data: &Data) -> Claim {
        let Self { id, source, statement, arm, versus, place, expected } = *self;
        let question = format!("{figure}/{id}");
        let (short, words) = match (row.measure, place) {
            (Quantity::Right, _) if replies(&row.set) > 1 => {
                ("answers-sampled".to_owned(), "right answers of sampled replies".to_owned())
            }
            (Quantity::Right, _) => ("answers".to_owned(), measured(&row.set).to_owned()),
            (Quantity::Likeness, _) => {
                ("answers".to_owned(), "likeness of answers to the right ones".to_owned())
            }
            (_, Place::Home) => ("loss".to_owned(), "held-out loss at the fitted temperature".to_owned()),
            (_, Place::Away) => (format!("loss-{}", row.set), format!("the same loss on {}", row.set)),
        };
        let evidence = match row.measure {
            _ if source == OURS => Evidence::Ours,
            Quantity::Right => Evidence::Paper,
            _ => Evidence::Proxy,
        };
        let claim = Claim::new(
            &format!("{question}-{}-{short}", row.data),
            source,
            &format!("{}: {statement} ({words}).", row.data),
        )
        .by(evidence)
        .of_question(&question)
        .on_data(data.sets());
        if row.seeds < 2 {
            return claim.not_tested(TOO_FEW);
        }
        let test = format!(
            "{words}; gain of {arm} over {versus}, paired by seed; exploratory: Student's 95 % interval over seeds, not \
             corrected for the number of such claims"
        );
        claim.expecting(expected, row.gain(), &test)
    }
}

/// Why claims are not tested where there are not seeds enough.
pub const TOO_FEW: &str = "not tested at this scale: one seed says nothing about another training run";

/// What a task's right answers are.
fn measured(task: &str) -> &'static str {
    match task {
        "instructions" => "constraints met",
        "gsm8k-paired" => "how often the right answer is likeliest",
        _ => "right answers",
    }
}

/// A claim that holds if the first does and no other: that of all only this one does better.
pub fn only(first: Claim, others: &[Claim]) -> Claim {
    let is = |claim: &Claim, verdict: Verdict| claim.verdict == verdict;
    let untested = |claim: &&Claim| matches!(claim.verdict, Verdict::NotTested(_));
    let verdict = if let Some(untested) = std::iter::once(&first).chain(others).find(untested) {
        untested.verdict.clone()
    } else if is(&first, Verdict::DoesNotHold) || others.iter().any(|other| is(other, Verdict::Holds)) {
        Verdict::DoesNotHold
    } else if is(&first, Verdict::Holds) {
        Verdict::Holds
    } else {
        Verdict::Undecided
    };
    let claim = first.remarking("it fails, too, if the interval of any other lies above zero");
    Claim { verdict, ..claim }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planned::Rate;

    fn row(set: &str, measure: Quantity, value: f64) -> SeedMean {
        SeedMean {
            data: "arithmetic".into(),
            arm: "masked".into(),
            rate: Rate::Tuned,
            set: set.into(),
            minus: None,
            measure,
            versus: Some("mle".into()),
            seeds: 8,
            value,
            low: value - 0.01,
            high: value + 0.01,
        }
    }

    const BETTER: Comparison = Comparison {
        id: "better",
        source: "A, figure 3",
        statement: "masked is better",
        arm: "masked",
        versus: "mle",
        place: Place::Home,
        expected: Expected::Above(0.0),
    };

    #[test]
    fn more_answers_and_less_loss_are_gains() -> Result<()> {
        let rows = [row("arithmetic", Quantity::Right, 0.1), row("test", Quantity::Fitted, 0.1)];
        let claims = BETTER.tested("a-3", &rows)?;
        let ids: Vec<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
        assert_eq!(ids, ["a-3/better-arithmetic-answers", "a-3/better-arithmetic-loss"]);
        let verdicts = [&claims[0].verdict, &claims[1].verdict];
        assert_eq!(verdicts, [&Verdict::Holds, &Verdict::DoesNotHold]);
        assert_eq!([claims[0].evidence, claims[1].evidence], [Evidence::Paper, Evidence::Proxy]);
        let one = SeedMean { seeds: 1, ..rows[0].clone() };
        assert!(matches!(BETTER.tested("a-3", &[one])?[0].verdict, Verdict::NotTested(_)));
        let away = Comparison { place: Place::Away, ..BETTER };
        assert_eq!(away.tested("a-3", &rows)?.len(), 0);
        assert_eq!(away.tested("a-3", &[row("alpaca", Quantity::Fitted, 0.1)])?.len(), 1);
        Ok(())
    }

    #[test]
    fn only_one_gains_if_no_other_does() -> Result<()> {
        let claim = |value| {
            Ok::<_, anyhow::Error>(
                BETTER.tested("a-3", &[row("arithmetic", Quantity::Right, value)])?.remove(0),
            )
        };
        let verdict = |first, other| Ok::<_, anyhow::Error>(only(claim(first)?, &[claim(other)?]).verdict);
        assert_eq!(verdict(0.1, 0.005)?, Verdict::Holds);
        assert_eq!(verdict(0.1, 0.1)?, Verdict::DoesNotHold);
        assert_eq!(verdict(0.005, -0.1)?, Verdict::Undecided);
        Ok(())
    }
}
