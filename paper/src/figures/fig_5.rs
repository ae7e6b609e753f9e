//! Paper A, figure 5: masked maximum likelihood, distillation, and both, on every measure.

use crate::claim::{Expected, OURS};
use crate::finetune::panels::{gains, of_study, words};
use crate::finetune::{Comparison, Place, Quantity, SeedMean, Study};
use crate::planned::Rate;
use crate::table::distinct;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Drawing, Panel};

/// The figure.
pub(super) struct Figure;

const ID: &str = "a-5";
pub(super) const GROUPS: [&str; 2] = ["objectives", "objectives elsewhere"];
const ARMS: [&str; 3] = ["masked", "distill", "masked-distill"];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "Masking and distillation, in and out of distribution",
            source: "A, figure 5",
            caption: "Gain over plain maximum likelihood, one mark per objective: by what the model answers, by the loss \
                      on held-out documents of the data that are trained on, and by that on other data's, each at the \
                      temperature at which it is least. Mean over seeds with Student's 95 % interval, paired, where \
                      there are several; rings: a single seed.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &GROUPS)?;
        let mut rows = Vec::new();
        for data in study.data() {
            rows.extend(study.rows(data, &["before", "mle"], Rate::Tuned, None)?);
            rows.extend(study.rows(data, &ARMS, Rate::Tuned, Some("mle"))?);
            rows.extend(study.rows(data, &["masked-distill"], Rate::Tuned, Some("masked"))?);
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<SeedMean> = table.rows()?;
        let mut panels: Vec<Panel> = Vec::new();
        for data in distinct(rows.iter().map(|row| row.data.as_str())) {
            for of in [Quantity::Right, Quantity::Fitted] {
                let is = |row: &&SeedMean| {
                    row.data == data && row.measure == of && row.versus.as_deref() == Some("mle")
                };
                let here: Vec<&SeedMean> = rows.iter().filter(is).collect();
                if let Some(first) = here.first() {
                    let what = if of == Quantity::Right { words(first) } else { "loss".to_owned() };
                    let title = format!("trained on {data}: {what}");
                    panels.push(gains(&title, &here, |row| &row.set, |row| &row.arm, &ARMS));
                }
            }
        }
        Ok(Drawing::new(panels).columns(2).width(1040.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<SeedMean> = table.rows()?;
        Comparison::all(ID, &CLAIMS, &rows)
    }
}

const fn comparison(
    id: &'static str,
    statement: &'static str,
    (arm, versus): (&'static str, &'static str),
    place: Place,
    expected: Expected,
) -> Comparison {
    Comparison { id, source: "A, figure 5", statement, arm, versus, place, expected }
}

const BETTER: Expected = Expected::Above(0.0);
const WORSE: Expected = Expected::Below(0.0);

const CLAIMS: [Comparison; 6] = [
    comparison(
        "masked-out",
        "masked training costs out of distribution",
        ("masked", "mle"),
        Place::Away,
        WORSE,
    ),
    // The figure's models are trained on Alpaca; gains on other data are the abstract's claim.
    Comparison {
        source: "A, abstract and figure 5",
        ..comparison(
            "both-in",
            "masked training with distillation gains in distribution",
            ("masked-distill", "mle"),
            Place::Home,
            BETTER,
        )
    },
    comparison(
        "both-out",
        "masked training with distillation gains out of distribution",
        ("masked-distill", "mle"),
        Place::Away,
        BETTER,
    ),
    comparison(
        "distillation-helps-out",
        "distillation on the other tokens helps masked training out of distribution",
        ("masked-distill", "masked"),
        Place::Away,
        BETTER,
    ),
    Comparison {
        source: OURS,
        ..comparison(
            "distillation-helps-in",
            "distillation on the other tokens helps masked training in distribution",
            ("masked-distill", "masked"),
            Place::Home,
            BETTER,
        )
    },
    Comparison {
        source: OURS,
        ..comparison(
            "distill-alone",
            "distillation from the plain model alone does better than the plain model",
            ("distill", "mle"),
            Place::Home,
            BETTER,
        )
    },
];
