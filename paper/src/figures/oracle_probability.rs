//! Question 5 in the oracle language: when tokens of low probability teach, and when they harm.

use super::oracle::of_study;
use crate::oracle::measures::ANSWERS;
use crate::oracle::{Grid, OracleMean, Quantity, Study};
use crate::picture::curve;
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Panel, Series};

/// The figure.
pub(super) struct Figure;

const PLAIN: &str = "log-p";
const ARMS: [&str; 6] = ["minus-p", "minus-p-10", "f-half", "threshold", "upper-90", "top-10"];
const DATA: [&str; 5] = ["clean", "uniform-10", "uniform-30", "confusable-30", "paraphrase"];
const FROM: [usize; 5] = [1, 2, 3, 4, 5];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "oracle-probability",
            title: "When improbable tokens teach, and when they harm",
            source: "B, the model-capability continuum and its ablations; in the oracle language",
            caption: "Share of right answers (facts, results, copies) on held-out data minus that of −log *p*, against the \
                      mean probability that the model gives to the written answers of the training data before \
                      post-training, for clean data, wrong values at 10 and 30 %, wrong values that are another key's, and \
                      several right spellings. Each objective at its own tuned rate. 95 % intervals over seeds, paired.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run)?;
        let grid = Grid { from: &FROM, data: &DATA, ..Grid::default() };
        let mut rows = Vec::new();
        for groups in [&[ANSWERS][..], &["all"]] {
            let of = if groups[0] == "all" { Quantity::Kl } else { Quantity::Right };
            let grid = Grid { groups, of, ..grid };
            rows.extend(study.grid(&Grid { arms: &[PLAIN], ..grid }));
            rows.extend(study.grid(&Grid { arms: &ARMS, versus: Some(PLAIN), ..grid }));
        }
        rows.extend(study.grid(&Grid {
            arms: &["mle"],
            look: Some(0),
            set: "training",
            groups: &[ANSWERS],
            of: Quantity::Probability,
            ..grid
        }));
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<OracleMean> = table.rows()?;
        let before = |data: &str, from: usize| {
            rows.iter()
                .find(|row| row.measure == Quantity::Probability && row.data == data && row.from == from)
                .map(|row| row.value)
        };
        let panel = |data: &str| {
            let y = Axis::linear("right answers over −log *p*, points").points();
            let mut panel =
                Panel::new(data, Axis::linear("mean probability of the answers").range(0.0, 1.0), y)
                    .with(Series::horizontal(0.0));
            for (index, arm) in ARMS.iter().enumerate() {
                let is = |row: &&OracleMean| {
                    row.measure == Quantity::Right
                        && row.versus.is_some()
                        && row.data == data
                        && row.arm == *arm
                };
                let points: Vec<_> = rows
                    .iter()
                    .filter(is)
                    .filter_map(|row| Some((before(data, row.from)?, row.value, row.low, row.high)))
                    .collect();
                if points.is_empty() {
                    continue;
                }
                panel = panel.with_all(curve(points.into_iter(), index, arm));
            }
            panel
        };
        Ok(Drawing::new(DATA.map(panel)).columns(3).width(1040.0))
    }
}
