//! Series: one mark of many data, with its ink, its name and its stroke.

use crate::{Anchor, Ink};

/// A rectangle of a heat map, in data coordinates, coloured by its value (not a number: left empty).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Left and right edge.
    pub x: (f64, f64),
    /// Lower and upper edge.
    pub y: (f64, f64),
    /// What the colour shows.
    pub value: f64,
}

/// Left and right, lower and upper edge of a rectangle, in data coordinates.
pub type Tile = [(f64, f64); 2];

/// Marker of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle.
    Triangle,
    /// A triangle on its tip, for what lies below the axis.
    TriangleDown,
    /// A ring, for a special case of something also drawn solid.
    Ring,
}

impl Shape {
    /// A shape for the n-th category, so that colour is never the only difference.
    pub fn of(index: usize) -> Self {
        [Self::Circle, Self::Square, Self::Diamond, Self::Triangle][index % 4]
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    Line(Vec<(f64, f64)>),
    Band(Vec<(f64, f64, f64)>),
    Points(Vec<(f64, f64)>),
    ErrorBars(Vec<(f64, f64, f64)>),
    Bars(Vec<(f64, f64, f64)>),
    Cells { cells: Vec<Cell>, numbers: Option<usize> },
    Tiles(Vec<Tile>),
    Horizontal(f64),
    Vertical(f64),
    Text { at: (f64, f64), text: String, anchor: Anchor },
}

/// One mark with its ink, name and stroke.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Series {
    pub(crate) mark: Mark,
    pub(crate) ink: Ink,
    pub(crate) label: Option<String>,
    pub(crate) dash: &'static str,
    pub(crate) stroke: f64,
    pub(crate) shape: Shape,
    pub(crate) size: f64,
}

impl Series {
    fn new(mark: Mark, ink: Ink, stroke: f64) -> Self {
        Self { mark, ink, label: None, dash: "", stroke, shape: Shape::Circle, size: 3.0 }
    }

    /// A line through `(x, y)`; a value that is not finite breaks it.
    pub fn line(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(Mark::Line(points.into_iter().collect()), Ink::Category(0), 1.75)
    }

    /// A ribbon through `(x, low, high)`: a 95 % interval along a curve.
    pub fn band(points: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        Self::new(Mark::Band(points.into_iter().collect()), Ink::Category(0), 0.0)
    }

    /// Markers at `(x, y)`.
    pub fn points(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(Mark::Points(points.into_iter().collect()), Ink::Category(0), 1.4)
    }

    /// Vertical intervals `(x, low, high)`.
    pub fn error_bars(bars: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        Self::new(Mark::ErrorBars(bars.into_iter().collect()), Ink::Category(0), 1.4)
    }

    /// Bars from zero, `(left, right, height)`.
    pub fn bars(bars: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        Self::new(Mark::Bars(bars.into_iter().collect()), Ink::Category(0), 0.0)
    }

    /// Cells of a heat map; the panel or the drawing must have `Colours`.
    pub fn cells(cells: impl IntoIterator<Item = Cell>) -> Self {
        let mark = Mark::Cells { cells: cells.into_iter().collect(), numbers: None };
        Self::new(mark, Ink::Muted, 0.0)
    }

    /// Rectangles of one ink: the places of one kind on a map of kinds.
    pub fn tiles(tiles: impl IntoIterator<Item = Tile>) -> Self {
        Self::new(Mark::Tiles(tiles.into_iter().collect()), Ink::Category(0), 0.0)
    }

    /// A reference line across the panel.
    pub fn horizontal(y: f64) -> Self {
        Self::new(Mark::Horizontal(y), Ink::Muted, 1.0)
    }

    /// A reference line up the panel.
    pub fn vertical(x: f64) -> Self {
        Self::new(Mark::Vertical(x), Ink::Muted, 1.0)
    }

    /// A note at a place of the data.
    pub fn text(x: f64, y: f64, text: &str, anchor: Anchor) -> Self {
        Self::new(Mark::Text { at: (x, y), text: text.into(), anchor }, Ink::Muted, 0.0)
    }

    /// Colour by role.
    pub fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }

    /// Name in the legend; series of the same name share one entry.
    pub fn label(self, label: &str) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// Dashed stroke.
    pub fn dashed(self) -> Self {
        Self { dash: "6 4", ..self }
    }

    /// Dotted stroke.
    pub fn dotted(self) -> Self {
        Self { dash: "1.5 3", ..self }
    }

    /// Stroke width in pixels.
    pub fn stroke(self, stroke: f64) -> Self {
        Self { stroke, ..self }
    }

    /// Marker of points.
    pub fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// Radius of points in pixels.
    pub fn size(self, size: f64) -> Self {
        Self { size, ..self }
    }

    /// Writes each cell's value into it, to `digits` significant digits.
    pub fn numbers(mut self, digits: usize) -> Self {
        if let Mark::Cells { numbers, .. } = &mut self.mark {
            *numbers = Some(digits);
        }
        self
    }

    /// Every x and every y that the series needs in view.
    pub(crate) fn extent(&self) -> (Vec<f64>, Vec<f64>) {
        match &self.mark {
            Mark::Line(points) | Mark::Points(points) => points.iter().copied().unzip(),
            Mark::Band(points) | Mark::ErrorBars(points) => (
                points.iter().map(|point| point.0).collect(),
                points.iter().flat_map(|point| [point.1, point.2]).collect(),
            ),
            Mark::Bars(bars) => (
                bars.iter().flat_map(|bar| [bar.0, bar.1]).collect(),
                bars.iter().flat_map(|bar| [0.0, bar.2]).collect(),
            ),
            Mark::Cells { cells, .. } => (
                cells.iter().flat_map(|cell| [cell.x.0, cell.x.1]).collect(),
                cells.iter().flat_map(|cell| [cell.y.0, cell.y.1]).collect(),
            ),
            Mark::Tiles(tiles) => (
                tiles.iter().flat_map(|[x, _]| [x.0, x.1]).collect(),
                tiles.iter().flat_map(|[_, y]| [y.0, y.1]).collect(),
            ),
            Mark::Horizontal(y) => (Vec::new(), vec![*y]),
            Mark::Vertical(x) => (vec![*x], Vec::new()),
            Mark::Text { at, .. } => (vec![at.0], vec![at.1]),
        }
    }
}
