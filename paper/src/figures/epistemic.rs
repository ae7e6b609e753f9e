//! Paper A's abstract: masked training reduces epistemic uncertainty; and what distillation does to the aleatoric one.

use crate::claim::{Evidence, OURS};
use crate::finetune::panels::of_study;
use crate::finetune::{Plan, Quantity, SeedMean, Study, Term, comparison::TOO_FEW};
use crate::picture::{Mark, marks};
use crate::planned::Rate;
use crate::table::distinct;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Panel};

/// The figure.
pub(super) struct Figure;

const ID: &str = "a-epistemic";
/// What is measured: epistemic uncertainty twice, and the aleatoric one.
const QUANTITIES: [(Quantity, &str); 3] = [
    (Quantity::Epistemic, "epistemic (BALD)"),
    (Quantity::Pairwise, "epistemic (two passes apart)"),
    (Quantity::Aleatoric, "aleatoric"),
];
/// An arm, and what is subtracted.
const DIFFERENCES: [(&str, &str); 6] = [
    ("mle", "before"),
    ("masked", "before"),
    ("masked-distill", "before"),
    ("masked", "mle"),
    ("masked-distill", "mle"),
    ("masked-distill", "masked"),
];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "Does training reduce epistemic uncertainty, and does distillation preserve aleatoric uncertainty?",
            source: "A, abstract and sections 1 and 4.3",
            caption: "Mean epistemic and aleatoric uncertainty per response token of held-out documents of the training \
                      data, by dropout at rate 0.1 on attention alone and on residual connections: before training, and \
                      after plain training, masked training, and masked training with distillation of the other tokens. \
                      Epistemic uncertainty is BALD, as in the paper, which is biased low for few passes, and the \
                      divergence of two passes' predictions, which is not. Mean over seeds with Student's 95 % interval \
                      where there are several (rings: a single seed); paired differences are in the table.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &["objectives"])?;
        let plan = &study.work.plan.scored;
        let mut rows = Vec::new();
        for data in &plan.data {
            for place in &plan.places {
                for (of, _) in QUANTITIES {
                    let term = |arm: &str| Term {
                        arm: arm.to_owned(),
                        data: data.clone(),
                        rate: Rate::Tuned,
                        set: place.clone(),
                        minus: None,
                        of,
                    };
                    rows.extend(plan.arms.iter().filter_map(|arm| study.row(&term(arm), None)));
                    rows.extend(
                        DIFFERENCES.iter().filter_map(|(arm, versus)| study.row(&term(arm), Some(versus))),
                    );
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<SeedMean> = table.rows()?;
        rows.retain(|row| row.versus.is_none());
        let places = distinct(rows.iter().map(|row| row.set.as_str()));
        let mut panels: Vec<Panel> = Vec::new();
        for data in distinct(rows.iter().map(|row| row.data.as_str())) {
            for (of, name) in QUANTITIES {
                let here = rows.iter().filter(|row| row.data == data && row.measure == of);
                let all: Vec<Mark<'_>> = here
                    .map(|row| Mark { category: &row.arm, series: &row.set, estimate: row.estimate() })
                    .collect();
                let axis = Axis::linear("nats per response token");
                panels.push(marks(&format!("{data}: {name}"), axis, &all, &places));
            }
        }
        Ok(Drawing::new(panels).columns(QUANTITIES.len()).width(1060.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<SeedMean> = table.rows()?;
        let plan = Plan::load()?;
        let mut claims = Vec::new();
        for data in &plan.scored.data {
            let sets = plan.data(data)?.sets();
            for place in &plan.scored.places {
                for of in [Quantity::Epistemic, Quantity::Pairwise] {
                    claims.extend(CLAIMS.iter().map(|claim| claim.tested(&rows, data, sets, place, of)));
                }
            }
        }
        Ok(claims)
    }
}

/// A claim that epistemic uncertainty is smaller after one way of training than after another, or before any.
struct Reduced {
    id: &'static str,
    source: &'static str,
    statement: &'static str,
    arm: &'static str,
    versus: &'static str,
}

const CLAIMS: [Reduced; 3] = [
    Reduced {
        id: "masked-reduces",
        source: "A, abstract",
        statement: "masked training reduces epistemic uncertainty",
        arm: "masked",
        versus: "before",
    },
    Reduced {
        id: "plain-reduces",
        source: "A, section 1",
        statement: "plain training reduces epistemic uncertainty",
        arm: "mle",
        versus: "before",
    },
    Reduced {
        id: "masked-reduces-more",
        source: OURS,
        statement: "masked training reduces epistemic uncertainty more than plain training does",
        arm: "masked",
        versus: "mle",
    },
];

impl Reduced {
    fn tested(&self, rows: &[SeedMean], data: &str, sets: &[&str], place: &str, of: Quantity) -> Claim {
        let Self { id, source, statement, arm, versus } = *self;
        let question = format!("{ID}/{id}");
        let (short, words) = match of {
            Quantity::Epistemic => ("bald", "BALD"),
            _ => ("pairwise", "mean divergence of two passes' predictions"),
        };
        // The paper measures BALD; the divergence of two passes has less bias.
        let evidence = match of {
            _ if source == OURS => Evidence::Ours,
            Quantity::Epistemic => Evidence::Paper,
            _ => Evidence::Proxy,
        };
        let claim = Claim::new(
            &format!("{question}-{short}-{place}-{data}"),
            source,
            &format!("{data}: {statement}, dropout on {place}, measured as {words}."),
        )
        .by(evidence)
        .of_question(&question)
        .on_data(sets);
        let is = |row: &&SeedMean| {
            row.data == data
                && row.set == place
                && row.measure == of
                && row.arm == arm
                && row.versus.as_deref() == Some(versus)
        };
        let Some(row) = rows.iter().find(is).filter(|row| row.seeds > 1) else {
            return claim.not_tested(TOO_FEW);
        };
        let test = format!(
            "{words}, nats per response token of held-out documents, {arm} minus {versus}, paired by seed; Student's 95 % \
             interval over seeds"
        );
        claim.below(0.0, row.estimate(), &test)
    }
}
