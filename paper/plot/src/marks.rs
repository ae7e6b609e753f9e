//! Marks to SVG, inside one panel's plotting area.

use crate::scale::Fitted;
use crate::series::{Cell, Mark};
use crate::svg::{Anchor, Canvas, Type, px};
use crate::{Colours, Series, Shape, Theme, number};
use std::fmt::Write as _;

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

impl Area<'_> {
    /// Pixel of a data point, kept within one box of the area so that far outliers stay cheap to clip.
    pub(crate) fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.place_x(x)?, self.place_y(y)?))
    }

    pub(crate) fn place_x(&self, x: f64) -> Option<f64> {
        Some(self.left + self.x.at(x)?.clamp(-1.0, 2.0) * self.width)
    }

    pub(crate) fn place_y(&self, y: f64) -> Option<f64> {
        Some(self.top + (1.0 - self.y.at(y)?.clamp(-1.0, 2.0)) * self.height)
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
                if let (Some(from), Some(to)) = (area.place(x, low), area.place(x, high)) {
                    canvas.line(from, to, &ink, series.stroke, "");
                    for end in [from, to] {
                        canvas.line((end.0 - 3.0, end.1), (end.0 + 3.0, end.1), &ink, series.stroke, "");
                    }
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
    }
}

fn polyline(area: &Area<'_>, points: &[(f64, f64)]) -> String {
    let mut data = String::new();
    let mut pen_down = false;
    for &(x, y) in points {
        let Some((x, y)) = area.place(x, y) else {
            pen_down = false;
            continue;
        };
        let _ = write!(data, "{}{} {}", if pen_down { "L" } else { "M" }, px(x), px(y));
        pen_down = true;
    }
    data
}

fn ribbon(area: &Area<'_>, points: &[(f64, f64, f64)]) -> String {
    // A lower edge that a logarithmic axis cannot show runs along the bottom.
    let floor = area.bottom();
    let edge = |x: f64, y: f64| Some((area.place_x(x)?, area.place_y(y).unwrap_or(floor)));
    let upper = points.iter().filter_map(|&(x, _, high)| edge(x, high));
    let lower = points.iter().rev().filter_map(|&(x, low, _)| edge(x, low));
    let corners: Vec<String> = upper.chain(lower).map(|(x, y)| format!("{} {}", px(x), px(y))).collect();
    if corners.is_empty() { String::new() } else { format!("M{}Z", corners.join("L")) }
}
