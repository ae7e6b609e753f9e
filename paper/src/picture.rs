//! Panels that several figures share: estimates with their intervals, side by side; primary claims.

use crate::Estimate;
use crate::planned::{Decided, Declared, Side};
use crate::table::distinct;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

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
        let points = Series::points(here.iter().map(|mark| (place(mark), mark.estimate.value)));
        let points = points.ink(ink).shape(Shape::of(index));
        // One series alone is what the title says.
        let points = if names.len() > 1 { points.label(name) } else { points };
        panel = panel.with(Series::error_bars(here.iter().map(bar)).ink(ink)).with(points);
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

/// Where differences that are much larger than what matters are drawn.
const EDGE: f64 = 8.0;

/// The caption of [`primary`].
pub(crate) const PRIMARY: &str = "Each primary claim's difference in units of what matters, above 0 on the claimed side. A claim \
                                  is decided if its p, corrected by Holm for all primary claims, is at most 5 %; both sides \
                                  are practically equal, whatever that p, if two one-sided tests at 5 % find the difference \
                                  between the dashed lines. Mean over seeds with Student's 95 % interval, which is not \
                                  corrected; differences beyond ± 8 are drawn at the edge.";

/// A plan's primary claims, and apart from them the exploratory ones.
pub(crate) fn primary(rows: &[Decided], claims: &[Declared], exploratory: &[Declared]) -> Drawing {
    let both = [("primary claims", claims), ("exploratory claims, not corrected", exploratory)];
    let panels = both.into_iter().filter(|(_, claims)| !claims.is_empty());
    Drawing::new(panels.map(|(title, claims)| differences(title, rows, claims)))
        .columns(1)
        .width(1040.0)
        .panel_height(320.0)
}

/// Each claim's difference in units of what matters, above 0 where it is as claimed.
fn differences(title: &str, rows: &[Decided], claims: &[Declared]) -> Panel {
    let rows = rows.iter().filter(|row| claims.iter().any(|claim| claim.id == row.claim));
    let names: Vec<&str> = rows.clone().map(|row| row.claim.as_str()).collect();
    let axis = Axis::linear("difference, in units of what matters").range(-EDGE, EDGE);
    let panel = Panel::new(title, Axis::categories("", names), axis)
        .with(Series::horizontal(0.0))
        .with(Series::horizontal(1.0).dashed())
        .with(Series::horizontal(-1.0).dashed());
    let (mut bars, mut points) = (Vec::new(), Vec::new());
    for (row, place) in rows.zip(0..) {
        let claim = claims.iter().find(|claim| claim.id == row.claim);
        if let Some((found, claim)) = row.estimate().zip(claim) {
            let sign = if claim.expected == Side::Above { 1.0 } else { -1.0 };
            let scaled = |value: f64| (sign * value / claim.matters).clamp(-EDGE, EDGE);
            let (a, b) = (scaled(found.low), scaled(found.high));
            bars.push((f64::from(place), a.min(b), a.max(b)));
            points.push((f64::from(place), scaled(found.value)));
        }
    }
    panel
        .with(Series::error_bars(bars).ink(Ink::Category(0)))
        .with(Series::points(points).ink(Ink::Category(0)))
}
