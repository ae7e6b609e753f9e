//! Marks to SVG, inside one panel's plotting area.

use crate::scale::Fitted;
use crate::series::{Cell, Mark};
use crate::svg::{Anchor, Canvas, Type, px};
use crate::{Colours, Series, Shape, Theme, number};

/// A panel's plotting area: pixels of its box and its two fitted axes.
#[derive(Debug)]
pub(crate) struct Area<'a> {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    /// Cells lie behind: lines need a rim to stand out from every colour.
    pub over_cells: bool,
    pub x: Fitted<'a>,
    pub y: Fitted<'a>,
}

/// How far marks are drawn, in widths and heights of the area: one beyond it, which is out of sight.
const DRAWN: [f64; 2] = [-1.0, 2.0];

/// Coordinates beyond this would overflow when lines are cut.
const FAR: f64 = 1e100;

impl Area<'_> {
    /// Pixel of a data point. One that is further away than what is drawn moves, out of sight.
    pub(crate) fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.place_x(x)?, self.place_y(y)?))
    }

    pub(crate) fn place_x(&self, x: f64) -> Option<f64> {
        Some(self.pixel_x(self.x.at(x)?.clamp(DRAWN[0], DRAWN[1])))
    }

    pub(crate) fn place_y(&self, y: f64) -> Option<f64> {
        Some(self.pixel_y(self.y.at(y)?.clamp(DRAWN[0], DRAWN[1])))
    }

    fn pixel_x(&self, at: f64) -> f64 {
        self.left + at * self.width
    }

    fn pixel_y(&self, at: f64) -> f64 {
        self.top + (1.0 - at) * self.height
    }

    /// The corners of a path as SVG has them.
    fn corners(&self, path: &[[f64; 2]]) -> Vec<String> {
        path.iter().map(|[x, y]| format!("{} {}", px(self.pixel_x(*x)), px(self.pixel_y(*y)))).collect()
    }

    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// Opacity of what is filled with its ink: the grid shows through.
pub(crate) const SOLID: f64 = 0.85;

