//! Paper A, figure 6A: gains in against gains out of the distribution trained on, of every objective.

use crate::figures::fig_5::at_home_and_abroad;
use crate::lab::corpus::Corpus;
use crate::lab::gains::{self, Row, measure};
use crate::lab::picture::distinct;
use crate::lab::study::Arm;
use crate::plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6a",
            title: "At home and abroad: gains of every objective, without a judge",
            source: "A, figure 6A",
            caption: "Mean gain over plain maximum likelihood in (across) and out of (up) the distribution trained on, one mark \
                      per objective, by what the models answer (left) and by held-out loss (right), corpus by corpus. Up and to \
                      the right is better.",
            protocol: "As figures 3 and 5. The mean is over measures of one unit; a corpus without a measure of that unit in \
                       its own distribution has no panel.",
            deviations: &[
                "No judge: held-out loss and overlap stand in place of win rates.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut rows = gains::rows(run, |study| {
            let mut arms = study.selections();
            arms.extend(study.objectives());
            arms.dedup();
            let mut all: Vec<Arm> = Vec::new();
            for arm in arms {
                if !all.contains(&arm) {
                    all.push(arm);
                }
            }
            all.into_iter().map(|arm| (arm, Arm::mle())).collect()
        })?;
        rows.retain(|row| row.outcome == "mean");
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Row> = table.rows()?;
        let arms = distinct(rows.iter().map(|row| row.arm.as_str()));
        let criteria = distinct(arms.iter().map(|arm| look(arm).0));
        let mut panels = Vec::new();
        for corpus in distinct(rows.iter().map(|row| row.trained_on.as_str())) {
            for unit in ["share", "nats"] {
                let of_panel = |row: &&Row| row.trained_on == corpus && row.unit == unit;
                let rows: Vec<&Row> = rows.iter().filter(of_panel).collect();
                let marks: Vec<Series> = arms.iter().filter_map(|arm| mark(&rows, arm, &criteria)).collect();
                if marks.is_empty() {
                    continue;
                }
                let axis = |place: &str, words: &str| match unit {
                    "nats" => Axis::linear(&format!("{words}, nats per token")),
                    _ => Axis::linear(&format!("{words}: {}", measure(&corpus, place, unit))).percent(),
                };
                let gained = if unit == "nats" { "loss on held-out text" } else { "answers" };
                let title = format!("{corpus}: gain, {gained}");
                let panel = Panel::new(&title, axis("in", "in distribution"), axis("out", "out of it"))
                    .with(Series::horizontal(0.0))
                    .with(Series::vertical(0.0));
                panels.push(marks.into_iter().fold(panel, Panel::with));
            }
        }
        Ok(Drawing::new(panels).columns(2).panel_height(260.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let claims = [Corpus::Gsm8k, Corpus::Chat, Corpus::Arithmetic].into_iter().flat_map(|corpus| {
            at_home_and_abroad(&rows, "a-6a", gains::source("A, figure 6A", corpus), corpus)
        });
        Ok(claims.collect())
    }
}

/// An arm's gains at home and abroad, if both are among a panel's rows.
fn mark(rows: &[&Row], arm: &str, criteria: &[String]) -> Option<Series> {
    let gain =
        |place: &str| rows.iter().find(|row| row.arm == arm && row.distribution == place).map(|row| row.gain);
    let (criterion, shape) = look(arm);
    let colour = criteria.iter().position(|known| known == criterion)?;
    let point = Series::points([(gain("in")?, gain("out")?)]).ink(Ink::Category(colour));
    Some(point.shape(Shape::of(shape)).label(arm))
}

/// The criterion or objective, which has a colour, and the number of a shape: tokens, documents, neither.
fn look(arm: &str) -> (&str, usize) {
    match arm.split_once(' ') {
        Some((criterion, "token")) => (criterion, 0),
        Some((criterion, "document")) => (criterion, 1),
        _ => (arm, 2),
    }
}
