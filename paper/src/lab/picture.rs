//! Panels that the training figures share.

use super::gains::Row;
use super::models::each_model;
use tokensieve_plot::{Axis, Ink, Panel, Series, Shape};

/// Gains with their intervals, one place on the horizontal axis per `category`, one mark per series. `names` are the series
/// of the whole drawing, so that one that a panel lacks does not hand its colour on.
pub fn gains(
    title: &str,
    rows: &[&Row],
    unit: &str,
    category: impl Fn(&Row) -> &str,
    series: impl Fn(&Row) -> &str,
    names: &[String],
) -> Panel {
    let categories = distinct(rows.iter().map(|row| category(row)));
    let mut panel = Panel::new(title, Axis::categories("", categories.clone()), gain_axis(unit))
        .with(Series::horizontal(0.0));
    for (index, name) in names.iter().enumerate() {
        // Side by side, so that intervals do not hide each other.
        let shift = 0.16 * (index as f64 - (names.len() as f64 - 1.0) / 2.0);
        let place = |row: &Row| {
            categories.iter().position(|known| known == category(row)).unwrap_or(0) as f64 + shift
        };
        let here: Vec<&&Row> = rows.iter().filter(|row| series(row) == name).collect();
        if here.is_empty() {
            continue;
        }
        let ink = Ink::Category(index);
        panel = panel
            .with(
                Series::error_bars(here.iter().map(|row| (place(row), row.gain_low, row.gain_high))).ink(ink),
            )
            .with(
                Series::points(here.iter().map(|row| (place(row), row.gain)))
                    .ink(ink)
                    .shape(Shape::of(index))
                    .label(name),
            );
    }
    panel
}

/// One panel of [`gains`] for each model, distribution and unit that has rows of means.
pub fn means(
    rows: &[Row],
    category: impl Fn(&Row) -> &str + Copy,
    series: impl Fn(&Row) -> &str + Copy,
) -> Vec<Panel> {
    let names = distinct(rows.iter().map(series));
    each_model(rows, |row| &row.model, |rows| means_of_model(rows, category, series, &names), Panel::of)
}

fn means_of_model(
    rows: &[Row],
    category: impl Fn(&Row) -> &str + Copy,
    series: impl Fn(&Row) -> &str + Copy,
    names: &[String],
) -> Vec<Panel> {
    let mut panels = Vec::new();
    for (place, words) in [("in", "in distribution"), ("out", "out of distribution")] {
        for (unit, measure) in [("share", "answers"), ("nats", "loss on held-out text")] {
            let here: Vec<&Row> = rows
                .iter()
                .filter(|row| row.outcome == "mean" && row.distribution == place && row.unit == unit)
                .collect();
            if !here.is_empty() {
                panels.push(gains(&format!("{measure}, {words}"), &here, unit, category, series, names));
            }
        }
    }
    panels
}

/// The axis of gains in a unit.
fn gain_axis(unit: &str) -> Axis {
    match unit {
        "nats" => Axis::linear("gain, nats per token"),
        "preference" => Axis::linear("win rate above half").percent(),
        "tasks" => Axis::linear("share of measures won").range(0.0, 1.0).percent(),
        _ => Axis::linear("gain").percent(),
    }
}

/// What legends call a way of training: the paper has a name of its own for the tokens with the largest loss.
pub fn called(arm: &str) -> &str {
    if arm == "loss token" { "loss token (Masked MLE)" } else { arm }
}

/// The different ones, in the order in which they come.
pub fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    }
    all
}
