//! Paper B, section 2: the gradient that each objective puts on the label's logit, `p^α (1 − p)`.

use crate::plot::{Axis, Drawing, Ink, Panel, Series};
use crate::{About, Claim, Column, Run, Table, exact};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The figure.
pub(super) struct Figure;

#[derive(Clone, Debug, Serialize)]
struct Config {
    alphas: Vec<f64>,
    points: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    alpha: f64,
    p: f64,
    weight: f64,
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "b-gradient-weight",
            title: "Which tokens an objective pulls on",
            source: "B, section 2",
            caption: "Size of the gradient on the label's logit against the label's probability, for the family \
                      *f*_{α}(*p*) = (1 − *p*^{α})/α. Convex objectives pull on improbable tokens, concave ones on probable \
                      tokens; the peak lies at α/(1 + α).",
            protocol: "*W*(*p*) = *p*^{α} (1 − *p*) on an equally spaced grid of *p*; α = 0 is −log *p*.",
            deviations: &[],
            columns: vec![
                Column::new("alpha", "", "exponent of the family"),
                Column::new("p", "", "probability of the label"),
                Column::new("weight", "", "*p*^{α} (1 − *p*)"),
            ],
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = Config { alphas: vec![0.0, 0.5, 1.0, 3.0, 10.0], points: run.profile.pick(21, 201) };
        let rows = run.cached("curves", &config, || {
            let grid = |alpha: f64| {
                (0..config.points).map(move |n| {
                    let p = f64::from(n) / f64::from(config.points - 1);
                    Row { alpha, p, weight: libm::pow(p, alpha) * (1.0 - p) }
                })
            };
            anyhow::Ok(config.alphas.iter().copied().flat_map(grid).collect())
        })?;
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Row> = table.rows()?;
        let curves = rows.chunk_by(|a, b| a.alpha.to_bits() == b.alpha.to_bits()).enumerate().map(|(index, curve)| {
            let name = if curve[0].alpha == 0.0 { "α = 0 (−log *p*)".into() } else { format!("α = {}", curve[0].alpha) };
            Series::line(curve.iter().map(|row| (row.p, row.weight))).ink(Ink::Category(index)).label(&name)
        });
        let panel = Panel::new("", Axis::linear("probability of the label, *p*").range(0.0, 1.0), Axis::linear("|∂*L*/∂*z*_{label}|"));
        Ok(Drawing::new([panel.with_all(curves)]).width(560.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let step = rows[1].p - rows[0].p;
        let misplaced = rows.chunk_by(|a, b| a.alpha.to_bits() == b.alpha.to_bits()).map(|curve| {
            let peak = curve.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).map_or(f64::NAN, |row| row.p);
            (peak - curve[0].alpha / (1.0 + curve[0].alpha)).abs()
        });
        let worst = exact(misplaced.fold(0.0, f64::max));
        let statement = "The pull on the label peaks at *p* = α/(1 + α).";
        let test = "largest distance of the grid's peak from α/(1 + α), against one grid step";
        Ok(vec![Claim::new("b-gradient-weight/peak", "B, section 2", statement).below(step, worst, test)])
    }
}
