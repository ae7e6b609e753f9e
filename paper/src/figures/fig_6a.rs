//! Paper A, figure 6A: gains in against gains out of the distribution trained on, of every objective.

use super::fig_5::{at_home_and_abroad, tested};
use crate::study::claims::{self, measure};
use crate::study::corpus::OF_CHAT;
use crate::study::models::{SMALL_MODEL, each_model};
use crate::study::picture::by_corpus;
use crate::study::{Arm, Corpus, Distribution, Gain, Granularity, Measure, Unit, compare};
use crate::table::distinct;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6a",
            title: "Gains of every objective, in and out of distribution",
            source: "A, figure 6A",
            caption: "Mean gain over plain maximum likelihood in distribution (horizontal) and out of distribution \
                      (vertical), one mark per objective and one row of panels per training corpus: by the model's \
                      answers, by held-out loss, and, for free-text replies, by how often a reply is preferred, \
                      against answers out of distribution. Up and to the right is better. Thin crosses: 95 % \
                      intervals of the paper's three objectives; those of the others are in the table.",
            protocol: "As figures 3 and 5. Each mean is over measures of one unit. A corpus without an \
                       in-distribution measure of a unit has no panel for it.",
            deviations: &[
                claims::NO_JUDGE,
                "The paper's figure has single-turn questions in distribution and instruction following out of \
                 distribution. Training on GSM8K and on generated word problems is our addition, except that the \
                 paper's abstract claims a gain on GSM8K.",
                compare::MEASURED_ELSEWHERE,
                SMALL_MODEL,
                OF_CHAT,
            ],
            columns: Gain::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut rows = compare::rows_and_preferences(run, |study| {
            let arms = distinct(study.selections().into_iter().chain(study.objectives()));
            let plain = arms.into_iter().map(|arm| (arm, Arm::Mle));
            plain.chain([(Arm::MaskedDistill, Arm::Masked)]).collect()
        })?;
        rows.retain(|row| row.measure == Measure::Mean || row.unit == Unit::Preference);
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Gain> = table.rows()?;
        rows.retain(|row| row.versus == Arm::Mle);
        let arms = distinct(rows.iter().map(|row| row.arm));
        let families = distinct(arms.iter().map(|arm| look(*arm).0));
        let panels = each_model(&rows, |row| &row.model, |rows| panels(rows, &arms, &families), Panel::of);
        Ok(Drawing::new(panels).columns(2).panel_height(260.0))
    }

    fn subtitle(&self, table: &Table) -> Result<Option<&'static str>> {
        claims::subtitle(table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let declared = at_home_and_abroad(
            // The figure is about single-turn questions, and the text about `ShareGPT`.
            |corpus| match corpus {
                Corpus::Gsm8k => "ours, on A, figure 6A",
                _ => claims::source("A, figure 6A", corpus),
            },
            // Of GSM8K the abstract alone says that something gains there: masked training with distillation.
            |corpus| match corpus {
                Corpus::Gsm8k => "A, abstract",
                _ => claims::source("A, figure 6A", corpus),
            },
        );
        let of_model = |rows: &[Gain]| {
            let corpora = [Corpus::Gsm8k, Corpus::Chat, Corpus::Arithmetic];
            corpora.into_iter().flat_map(|corpus| tested(&declared, "a-6a", rows, corpus)).collect()
        };
        Ok(each_model(&table.rows()?, |row: &Gain| &row.model, of_model, Claim::of_model))
    }
}

