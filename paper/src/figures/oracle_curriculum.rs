//! Question 4 in the oracle language: an automatic curriculum, beside plain training's control.

use super::oracle::of_study;
use crate::oracle::{Grid, OracleMean, Quantity, Study};
use crate::table::distinct;
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

/// The figure.
pub(super) struct Figure;

const ARMS: [&str; 4] = ["mle", "masked", "masked-distill", "truth"];
/// Their colours: those of no class, of which some are so near to each other that marks tell them apart.
const INKS: [Ink; 4] = [Ink::Strong, Ink::Category(5), Ink::Category(6), Ink::Muted];
/// Classes of tokens, and all of them.
const GROUPS: [&str; 9] =
    ["structure", "free", "choice", "frequent-fact", "rare-fact", "rule", "new-rule", "copy", "all"];
/// Those that are drawn.
const DRAWN: [&str; 5] = ["structure", "free", "rare-fact", "rule", "copy"];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "oracle-curriculum",
            title: "An automatic curriculum, and how soon the error falls",
            source: "A, figure 4 and open question on compute; in the oracle language",
            caption: "Upper row: share of a class's held-out tokens that are among the quarter with the largest loss, after \
                      so many steps of masked training (solid) and of plain training (dashed), which selects nothing: a \
                      curriculum due to masking is where the two part. Lower row: KL(truth ‖ model) of all held-out tokens \
                      against steps. Left from capability 2, right from 4. Ribbons: 95 % intervals over seeds.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run)?;
        let way = study.work.looks();
        let mut rows = Vec::new();
        for (of, groups) in [(Quantity::Selected, &GROUPS[..8]), (Quantity::Kl, &GROUPS[8..])] {
            for (look, step) in &way {
                let grid = Grid { arms: &ARMS, from: &[2, 4], groups, of, look: *look, ..Grid::default() };
                rows.extend(study.grid(&grid).into_iter().map(|row| OracleMean { step: Some(*step), ..row }));
                // Before training all ways are one.
                if *look == Some(0) {
                    let plain = study.grid(&Grid { arms: &["mle"], ..grid });
                    let others = ARMS[1..].iter().flat_map(|arm| {
                        plain.iter().map(|row| OracleMean {
                            arm: (*arm).to_owned(),
                            step: Some(*step),
                            ..row.clone()
                        })
                    });
                    rows.retain(|row| row.step != Some(0) || row.measure != of || row.arm == "mle");
                    rows.extend(others);
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<OracleMean> = table.rows()?;
        let mut panels = Vec::new();
        let curve = |of: Quantity, from: usize, arm: &str, group: &str| {
            let is = |row: &&OracleMean| {
                row.measure == of && row.from == from && row.arm == arm && row.group == group
            };
            let at = |row: &OracleMean| (row.step.unwrap_or(0) as f64, row.value, row.low, row.high);
            rows.iter().filter(is).map(at).collect::<Vec<_>>()
        };
        let drawn = |panel: Panel, points: &[(f64, f64, f64, f64)], ink: Ink, label: Option<&str>| {
            let line = Series::line(points.iter().map(|(x, y, _, _)| (*x, *y))).ink(ink);
            let line = label.map_or_else(|| line.clone().dashed(), |label| line.clone().label(label));
            panel
                .with(Series::band(points.iter().map(|(x, _, low, high)| (*x, *low, *high))).ink(ink))
                .with(line)
        };
        let from = distinct(rows.iter().map(|row| row.from));
        for from in &from {
            let y = Axis::linear("share selected").range(0.0, 1.0).percent();
            let mut panel = Panel::new(&format!("from capability {from}"), Axis::linear("steps"), y);
            for (index, group) in DRAWN.iter().enumerate() {
                let ink = Ink::Category(index);
                panel = drawn(panel, &curve(Quantity::Selected, *from, "masked", group), ink, Some(group));
                panel = drawn(panel, &curve(Quantity::Selected, *from, "mle", group), ink, None);
            }
            panels.push(panel);
        }
        for from in &from {
            let title = format!("from capability {from}");
            let mut panel = Panel::new(&title, Axis::linear("steps"), Axis::linear("KL, nats"));
            for (index, (arm, ink)) in ARMS.iter().zip(INKS).enumerate() {
                let points = curve(Quantity::Kl, *from, arm, "all");
                let marks = Series::points(points.iter().map(|(x, y, _, _)| (*x, *y))).ink(ink);
                panel = drawn(panel, &points, ink, Some(arm)).with(marks.shape(Shape::of(index)).label(arm));
            }
            panels.push(panel);
        }
        Ok(Drawing::new(panels).columns(from.len().max(1)).width(1040.0))
    }
}
