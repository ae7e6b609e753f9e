//! What a figure states: a drawing is panels, and a panel is two axes and series.

use crate::{Axis, Colours, Diagram, Series, Words};

/// A whole figure: a diagram, blocks of coloured text, and panels in rows of `columns` with one legend for all.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Drawing {
    pub(crate) diagram: Option<Diagram>,
    pub(crate) words: Vec<Words>,
    pub(crate) panels: Vec<Panel>,
    pub(crate) columns: usize,
    pub(crate) panel_height: f64,
    /// Width of the whole drawing, in pixels.
    pub width: f64,
    pub(crate) colours: Option<Colours>,
    pub(crate) notice: Option<String>,
    pub(crate) subtitle: Option<String>,
}

impl Drawing {
    /// A drawing of `panels`, three to a row at most.
    pub fn new(panels: impl IntoIterator<Item = Panel>) -> Self {
        let panels: Vec<Panel> = panels.into_iter().collect();
        let columns = panels.len().clamp(1, 3);
        Self {
            diagram: None,
            words: Vec::new(),
            panels,
            columns,
            panel_height: 230.0,
            width: 760.0,
            colours: None,
            notice: None,
            subtitle: None,
        }
    }

    /// Adds a diagram, above everything else.
    pub fn diagram(self, diagram: Diagram) -> Self {
        Self { diagram: Some(diagram), ..self }
    }

    /// Adds blocks of coloured text, above the panels, as many to a row as there are columns.
    pub fn words(self, words: impl IntoIterator<Item = Words>) -> Self {
        Self { words: words.into_iter().collect(), ..self }
    }

    /// Panels per row.
    pub fn columns(self, columns: usize) -> Self {
        Self { columns: columns.max(1), ..self }
    }

    /// Height of a panel's plotting area, in pixels (default: 230).
    pub fn panel_height(self, panel_height: f64) -> Self {
        Self { panel_height, ..self }
    }

    /// Width of the whole drawing, in pixels (default: 760).
    pub fn width(self, width: f64) -> Self {
        Self { width, ..self }
    }

    /// One colour scale, and one colour bar, for the cells of every panel.
    pub fn colours(self, colours: Colours) -> Self {
        Self { colours: Some(colours), ..self }
    }

    /// A line of plain text above the drawing, for what a reader should know to read it.
    pub fn subtitle(self, subtitle: impl Into<String>) -> Self {
        Self { subtitle: Some(subtitle.into()), ..self }
    }

    /// A bold line above everything, for what a reader must not miss (a data set that was replaced).
    pub fn notice(self, notice: impl Into<String>) -> Self {
        Self { notice: Some(notice.into()), ..self }
    }
}

/// Two axes and what is drawn between them.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Panel {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
    pub(crate) colours: Option<Colours>,
}

impl Panel {
    /// An empty panel. Panels of a drawing with several are lettered A, B, … by themselves.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, series: Vec::new(), colours: None }
    }

    /// Puts a name in front of the title: `whose, title`.
    pub fn of(self, whose: &str) -> Self {
        Self { title: format!("{whose}, {}", self.title), ..self }
    }

    /// Adds one series; later ones lie on top.
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Adds many series.
    pub fn with_all(mut self, series: impl IntoIterator<Item = Series>) -> Self {
        self.series.extend(series);
        self
    }

    /// A colour scale, and a colour bar, of this panel's own.
    pub fn colours(self, colours: Colours) -> Self {
        Self { colours: Some(colours), ..self }
    }
}
