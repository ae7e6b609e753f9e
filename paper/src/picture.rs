//! Panels that several figures share: estimates with their intervals, side by side; primary claims.

use crate::Estimate;
use crate::planned::{Decided, Declared, Side};
use crate::table::distinct;
use tokensieve_plot::{Anchor, Axis, Drawing, Ink, Panel, Series, Shape, number};

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
/// What has one seed, and so no interval, is a ring.
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
        let here = marks.iter().filter(|mark| mark.series == *name);
        let (single, several): (Vec<&Mark<'_>>, Vec<&Mark<'_>>) = here.partition(|mark| mark.estimate.n == 1);
        // One series alone is what the title says: it has no name, and no name's colour.
        let has_name = names.len() > 1;
        let ink = if has_name { Ink::Category(index) } else { Ink::Strong };
        let bar = |mark: &&Mark<'_>| (place(mark), mark.estimate.low, mark.estimate.high);
        let point = |mark: &&Mark<'_>| (place(mark), mark.estimate.value);
        let rings = Series::points(single.iter().map(point)).ink(ink).shape(Shape::Ring);
        // Named even where all are rings, so that the legend shows one mark for a name.
        let points = Series::points(several.iter().map(point)).ink(ink).shape(Shape::of(index));
        let points = if has_name { points.label(name) } else { points };
        panel = panel.with(Series::error_bars(several.iter().map(bar)).ink(ink)).with(rings).with(points);
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

/// Where differences that are much larger than what matters are drawn, as triangles that point outwards.
const EDGE: f64 = 8.0;

/// The caption of [`primary`].
pub(crate) const PRIMARY: &str = "Each primary claim's difference in units of what matters, above 0 on the claimed side. A claim \
                                  is decided if its p, corrected by Holm for all primary claims, is at most 5 %; both sides \
                                  are practically equal, whatever that p, if two one-sided tests at 5 % find the difference \
                                  between the dashed lines. Mean over seeds with Student's 95 % interval, which is not \
                                  corrected; differences beyond ± 8 are triangles at the edge, with their number.";

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
    // With room for what stands at the edge.
    let axis = Axis::linear("difference, in units of what matters").range(-1.05 * EDGE, 1.05 * EDGE);
    let panel = Panel::new(title, Axis::categories("", names), axis)
        .with(Series::horizontal(0.0))
        .with(Series::horizontal(1.0).dashed())
        .with(Series::horizontal(-1.0).dashed());
    let (mut bars, mut points, mut beyond) = (Vec::new(), Vec::new(), Vec::new());
    for (row, place) in rows.zip(0..) {
        let claim = claims.iter().find(|claim| claim.id == row.claim);
        if let Some((found, claim)) = row.estimate().zip(claim) {
            let sign = if claim.expected == Side::Above { 1.0 } else { -1.0 };
            let scaled = |value: f64| sign * value / claim.matters;
            let (place, value) = (f64::from(place), scaled(found.value));
            let (a, b) = (scaled(found.low), scaled(found.high));
            bars.push((place, a.min(b), a.max(b)));
            if value.abs() > EDGE {
                beyond.extend(outwards(place, value));
            } else {
                points.push((place, value));
            }
        }
    }
    panel
        .with(Series::error_bars(bars).ink(Ink::Category(0)))
        .with(Series::points(points).ink(Ink::Category(0)))
        .with_all(beyond)
}

/// A triangle at the edge that points to a difference beyond it, and the difference.
fn outwards(place: f64, value: f64) -> [Series; 2] {
    let (edge, shape) = if value > 0.0 { (EDGE, Shape::Triangle) } else { (-EDGE, Shape::TriangleDown) };
    [
        Series::points([(place, edge)]).ink(Ink::Category(0)).shape(shape),
        // Beside it: text stands on its place.
        Series::text(place + 0.12, edge - 0.2, &number(value, 2), Anchor::Start),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Plan;
    use anyhow::Result;
    use tokensieve_plot::Theme;

    fn svg(panel: Panel) -> String {
        Drawing::new([panel]).svg("", "", &Theme::LIGHT)
    }

    #[test]
    fn a_single_seed_is_a_ring_and_has_its_name_in_the_legend() {
        let mark = |category, series, n| {
            let estimate = Estimate { value: 0.5, low: 0.4, high: 0.6, n };
            Mark { category, series, estimate }
        };
        let all = [mark("x", "single", 1), mark("x", "several", 3), mark("y", "several", 4)];
        let alone = svg(marks("", Axis::linear(""), &all[1..], &["several"]));
        assert_eq!((alone.matches("<circle").count(), alone.contains(">several<")), (2, false));
        let text = Theme::LIGHT.colour(Ink::Strong);
        assert!(alone.contains(&format!(r#"r="3" fill="{text}""#)), "{alone}");
        let both = svg(marks("", Axis::linear(""), &all, &["single", "several"]));
        let ring = format!(
            r#"fill="{}" stroke="{}""#,
            Theme::LIGHT.background,
            Theme::LIGHT.colour(Ink::Category(0))
        );
        assert_eq!(both.matches(&ring).count(), 1);
        assert!(both.contains(">single<") && both.contains(">several<"));
    }

    #[test]
    fn differences_beyond_the_edge_are_triangles_with_their_number() -> Result<()> {
        let plan = Plan::load()?;
        let claims = &plan.claims[..1];
        let sign = if claims[0].expected == Side::Above { 1.0 } else { -1.0 };
        let drawn = |units: f64| -> Result<String> {
            let seeds = [units - 0.1, units + 0.1].map(|units| Some([sign * units * claims[0].matters, 0.0]));
            Ok(svg(differences("", &Decided::all(claims, |_| Ok(seeds.to_vec()))?, claims)))
        };
        assert!(drawn(3.0)?.contains("<circle"));
        for (units, number) in [(13.0, ">13<"), (-13.0, ">−13<")] {
            let beyond = drawn(units)?;
            assert!(beyond.contains(number) && !beyond.contains("<circle"), "{beyond}");
        }
        Ok(())
    }
}
