//! Question 3 in the oracle language: does masking overfit, and does distillation repair it.

use super::oracle::of_study;
use crate::oracle::{Grid, OracleMean, Quantity, Study};
use crate::picture::{Mark, marks};
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing};

/// The figure.
pub(super) struct Figure;

const ARMS: [&str; 6] =
    ["mle-slow", "masked", "masked-long", "distill", "masked-distill", "masked-distill-base"];
const DATA: [&str; 3] = ["clean", "uniform-30", "few"];

/// What is compared: title and axis, documents, the documents subtracted, the measure.
const COMPARED: [(&str, &str, &str, Option<&str>, Quantity); 6] = [
    ("held-out documents", "KL, nats", "test", None, Quantity::Kl),
    ("train–test gap", "loss, nats", "test", Some("training"), Quantity::Loss),
    ("longer chains", "KL, nats", "deep", None, Quantity::Kl),
    ("what pretraining taught", "KL, nats", "former", None, Quantity::Kl),
    ("calibrated uncertainty", "distance of entropies, nats", "test", None, Quantity::EntropyGap),
    ("right answers", "share", "test", None, Quantity::Right),
];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "oracle-distillation",
            title: "Does masking overfit, and does distillation repair it",
            source: "A, section 4 and figure 5; in the oracle language",
            caption: "Difference from plain training, from capability 4. Masked: the quarter of the tokens with the largest \
                      loss, nothing on the rest; masked-long: as many steps as masked-distill costs, its twin's training \
                      counted; distill, masked-distill: distillation from the twin (plain training on the same data) on all \
                      tokens, on the rest; masked-distill-base: from the model before training; mle-slow: plain training at \
                      a third of its rate. Below 0 is better, except for right answers. 95 % intervals over seeds, paired.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run)?;
        let mut rows = Vec::new();
        for (_, _, set, minus, of) in COMPARED {
            let grid = Grid { data: &DATA, groups: &[group(of)], set, minus, of, ..Grid::default() };
            rows.extend(study.grid(&Grid { arms: &["mle"], ..grid }));
            rows.extend(study.grid(&Grid { arms: &ARMS, versus: Some("mle"), ..grid }));
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<OracleMean> = table.rows()?;
        let panel = |(title, axis, set, minus, of): (&str, &str, &str, Option<&str>, Quantity)| {
            let is = |row: &&OracleMean| {
                row.versus.is_some() && row.set == set && row.minus.as_deref() == minus && row.measure == of
            };
            let all: Vec<Mark<'_>> = rows
                .iter()
                .filter(is)
                .map(|row| Mark { category: &row.arm, series: &row.data, estimate: row.estimate() })
                .collect();
            marks(title, Axis::linear(axis), &all, &DATA)
        };
        Ok(Drawing::new(COMPARED.map(panel)).columns(2).width(1040.0))
    }
}

/// The tokens that a measure is about.
fn group(of: Quantity) -> &'static str {
    if of == Quantity::Right { crate::oracle::measures::ANSWERS } else { "all" }
}
