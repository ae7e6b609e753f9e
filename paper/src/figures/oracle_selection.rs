//! Question 2 in the oracle language: does selection lower the true error.

use super::oracle::of_study;
use crate::oracle::{Grid, OracleMean, Study};
use crate::picture::{Mark, marks};
use crate::planned::Rate;
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Panel};

/// The figure.
pub(super) struct Figure;

const ARMS: [&str; 6] = ["masked", "entropy", "rho", "bald", "random", "truth"];
const DATA: [&str; 2] = ["clean", "uniform-30"];
/// With what the titles of their panels add.
const RATES: [(Rate, &str); 3] = [
    (Rate::Tuned, ""),
    (Rate::Plain, ", plain training's rate"),
    (Rate::Matched, ", plain training's steps"),
];
/// Groups of tokens, all of them first.
const GROUPS: [&str; 9] =
    ["all", "structure", "free", "choice", "frequent-fact", "rare-fact", "rule", "new-rule", "copy"];
/// Series of the whole drawing: two of the upper row, then the arms of the lower row.
const SERIES: [&str; 6] = ["from capability 2", "from capability 4", "masked", "entropy", "random", "truth"];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "oracle-selection",
            title: "Does training on a quarter of the tokens lower the true error",
            source: "A, figures 3 and 5; in the oracle language",
            caption: "KL(truth ‖ model) on held-out data minus that of plain training (below 0 is better), after training \
                      on the quarter of the tokens with the largest loss (masked), entropy, excess loss (rho), epistemic \
                      uncertainty (bald), a random quarter, and the quarter with the largest true KL (truth), which no real \
                      model can know. First row: all tokens, each arm at its own rate; second: at plain training's, which \
                      the arms not shown there have anyway; third: at plain training's rate, the gradients on the labels' logits as large as its own; last: by class, \
                      at the arm's own rate, from capability 4. 95 % intervals over seeds, paired.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run)?;
        let grid = Grid { from: &[2, 4], data: &DATA, groups: &GROUPS, ..Grid::default() };
        let mut rows = study.grid(&Grid { arms: &["mle"], ..grid });
        for (rate, _) in RATES {
            rows.extend(study.grid(&Grid { arms: &ARMS, versus: Some("mle"), rate, ..grid }));
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<OracleMean> = table.rows()?;
        rows.retain(|row| row.versus.is_some());
        let axis = || Axis::linear("KL over plain training, nats");
        let mut panels: Vec<Panel> = Vec::new();
        for (data, (rate, title)) in RATES.into_iter().flat_map(|of| DATA.map(|data| (data, of))) {
            let of = |row: &&OracleMean| row.data == data && row.group == "all" && row.rate == rate;
            let all = rows.iter().filter(of).map(|row| {
                let OracleMean { arm, from, .. } = row;
                let series = if *from == 2 { SERIES[0] } else { SERIES[1] };
                Mark { category: arm, series, estimate: row.estimate() }
            });
            let all: Vec<Mark<'_>> = all.collect();
            if all.is_empty() {
                continue;
            }
            panels.push(marks(&format!("{data}{title}"), axis(), &all, &SERIES[..2]));
        }
        for data in DATA {
            let of = |row: &&OracleMean| {
                row.data == data
                    && row.from == 4
                    && row.group != "all"
                    && row.rate == Rate::Tuned
                    && SERIES[2..].contains(&row.arm.as_str())
            };
            let all: Vec<Mark<'_>> = rows
                .iter()
                .filter(of)
                .map(|row| Mark { category: &row.group, series: &row.arm, estimate: row.estimate() })
                .collect();
            if all.is_empty() {
                continue;
            }
            panels.push(marks(&format!("{data}, by class"), axis(), &all, &SERIES));
        }
        Ok(Drawing::new(panels).columns(2).width(1040.0))
    }
}
