//! Panels that the training figures share.

use super::corpus::Corpus;
use super::gain::Gain;
use super::models::each_model;
use super::outcome::{Distribution, Measure, Unit};
use crate::picture::{Mark, marks};
use crate::table::distinct;
use tokensieve_plot::{Axis, Panel};

/// Gains with their intervals, side by side.
pub fn gains(
    title: &str,
    rows: &[&Gain],
    unit: Unit,
    category: impl Fn(&Gain) -> &'static str,
    series: impl Fn(&Gain) -> &'static str,
    names: &[&str],
) -> Panel {
    let mark = |row: &&Gain| Mark { category: category(row), series: series(row), estimate: row.estimate() };
    marks(title, gain_axis(unit), &rows.iter().map(mark).collect::<Vec<_>>(), names)
}

/// One panel of [`gains`] for each model, distribution and unit that has rows of means: one category per way of training,
/// called as `named` says, and one series per corpus.
pub fn means(rows: &[Gain], named: impl Fn(&Gain) -> &'static str + Copy) -> Vec<Panel> {
    let corpora = distinct(rows.iter().map(|row| row.trained_on.name()));
    each_model(rows, |row| &row.model, |rows| means_of_model(rows, named, &corpora), Panel::of)
}

fn means_of_model(rows: &[Gain], named: impl Fn(&Gain) -> &'static str, corpora: &[&str]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for (place, words) in [(Distribution::In, "in distribution"), (Distribution::Out, "out of distribution")]
    {
        for (unit, measure) in [(Unit::Share, "answers"), (Unit::Nats, "loss on held-out text")] {
            let is = |row: &&Gain| (row.measure, row.distribution, row.unit) == (Measure::Mean, place, unit);
            let here: Vec<&Gain> = rows.iter().filter(is).collect();
            if !here.is_empty() {
                let title = format!("{measure}, {words}");
                panels.push(gains(&title, &here, unit, &named, |row| row.trained_on.name(), corpora));
            }
        }
    }
    panels
}

/// The axis of gains in a unit.
fn gain_axis(unit: Unit) -> Axis {
    match unit {
        Unit::Nats => Axis::linear("gain, nats per token"),
        Unit::Preference => Axis::linear("win rate above half").percent(),
        Unit::Tasks => Axis::linear("share of measures won").range(0.0, 1.0).percent(),
        Unit::Share => Axis::linear("gain").percent(),
    }
}

/// Each corpus that rows were trained on, with its rows, in their order.
pub fn by_corpus(rows: &[Gain]) -> Vec<(Corpus, Vec<&Gain>)> {
    let corpora = distinct(rows.iter().filter_map(|row| row.trained_on.one()));
    let of = |corpus: Corpus| rows.iter().filter(|row| row.trained_on.one() == Some(corpus)).collect();
    corpora.into_iter().map(|corpus| (corpus, of(corpus))).collect()
}
