//! Paper A, figure 6A: gains in against gains out of the distribution trained on, of every objective.

use crate::figures::fig_5::at_home_and_abroad;
use crate::lab::arm::Arm;
use crate::lab::corpus::{Corpus, OF_CHAT};
use crate::lab::gains::{self, PREFERENCE, Row, judge, measure};
use crate::lab::models::each_model;
use crate::lab::picture::{called, distinct};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};
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
                      the right is better. Thin crosses: 95 % intervals of the paper's three objectives; those of the others are in the \
                      table.",
            protocol: "As figures 3 and 5. The mean is over measures of one unit; a corpus without a measure of that unit in \
                       its own distribution has no panel.",
            deviations: &[
                "No judge in all profiles but paper: held-out loss, overlap, and how often a reply overlaps more than the plain \
                 model's (length-controlled, ties one half) stand in place of win rates.",
                "The paper's figure is about single-turn questions at home and following instructions abroad. What is trained on GSM8K or on \
                 generated word problems is ours, but for the abstract's gain on GSM8K.",
                gains::MEASURED_ELSEWHERE,
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
        let panels = each_model(&rows, |row| &row.model, |rows| panels(rows, &arms, &criteria), Panel::of);
        Ok(Drawing::new(panels).columns(2).panel_height(260.0))
    }

    fn title(&self, table: &Table) -> Result<&'static str> {
        gains::title(&self.about(), table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let claims = |rows: &[Row]| {
            let of_corpus = |corpus| at_home_and_abroad(rows, "a-6a", corpus, |id| source(id, corpus));
            [Corpus::Gsm8k, Corpus::Chat, Corpus::Arithmetic].into_iter().flat_map(of_corpus).collect()
        };
        Ok(each_model(&table.rows()?, |row: &Row| &row.model, claims, Claim::of_model))
    }
}

/// The figure is about single-turn questions and the text about `ShareGPT`; of GSM8K only the abstract says that something
/// gains there, and that is masked training with distillation.
fn source(id: &str, corpus: Corpus) -> &'static str {
    match (corpus, id) {
        (Corpus::Gsm8k, "both-in") => "A, abstract",
        (Corpus::Gsm8k, _) => "ours, on A, figure 6A",
        _ => gains::source("A, figure 6A", corpus),
    }
}

/// One model's gains, corpus by corpus; arms and criteria are those of the whole drawing.
fn panels(rows: &[Row], arms: &[String], criteria: &[String]) -> Vec<Panel> {
    let objectives = [Arm::masked(), Arm::distill(), Arm::both()].map(|arm| arm.name);
    let mut panels = Vec::new();
    for corpus in distinct(rows.iter().map(|row| row.trained_on.as_str())) {
        // Preference has no mean abroad: answers stand there.
        for (home, abroad) in [("share", "share"), ("nats", "nats"), (PREFERENCE, "share")] {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.trained_on == corpus).collect();
            let units = [("in", home), ("out", abroad)];
            let places: Vec<(&str, [&Row; 2])> =
                arms.iter().filter_map(|arm| Some((arm.as_str(), place(&rows, arm, units)?))).collect();
            if places.is_empty() {
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
            let panel = Panel::new(&title, axis(units[0], "in distribution"), axis(units[1], "out of it"))
                .with(Series::horizontal(0.0))
                .with(Series::vertical(0.0));
            // No interval hides a point.
            let own = places.iter().filter(|(arm, _)| objectives.iter().any(|objective| objective == arm));
            let crosses = own.flat_map(|(arm, rows)| cross(*rows, ink(arm, criteria)));
            let points = places.iter().map(|(arm, rows)| point(arm, *rows, ink(arm, criteria)));
            panels.push(panel.with_all(crosses).with_all(points));
        }
    }
    panels
}

/// The outcomes that a mean is of; of some arms it may be without one at the floor.
fn mean_of(rows: &[&Row], place: &str, unit: &str) -> String {
    let here = rows.iter().filter(|row| (row.distribution.as_str(), row.unit.as_str()) == (place, unit));
    let mut all = distinct(here.map(|row| row.of.as_str()));
    all.sort_by_key(|of| std::cmp::Reverse(of.len()));
    let longest = all.first().cloned().unwrap_or_default();
    if all.len() > 1 { format!("{longest} (above the floor)") } else { longest }
}

/// An arm's rows at home and abroad, each of its unit, if both are among a corpus' rows.
fn place<'a>(rows: &[&'a Row], arm: &str, units: [(&str, &str); 2]) -> Option<[&'a Row; 2]> {
    let [home, abroad] = units.map(|unit| {
        let is = |row: &&&Row| row.arm == arm && (row.distribution.as_str(), row.unit.as_str()) == unit;
        rows.iter().find(is).copied()
    });
    Some([home?, abroad?])
}

/// The colour of an arm's criterion or objective.
fn ink(arm: &str, criteria: &[String]) -> Ink {
    Ink::Category(criteria.iter().position(|known| known == look(arm).0).unwrap_or(0))
}

fn point(arm: &str, [home, abroad]: [&Row; 2], ink: Ink) -> Series {
    Series::points([(home.gain, abroad.gain)]).ink(ink).shape(Shape::of(look(arm).1)).label(called(arm))
}

/// The intervals of both gains, through the point.
fn cross([home, abroad]: [&Row; 2], ink: Ink) -> [Series; 2] {
    let across = [(home.gain_low, abroad.gain), (home.gain_high, abroad.gain)];
    let up = [(home.gain, abroad.gain_low), (home.gain, abroad.gain_high)];
    [across, up].map(|ends| Series::line(ends).ink(ink).stroke(0.8))
}

/// The criterion or objective, which has a colour, and the number of a shape: tokens, documents, neither.
fn look(arm: &str) -> (&str, usize) {
    match arm.split_once(' ') {
        Some((criterion, "token")) => (criterion, 0),
        Some((criterion, "document")) => (criterion, 1),
        _ => (arm, 2),
    }
}
