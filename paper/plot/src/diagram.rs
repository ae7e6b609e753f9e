//! Boxes, arrows and lines of text at given places, for what is drawn and not measured.

use crate::svg::{Anchor, Canvas, Type, px};
use crate::{Ink, Theme};

const SIZE: f64 = 11.5;
const LINE: f64 = 15.0;

/// Shapes in pixels, from the drawing's left and the diagram's own top.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Diagram {
    height: f64,
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Node { place: [f64; 4], text: String, ink: Ink },
    Arrow { path: Vec<(f64, f64)> },
    Text { at: (f64, f64), text: String, anchor: Anchor, bold: bool },
    Rule { from: (f64, f64), to: (f64, f64) },
}

impl Diagram {
    /// An empty diagram of this height.
    pub fn new(height: f64) -> Self {
        Self { height, items: Vec::new() }
    }

    /// A box at `[left, top, width, height]` with its text centred, one line per line.
    pub fn node(self, place: [f64; 4], text: &str, ink: Ink) -> Self {
        self.with(Item::Node { place, text: text.into(), ink })
    }

    /// A line through `path` with a head at its end.
    pub fn arrow(self, path: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(Item::Arrow { path: path.into_iter().collect() })
    }

    /// A line of text.
    pub fn text(self, at: (f64, f64), text: &str, anchor: Anchor) -> Self {
        self.with(Item::Text { at, text: text.into(), anchor, bold: false })
    }

    /// A line of bold text.
    pub fn heading(self, at: (f64, f64), text: &str, anchor: Anchor) -> Self {
        self.with(Item::Text { at, text: text.into(), anchor, bold: true })
    }

    /// A thin line.
    pub fn rule(self, from: (f64, f64), to: (f64, f64)) -> Self {
        self.with(Item::Rule { from, to })
    }

    fn with(mut self, item: Item) -> Self {
        self.items.push(item);
        self
    }

    /// Draws it from `top` down and returns where it ends.
    pub(crate) fn svg(&self, canvas: &mut Canvas, top: f64, theme: &Theme) -> f64 {
        for item in &self.items {
            match item {
                Item::Node { place: [x, y, width, height], text, ink } => {
                    let colour = theme.colour(*ink);
                    let look = format!(
                        r#"rx="6" fill="{colour}" fill-opacity="0.13" stroke="{colour}" stroke-width="1.4""#
                    );
                    canvas.rect(*x, top + y, *width, *height, &look);
                    let lines = text.lines().count() as f64;
                    let first = top + y + height / 2.0 - (lines - 1.0) * LINE / 2.0 + 4.0;
                    for (line, index) in text.lines().zip(0..) {
                        let set = Type::new(SIZE, theme.text).anchor(Anchor::Middle);
                        let set = if index == 0 && lines > 1.0 { set.bold() } else { set };
                        canvas.text(x + width / 2.0, first + f64::from(index) * LINE, line, set);
                    }
                }
                Item::Arrow { path } => arrow(canvas, path, top, theme),
                Item::Text { at, text, anchor, bold } => {
                    let set = Type::new(SIZE, theme.text).anchor(*anchor);
                    canvas.text(at.0, top + at.1, text, if *bold { set.bold() } else { set });
                }
                Item::Rule { from, to } => {
                    canvas.line((from.0, top + from.1), (to.0, top + to.1), theme.muted, 1.0, "");
                }
            }
        }
        top + self.height
    }
}

fn arrow(canvas: &mut Canvas, path: &[(f64, f64)], top: f64, theme: &Theme) {
    let [.., before, end] = path else { return };
    let points: Vec<String> = path.iter().map(|(x, y)| format!("{} {}", px(*x), px(top + y))).collect();
    let line = format!(r#"fill="none" stroke="{}" stroke-width="1.4""#, theme.muted);
    canvas.path(&format!("M{}", points.join("L")), &line);
    let length = libm::hypot(end.0 - before.0, end.1 - before.1).max(1e-9);
    let (dx, dy) = ((end.0 - before.0) / length, (end.1 - before.1) / length);
    let corner = |along: f64, across: f64| {
        format!("{} {}", px(end.0 - along * dx - across * dy), px(top + end.1 - along * dy + across * dx))
    };
    let head = [corner(-1.0, 0.0), corner(7.0, 4.0), corner(7.0, -4.0)].join("L");
    canvas.path(&format!("M{head}Z"), &format!(r#"fill="{}""#, theme.muted));
}
