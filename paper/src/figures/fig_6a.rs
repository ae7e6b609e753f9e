//! Paper A, figure 6A: gains in against gains out of the distribution trained on, of every objective.

use crate::figures::fig_5::at_home_and_abroad;
use crate::lab::arm::Arm;
use crate::lab::corpus::{Corpus, OF_CHAT};
use crate::lab::gains::{self, PREFERENCE, Row, judge, measure};
use crate::lab::picture::distinct;
use crate::plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6a",
            title: "At home and abroad: gains of every objective (in a judge's place: overlap with references)",
            source: "A, figure 6A",
            caption: "Mean gain over plain maximum likelihood in (across) and out of (up) the distribution trained on, one mark \
                      per objective, by what the models answer, by held-out loss, and where free text is answered by how often a \
                      reply is preferred, against what the models answer out of distribution; corpus by corpus. Up and to \
                      the right is better.",
            protocol: "As figures 3 and 5. The mean is over measures of one unit; a corpus without a measure of that unit in \
                       its own distribution has no panel.",
            deviations: &[
                "No judge in all profiles but paper: held-out loss, overlap, and how often a reply overlaps more than the plain \
                 model's (length-controlled, ties one half) stand in place of win rates.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut rows = gains::rows_and_preferences(run, |study| {
            let mut arms = study.selections();
            arms.extend(study.objectives());
            arms.dedup();
            let mut all: Vec<Arm> = Vec::new();
            for arm in arms {
                if !all.contains(&arm) {
                    all.push(arm);
                }
            }
            let plain = all.into_iter().map(|arm| (arm, Arm::mle()));
            plain.chain([(Arm::both(), Arm::masked())]).collect()
        })?;
        rows.retain(|row| row.outcome == "mean" || row.unit == PREFERENCE);
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Row> = table.rows()?;
        rows.retain(|row| row.versus == "mle");
        let arms = distinct(rows.iter().map(|row| row.arm.as_str()));
        let criteria = distinct(arms.iter().map(|arm| look(arm).0));
        let mut panels = Vec::new();
        for corpus in distinct(rows.iter().map(|row| row.trained_on.as_str())) {
            // Preference has no mean abroad: answers stand there.
            for (home, abroad) in [("share", "share"), ("nats", "nats"), (PREFERENCE, "share")] {
                let rows: Vec<&Row> = rows.iter().filter(|row| row.trained_on == corpus).collect();
                let units = [("in", home), ("out", abroad)];
                let marks: Vec<Series> =
                    arms.iter().filter_map(|arm| mark(&rows, arm, units, &criteria)).collect();
                if marks.is_empty() {
                    continue;
                }
                let axis = |(place, unit): (&str, &str), words: &str| match unit {
                    "nats" => Axis::linear(&format!("{words}, nats per token")),
                    _ if place == "out" => {
                        Axis::linear(&format!("{words}: {}", mean_of(&rows, place, unit))).percent()
                    }
                    _ => Axis::linear(&format!("{words}: {}", measure(&corpus, place, unit))).percent(),
                };
                let gained = match home {
                    "nats" => "loss on held-out text".to_owned(),
                    "share" => "answers".to_owned(),
                    _ => {
                        let preferred = rows.iter().find(|row| row.unit == home);
                        format!("replies preferred {}", preferred.map_or("", |row| judge(row)))
                    }
                };
                let title = format!("{corpus}: gain, {gained}");
                let panel =
                    Panel::new(&title, axis(units[0], "in distribution"), axis(units[1], "out of it"))
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

/// The outcomes that a mean is of.
fn mean_of<'a>(rows: &[&'a Row], place: &str, unit: &str) -> &'a str {
    let found = rows.iter().find(|row| (row.distribution.as_str(), row.unit.as_str()) == (place, unit));
    found.map_or("", |row| &row.of)
}

/// An arm's gains at home and abroad, each in its unit, if both are among a corpus' rows.
fn mark(rows: &[&Row], arm: &str, units: [(&str, &str); 2], criteria: &[String]) -> Option<Series> {
    let [home, abroad] = units.map(|unit| {
        let of_unit = |row: &&&Row| (row.distribution.as_str(), row.unit.as_str()) == unit;
        rows.iter().filter(of_unit).find(|row| row.arm == arm).map(|row| row.gain)
    });
    let (criterion, shape) = look(arm);
    let colour = criteria.iter().position(|known| known == criterion)?;
    let point = Series::points([(home?, abroad?)]).ink(Ink::Category(colour));
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
