//! Paper B's likelihood after training with a real model: what each objective does to the probability of the target tokens.

use crate::finetune::panels::of_study;
use crate::finetune::{Quantity, SeedMean, Study};
use crate::picture::{Mark, marks};
use crate::planned::Rate;
use crate::table::distinct;
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Panel};

/// The figure.
pub(super) struct Figure;

const ARMS: [&str; 9] = [
    "before",
    "mle",
    "minus-p",
    "minus-p-10",
    "f-half",
    "log-one-minus-p",
    "threshold",
    "upper-90",
    "top-10",
];
/// Where probabilities are shown: what was trained on, and held-out documents.
const SETS: [&str; 2] = ["training", "test"];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "b-model-likelihood",
            title: "Probability of the target tokens after training with each objective",
            source: "B, the likelihood after training",
            caption: "Mean probability of the target tokens, of the documents that were trained on and of held-out ones \
                      (which have no wrong results), before training and after it with each objective at its own rate. \
                      Mean over seeds with Student's 95 % interval where there are several; rings: a single seed.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &["probability"])?;
        let mut rows = Vec::new();
        for data in study.data() {
            rows.extend(study.rows(data, &ARMS, Rate::Tuned, None)?);
        }
        rows.retain(|row| SETS.contains(&row.set.as_str()) && row.measure == Quantity::Probability);
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<SeedMean> = table.rows()?;
        let mut panels: Vec<Panel> = Vec::new();
        for data in distinct(rows.iter().map(|row| row.data.as_str())) {
            let here = rows.iter().filter(|row| row.data == data);
            let all: Vec<Mark<'_>> = here
                .map(|row| Mark { category: &row.arm, series: &row.set, estimate: row.estimate() })
                .collect();
            let axis = Axis::linear("mean probability").range(0.0, 1.0);
            panels.push(marks(data, axis, &all, &SETS));
        }
        Ok(Drawing::new(panels).columns(2).width(1040.0))
    }
}