/// One model's gains, corpus by corpus; arms and families are those of the whole drawing.
fn panels(rows: &[Gain], arms: &[Arm], families: &[&str]) -> Vec<Panel> {
    let objectives = [Arm::Masked, Arm::Distill, Arm::MaskedDistill];
    let mut panels = Vec::new();
    for (corpus, rows) in by_corpus(rows) {
        // Preference has no mean abroad: answers stand there.
        for (home, abroad) in
            [(Unit::Share, Unit::Share), (Unit::Nats, Unit::Nats), (Unit::Preference, Unit::Share)]
        {
            let places: Vec<(Arm, [&Gain; 2])> =
                arms.iter().filter_map(|arm| Some((*arm, place(&rows, *arm, home, abroad)?))).collect();
            if places.is_empty() {
                continue;
            }
            let at_home = if home == Unit::Nats {
                Axis::linear("in distribution, nats per token")
            } else {
                let measure = measure(corpus, Distribution::In, home);
                Axis::linear(&format!("in distribution: {measure}")).percent()
            };
            let out_of_it = if abroad == Unit::Nats {
                Axis::linear("out of it, nats per token")
            } else {
                Axis::linear(&format!("out of it: {}", mean_of(&rows, abroad))).percent()
            };
            let gained = match home {
                Unit::Nats => "loss on held-out text".to_owned(),
                Unit::Preference => format!("replies preferred {}", places[0].1[0].judge()),
                _ => "answers".to_owned(),
            };
            let panel = Panel::new(&format!("{corpus}: gain, {gained}"), at_home, out_of_it)
                .with(Series::horizontal(0.0))
                .with(Series::vertical(0.0));
            // No interval hides a point.
            let own = places.iter().filter(|(arm, _)| objectives.contains(arm));
            let crosses = own.flat_map(|(arm, rows)| cross(*rows, ink(*arm, families)));
            let points = places.iter().map(|(arm, rows)| point(*arm, *rows, ink(*arm, families)));
            panels.push(panel.with_all(crosses).with_all(points));
        }
    }
    panels
}

/// The outcomes that a mean out of distribution is of; for some arms it may be without one at the floor.
fn mean_of(rows: &[&Gain], unit: Unit) -> String {
    let here = rows.iter().filter(|row| (row.distribution, row.unit) == (Distribution::Out, unit));
    let mut all = distinct(here.map(|row| row.of.as_str()));
    all.sort_by_key(|of| std::cmp::Reverse(of.len()));
    let longest = all.first().copied().unwrap_or_default();
    if all.len() > 1 { format!("{longest} (above the floor)") } else { longest.to_owned() }
}

/// An arm's rows at home and abroad, each of its unit, if both are among a corpus' rows.
fn place<'a>(rows: &[&'a Gain], arm: Arm, home: Unit, abroad: Unit) -> Option<[&'a Gain; 2]> {
    let find = |place: Distribution, unit: Unit| {
        let is = |row: &&&Gain| (row.arm, row.distribution, row.unit) == (arm, place, unit);
        rows.iter().find(is).copied()
    };
    Some([find(Distribution::In, home)?, find(Distribution::Out, abroad)?])
}

/// The colour of an arm's family.
fn ink(arm: Arm, families: &[&str]) -> Ink {
    Ink::Category(families.iter().position(|known| *known == look(arm).0).unwrap_or(0))
}

fn point(arm: Arm, [home, abroad]: [&Gain; 2], ink: Ink) -> Series {
    Series::points([(home.gain, abroad.gain)]).ink(ink).shape(Shape::of(look(arm).1)).label(arm.label())
}

/// The intervals of both gains, through the point.
fn cross([home, abroad]: [&Gain; 2], ink: Ink) -> [Series; 2] {
    let across = [(home.gain_low, abroad.gain), (home.gain_high, abroad.gain)];
    let up = [(home.gain, abroad.gain_low), (home.gain, abroad.gain_high)];
    [across, up].map(|ends| Series::line(ends).ink(ink).stroke(0.8))
}

/// The family, criterion or objective, which has a colour, and the number of a shape: tokens, documents, neither.
fn look(arm: Arm) -> (&'static str, usize) {
    match arm.selection() {
        Some((by, Granularity::Token)) => (by.name(), 0),
        Some((by, Granularity::Document)) => (by.name(), 1),
        None => (arm.name(), 2),
    }
}
