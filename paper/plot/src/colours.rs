//! Colour scales of heat maps and of coloured text.

use crate::Palette;

/// From cell values to colours, with the colour bar's label.
#[derive(Clone, Debug, PartialEq)]
pub struct Colours {
    pub(crate) label: String,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) palette: Palette,
}

impl Colours {
    /// Dark to bright from `low` to `high`.
    pub fn sequential(label: &str, low: f64, high: f64) -> Self {
        Self { label: label.into(), low, high, palette: Palette::Sequential }
    }

    /// From no colour at `low` to the strongest at `high`: behind text.
    pub fn highlight(label: &str, low: f64, high: f64) -> Self {
        Self { label: label.into(), low, high, palette: Palette::Highlight }
    }

    /// Blue below zero, orange above, out to ±`reach`.
    pub fn diverging(label: &str, reach: f64) -> Self {
        Self { label: label.into(), low: -reach, high: reach, palette: Palette::Diverging }
    }

    /// Where `value` lies in the scale, 0 to 1.
    pub(crate) fn at(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}
