//! Panels that several figures share: estimates with their intervals, side by side.

use crate::Estimate;
use crate::table::distinct;
use tokensieve_plot::{Axis, Ink, Panel, Series, Shape};

/// One estimate of a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark<'a> {
    /// Its place on the horizontal axis.
    pub(crate) category: &'a str,
    /// Its colour and shape.
    pub(crate) series: &'a str,
    /// The estimate.
    pub(crate) estimate: Estimate,
}

/// Estimates with their intervals: one place on the horizontal axis per category, one mark per series. `names` are the series
/// of the whole drawing, so that a panel without one of them does not hand its colour on; those that no mark has take no room.
pub(crate) fn marks(title: &str, axis: Axis, marks: &[Mark<'_>], names: &[&str]) -> Panel {
    let categories = distinct(marks.iter().map(|mark| mark.category));
    let mut panel =
        Panel::new(title, Axis::categories("", categories.clone()), axis).with(Series::horizontal(0.0));
    let present = |name: &&str| marks.iter().any(|mark| mark.series == *name);
    let count = names.iter().filter(|name| present(name)).count();
    let here = names.iter().enumerate().filter(|(_, name)| present(name));
    for (at, (index, name)) in here.enumerate() {
        // Side by side, so that intervals do not hide each other.
        let shift = 0.16 * (at as f64 - (count as f64 - 1.0) / 2.0);
        let place = |mark: &Mark<'_>| {
            categories.iter().position(|known| *known == mark.category).unwrap_or(0) as f64 + shift
        };
        let here: Vec<&Mark<'_>> = marks.iter().filter(|mark| mark.series == *name).collect();
        let ink = Ink::Category(index);
        let bar = |mark: &&Mark<'_>| (place(mark), mark.estimate.low, mark.estimate.high);
        panel = panel.with(Series::error_bars(here.iter().map(bar)).ink(ink)).with(
            Series::points(here.iter().map(|mark| (place(mark), mark.estimate.value)))
                .ink(ink)
                .shape(Shape::of(index))
                .label(name),
        );
    }
    panel
}

/// A line with markers and its interval's ribbon: (x, value, low, high).
pub(crate) fn curve(
    points: impl Iterator<Item = (f64, f64, f64, f64)>,
    index: usize,
    name: &str,
) -> [Series; 3] {
    let points: Vec<_> = points.collect();
    let ink = Ink::Category(index);
    [
        Series::band(points.iter().filter(|p| p.2.is_finite()).map(|p| (p.0, p.2, p.3))).ink(ink),
        Series::line(points.iter().map(|p| (p.0, p.1))).ink(ink).label(name),
        Series::points(points.iter().map(|p| (p.0, p.1))).ink(ink).shape(Shape::of(index)).label(name),
    ]
}
