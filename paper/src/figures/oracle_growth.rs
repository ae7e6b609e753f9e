//! Question 6 in the oracle language: thresholds that adapt; rank and share that grow.

use super::oracle::of_study;
use crate::oracle::{Grid, OracleMean, Study};
use crate::picture::{Mark, marks};
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing};

/// The figure.
pub(super) struct Figure;

/// Each way of training with the one that it changes.
const PAIRS: [(&str, &str); 6] = [
    ("adaptive", "masked"),
    ("rank-16", "masked"),
    ("rank-4", "rank-16"),
    ("rank-grows", "rank-16"),
    ("share-grows", "rank-16"),
    ("both-grow", "rank-16"),
];
/// What each is compared with.
const SERIES: [&str; 2] = ["against masked", "against rank-16"];
/// Documents that models are measured on, with what they show.
const SETS: [(&str, &str); 3] =
    [("test", "held-out documents"), ("former", "what pretraining taught"), ("deep", "longer chains")];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "oracle-growth",
            title: "Thresholds that adapt; rank and share that grow",
            source: "A, open questions on the threshold and on the capacity of the model; in the oracle language",
            caption: "KL(truth ‖ model) minus that of the way of training that each changes (below 0 is better), from \
                      capability 4 on clean data: a share that falls as the loss does against a fixed quarter (both with \
                      all weights); an adapter of rank 16 against all weights; rank 4, a rank that grows from 2 to 16, a \
                      share that grows from 10 to 75 %, and both together, against rank 16 and a fixed quarter. 95 % \
                      intervals over seeds, paired.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run)?;
        let mut rows = Vec::new();
        for (set, _) in SETS {
            let grid = Grid { set, ..Grid::default() };
            rows.extend(study.grid(&Grid { arms: &["masked", "rank-16"], ..grid }));
            for (arm, versus) in PAIRS {
                rows.extend(study.grid(&Grid { arms: &[arm], versus: Some(versus), ..grid }));
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<OracleMean> = table.rows()?;
        let panel = |(set, title): (&str, &str)| {
            let is = |row: &&OracleMean| row.set == set && row.versus.is_some();
            let all = rows.iter().filter(is).map(|row| {
                let OracleMean { arm, versus, .. } = row;
                let series = if versus.as_deref() == Some("masked") { SERIES[0] } else { SERIES[1] };
                Mark { category: arm, series, estimate: row.estimate() }
            });
            let all: Vec<Mark<'_>> = all.collect();
            marks(title, Axis::linear("KL, nats"), &all, &SERIES)
        };
        Ok(Drawing::new(SETS.map(panel)).columns(3).width(1040.0))
    }
}