/// Draws one series.
pub(crate) fn draw(
    canvas: &mut Canvas,
    area: &Area<'_>,
    series: &Series,
    colours: Option<&Colours>,
    theme: &Theme,
) {
    let ink = theme.colour(series.ink);
    let dash = if series.dash.is_empty() {
        String::new()
    } else {
        format!(r#" stroke-dasharray="{}""#, series.dash)
    };
    let stroke = format!(
        r#"fill="none" stroke="{ink}" stroke-width="{}" stroke-linejoin="round"{dash}"#,
        px(series.stroke)
    );
    match &series.mark {
        Mark::Line(points) => {
            let data = polyline(area, points);
            if area.over_cells {
                let (rim, width) = (theme.background, px(series.stroke + 2.5));
                canvas.path(
                    &data,
                    &format!(r#"fill="none" stroke="{rim}" stroke-width="{width}" stroke-opacity="0.75""#),
                );
            }
            canvas.path(&data, &stroke);
        }
        Mark::Band(points) => {
            canvas.path(&ribbon(area, points), &format!(r#"fill="{ink}" fill-opacity="0.18""#));
        }
        Mark::Points(points) => {
            for at in points.iter().filter_map(|point| area.place(point.0, point.1)) {
                marker(canvas, at, series.shape, series.size, &ink, theme);
            }
        }
        Mark::ErrorBars(bars) => {
            for &(x, low, high) in bars {
                let Some(to) = area.place(x, high).filter(|_| low.is_finite()) else { continue };
                // A lower end that a logarithmic axis cannot show lies beyond the bottom.
                let shown = area.place(x, low);
                let from = shown.unwrap_or((to.0, area.bottom()));
                canvas.line(from, to, &ink, series.stroke, "");
                for end in shown.into_iter().chain([to]) {
                    canvas.line((end.0 - 3.0, end.1), (end.0 + 3.0, end.1), &ink, series.stroke, "");
                }
            }
        }
        Mark::Bars(bars) => {
            for &(left, right, height) in bars {
                let floor = area.place_y(0.0).unwrap_or_else(|| area.bottom());
                if let (Some(from), Some(to)) = (area.place(left, height), area.place_x(right)) {
                    let fill = format!(r#"fill="{ink}" fill-opacity="{SOLID}""#);
                    canvas.rect(from.0, from.1.min(floor), to - from.0, (from.1 - floor).abs(), &fill);
                }
            }
        }
        Mark::Cells { cells, numbers } => {
            if let Some(colours) = colours {
                for cell in cells {
                    draw_cell(canvas, area, cell, *numbers, colours, theme);
                }
            }
        }
        Mark::Tiles(tiles) => {
            for [x, y] in tiles {
                if let (Some(from), Some(to)) = (area.place(x.0, y.1), area.place(x.1, y.0)) {
                    let fill = format!(r#"fill="{ink}" fill-opacity="{SOLID}""#);
                    canvas.rect(from.0, from.1, to.0 - from.0, to.1 - from.1, &fill);
                }
            }
        }
        Mark::Horizontal(y) => {
            if let Some(y) = area.place_y(*y) {
                canvas.line((area.left, y), (area.right(), y), &ink, series.stroke, series.dash);
            }
        }
        Mark::Vertical(x) => {
            if let Some(x) = area.place_x(*x) {
                canvas.line((x, area.top), (x, area.bottom()), &ink, series.stroke, series.dash);
            }
        }
        Mark::Text { at, text, anchor } => {
            if let Some((x, y)) = area.place(at.0, at.1) {
                canvas.text(x, y, text, Type::new(10.5, &ink).anchor(*anchor));
            }
        }
    }
}

fn draw_cell(
    canvas: &mut Canvas,
    area: &Area<'_>,
    cell: &Cell,
    numbers: Option<usize>,
    colours: &Colours,
    theme: &Theme,
) {
    let (Some(from), Some(to)) = (area.place(cell.x.0, cell.y.1), area.place(cell.x.1, cell.y.0)) else {
        return;
    };
    if cell.value.is_nan() {
        return;
    }
    let colour = theme.cell(colours.palette, colours.at(cell.value));
    // A stroke of the same colour closes the hairlines that anti-aliasing leaves between neighbours.
    let attributes = format!(r#"fill="{colour}" stroke="{colour}" stroke-width="0.5""#);
    canvas.rect(from.0, from.1, to.0 - from.0, to.1 - from.1, &attributes);
    if let Some(digits) = numbers {
        let set = Type::new(9.5, theme.text_on(&colour)).anchor(Anchor::Middle);
        let middle = (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1) + 3.4);
        canvas.text(middle.0, middle.1, &number(cell.value, digits), set);
    }
}

/// One marker, with a hairline of background around it so that neighbours stay apart.
pub(crate) fn marker(canvas: &mut Canvas, at: (f64, f64), shape: Shape, size: f64, ink: &str, theme: &Theme) {
    let (x, y, r) = (at.0, at.1, size);
    let solid = format!(r#"fill="{ink}" stroke="{}" stroke-width="0.75""#, theme.background);
    let corners = |corners: &[(f64, f64)]| {
        let data: Vec<String> =
            corners.iter().map(|(dx, dy)| format!("{} {}", px(x + dx * r), px(y + dy * r))).collect();
        format!("M{}Z", data.join("L"))
    };
    match shape {
        Shape::Circle => {
            canvas.raw(&format!(r#"<circle cx="{}" cy="{}" r="{}" {solid}/>"#, px(x), px(y), px(r)));
        }
        Shape::Ring => canvas.raw(&format!(
            r#"<circle cx="{}" cy="{}" r="{}" fill="{}" stroke="{ink}" stroke-width="1.6"/>"#,
            px(x),
            px(y),
            px(r),
            theme.background
        )),
        Shape::Square => canvas.path(&corners(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]), &solid),
        Shape::Diamond => {
            canvas.path(&corners(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]), &solid);
        }
        Shape::Triangle => canvas.path(&corners(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]), &solid),
        Shape::TriangleDown => canvas.path(&corners(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]), &solid),
    }
}

fn polyline(area: &Area<'_>, points: &[(f64, f64)]) -> String {
    let place = |&(x, y): &(f64, f64)| Some([area.x.at(x)?, area.y.at(y)?]);
    let places: Vec<Option<[f64; 2]>> = points.iter().map(place).collect();
    let lines = places.split(Option::is_none).map(|line| line.iter().flatten().copied().collect::<Vec<_>>());
    let drawn = lines.map(|line| area.corners(&cut(line, false))).filter(|corners| !corners.is_empty());
    drawn.map(|corners| format!("M{}", corners.join("L"))).collect::<Vec<_>>().concat()
}

fn ribbon(area: &Area<'_>, points: &[(f64, f64, f64)]) -> String {
    // A lower edge that a logarithmic axis cannot show runs along the bottom.
    let edges = |&(x, low, high): &(f64, f64, f64)| {
        let x = area.x.at(x).filter(|_| low.is_finite())?;
        Some([[x, area.y.at(high)?], [x, area.y.at(low).unwrap_or(0.0)]])
    };
    let edges: Vec<_> = points.iter().map(edges).collect();
    let pieces = edges.split(Option::is_none).map(|piece| {
        let upper = piece.iter().flatten().map(|[upper, _]| *upper);
        let lower = piece.iter().flatten().rev().map(|[_, lower]| *lower);
        area.corners(&cut(upper.chain(lower).collect(), true))
    });
    let drawn = pieces.filter(|corners| !corners.is_empty());
    drawn.map(|corners| format!("M{}Z", corners.join("L"))).collect::<Vec<_>>().concat()
}

/// A path without what lies beyond [`DRAWN`]: there it runs along the border instead, out of sight, so that what is in
/// sight keeps its direction (the algorithm of Sutherland and Hodgman).
fn cut(path: Vec<[f64; 2]>, is_closed: bool) -> Vec<[f64; 2]> {
    let near: Vec<_> = path.into_iter().map(|point| point.map(|at| at.clamp(-FAR, FAR))).collect();
    let [low, high] = DRAWN;
    // Axis, border, and the sign of what lies on the drawn side of the border.
    let borders = [(0, low, 1.0), (0, high, -1.0), (1, low, 1.0), (1, high, -1.0)];
    borders.into_iter().fold(near, |path, (axis, border, sign)| {
        let is_drawn = |point: [f64; 2]| sign * (point[axis] - border) >= 0.0;
        let mut kept = Vec::with_capacity(path.len());
        let mut before = path.last().copied().filter(|_| is_closed);
        for point in path {
            if let Some(before) = before.filter(|before| is_drawn(*before) != is_drawn(point)) {
                let [inner, outer] = if is_drawn(point) { [point, before] } else { [before, point] };
                let share = (border - inner[axis]) / (outer[axis] - inner[axis]);
                let mut crossing = [0, 1].map(|of| inner[of] + share * (outer[of] - inner[of]));
                crossing[axis] = border;
                kept.push(crossing);
            }
            if is_drawn(point) {
                kept.push(point);
            }
            before = Some(point);
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Axis;

    /// An area of 100 by 100 pixels, both axes from 0 to 1.
    fn on_area<T>(read: impl FnOnce(&Area<'_>) -> T) -> T {
        let axis = Axis::linear("").range(0.0, 1.0);
        let [x, y] = [axis.fit(std::iter::empty()), axis.fit(std::iter::empty())];
        read(&Area { left: 0.0, top: 0.0, width: 100.0, height: 100.0, over_cells: false, x, y })
    }

    fn line(points: &[(f64, f64)]) -> String {
        on_area(|area| polyline(area, points))
    }

    #[test]
    fn lines_to_points_out_of_sight_keep_their_direction() {
        // At the upper border of the area the line is a tenth of the way.
        assert_eq!(line(&[(0.0, 0.0), (1.0, 10.0)]), "M0 100L20 -100");
        assert_eq!(line(&[(1.0, 10.0), (0.0, 0.0)]), "M20 -100L0 100");
        // Neither end is in sight, and the middle is.
        assert_eq!(line(&[(-9.5, 0.0), (10.5, 1.0)]), "M-100 57.5L200 42.5");
        assert_eq!(line(&[(0.0, 0.0), (1e300, 1e300)]), "M0 100L200 -100");
        let far = line(&[(0.5, 0.5), (f64::MAX, f64::MIN)]);
        assert!(!far.contains("NaN") && !far.contains("inf"), "{far}");
        // What is near is drawn as it is, and a gap stays a gap.
        assert_eq!(line(&[(0.0, 2.0), (1.0, -1.0)]), "M0 -100L100 200");
        let nan = f64::NAN;
        assert_eq!(line(&[(0.0, 0.0), (1.0, 1.0), (nan, 0.0), (0.5, 0.5)]), "M0 100L100 0M50 50");
        assert_eq!(line(&[(5.0, 0.0), (nan, 0.0)]), "");
    }

    #[test]
    fn a_triangle_on_its_tip_points_down() {
        let mut canvas = Canvas::default();
        marker(&mut canvas, (0.0, 0.0), Shape::TriangleDown, 10.0, "", &Theme::LIGHT);
        assert!(canvas.into_body().contains("M0 12L11 -8L-11 -8Z"));
    }

    #[test]
    fn bands_to_points_out_of_sight_keep_their_edges() {
        let band = |points: &[(f64, f64, f64)]| on_area(|area| ribbon(area, points));
        assert_eq!(band(&[(0.0, 0.0, 0.0), (1.0, 0.0, 10.0)]), "M0 100L20 -100L100 -100L100 100L0 100Z");
        assert_eq!(band(&[(0.0, 0.0, 1.0), (1.0, 0.5, 1.0)]), "M0 0L100 0L100 50L0 100Z");
        assert_eq!(band(&[(5.0, 0.0, 1.0)]), "");
        // What has no end is left out.
        let gap = [(0.0, 0.0, 1.0), (0.5, 0.0, f64::NAN), (0.6, f64::NEG_INFINITY, 1.0), (1.0, 0.0, 1.0)];
        assert_eq!(band(&gap), format!("{}{}", band(&gap[..1]), band(&gap[3..])));
    }

    #[test]
    fn an_error_bar_that_begins_below_a_logarithmic_axis_is_drawn_from_its_foot() {
        let axis = Axis::log("").range(1.0, 100.0);
        let drawn = |low: f64| {
            let [x, y] = [axis.fit(std::iter::empty()), axis.fit(std::iter::empty())];
            let area = Area { left: 0.0, top: 0.0, width: 100.0, height: 100.0, over_cells: false, x, y };
            let mut canvas = Canvas::default();
            let bar = Series::error_bars([(10.0, low, 10.0)]);
            draw(&mut canvas, &area, &bar, None, &Theme::LIGHT);
            canvas.into_body().matches("<line").count()
        };
        assert_eq!([drawn(1.0), drawn(-1.0), drawn(f64::NAN)], [3, 2, 0]);
    }
}
