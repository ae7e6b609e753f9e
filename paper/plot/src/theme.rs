//! Colours by role, in a light and a dark theme, distinguishable by colour-blind readers.
//!
//! A figure never names a colour: it names an [`Ink`], and the theme decides.

/// What a mark is drawn with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ink {
    /// The n-th category, from the Okabe–Ito palette (seven colours, then it repeats).
    Category(usize),
    /// A place in an ordered family of curves, 0 to 1.
    Sequence(f64),
    /// The text colour: for a curve that is the reference of the others, and for marks that need no name.
    Strong,
    /// A quiet grey: for reference lines and context.
    Muted,
}

/// The colour map of a heat map's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// Viridis, from dark to bright.
    Sequential,
    /// Blue below the centre, orange above it.
    Diverging,
    /// From the background to a strong orange-brown, ever darker (in the dark theme brighter): behind text.
    Highlight,
}

/// One theme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    /// `light` or `dark`.
    pub name: &'static str,
    /// Behind everything.
    pub background: &'static str,
    /// Text and axes' numbers.
    pub text: &'static str,
    /// Axis lines, secondary text.
    pub muted: &'static str,
    /// Grid lines.
    pub grid: &'static str,
    categories: [&'static str; 7],
    diverging: [Rgb; 5],
    highlight: [Rgb; 5],
    /// The part of viridis whose both ends stand out from the background.
    sequence: (u8, u8),
}

type Rgb = [u8; 3];

impl Theme {
    /// Dark on white, for paper.
    pub const LIGHT: Self = Self {
        name: "light",
        background: "#ffffff",
        text: "#1d2430",
        muted: "#5d6675",
        grid: "#e6e9ee",
        categories: ["#0072b2", "#d55e00", "#009e73", "#b8568f", "#c98a00", "#3a9bd6", "#6b5b4d"],
        diverging: [[5, 74, 145], [107, 164, 211], [244, 244, 241], [240, 164, 90], [168, 72, 0]],
        highlight: [[247, 247, 244], [253, 226, 176], [245, 170, 85], [205, 92, 14], [122, 40, 0]],
        sequence: (4, 84),
    };

    /// Light on dark, for screens at night.
    pub const DARK: Self = Self {
        name: "dark",
        background: "#14181f",
        text: "#e6e9ef",
        muted: "#9aa4b2",
        grid: "#2a313c",
        categories: ["#56b4e9", "#f0803c", "#2fc79a", "#e08fbf", "#f2b93b", "#8fa8ff", "#c9b8a6"],
        diverging: [[120, 190, 245], [52, 106, 158], [38, 44, 54], [158, 88, 32], [250, 170, 90]],
        highlight: [[30, 36, 45], [84, 52, 22], [160, 88, 28], [240, 150, 66], [255, 226, 170]],
        sequence: (26, 98),
    };

    /// The colour of `ink`.
    pub fn colour(&self, ink: Ink) -> String {
        match ink {
            Ink::Category(index) => self.categories[index % self.categories.len()].into(),
            Ink::Sequence(at) => {
                let (low, high) = (f64::from(self.sequence.0) / 100.0, f64::from(self.sequence.1) / 100.0);
                hex(between(&VIRIDIS, low + (high - low) * at))
            }
            Ink::Strong => self.text.into(),
            Ink::Muted => self.muted.into(),
        }
    }

    /// The colour of a cell at `at`, 0 to 1, in `palette`.
    pub fn cell(&self, palette: Palette, at: f64) -> String {
        hex(match palette {
            Palette::Sequential => between(&VIRIDIS, at),
            Palette::Diverging => between(&self.diverging, at),
            Palette::Highlight => between(&self.highlight, at),
        })
    }

    /// Black or white, whichever is easier to read on `colour` (WCAG relative luminance).
    pub fn text_on(&self, colour: &str) -> &'static str {
        let channel = |from: usize| {
            let value = colour.get(from..from + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
            let value = f64::from(value.unwrap_or(0)) / 255.0;
            value * value
        };
        let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
        if luminance > 0.2 { "#101418" } else { "#ffffff" }
    }
}

/// Viridis (van der Walt and Smith, CC0) at eleven equal steps; linear in between.
const VIRIDIS: [Rgb; 11] = [
    [68, 1, 84],
    [72, 36, 117],
    [65, 68, 135],
    [53, 95, 141],
    [42, 120, 142],
    [33, 145, 140],
    [34, 168, 132],
    [68, 191, 112],
    [122, 209, 81],
    [189, 223, 38],
    [253, 231, 37],
];

fn between(stops: &[Rgb], at: f64) -> Rgb {
    let at = if at.is_nan() { 0.0 } else { at.clamp(0.0, 1.0) } * (stops.len() - 1) as f64;
    let index = (at as usize).min(stops.len() - 2);
    let part = at - index as f64;
    let mix = |channel: usize| {
        let (from, to) = (f64::from(stops[index][channel]), f64::from(stops[index + 1][channel]));
        (from + (to - from) * part).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palettes_begin_and_end_where_they_should() {
        let light = Theme::LIGHT;
        assert_eq!(light.cell(Palette::Sequential, 0.0), "#440154");
        assert_eq!(light.cell(Palette::Sequential, 1.0), "#fde725");
        assert_eq!(light.cell(Palette::Diverging, 0.5), "#f4f4f1");
        assert_eq!(light.cell(Palette::Sequential, f64::NAN), "#440154");
    }

    /// A scale of one direction in lightness is one that no colour-blindness hides.
    #[test]
    fn highlights_grow_steadily_darker_or_brighter() {
        for (theme, sign) in [(Theme::LIGHT, -1.0), (Theme::DARK, 1.0)] {
            let lightness =
                |[r, g, b]: Rgb| 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b);
            for pair in theme.highlight.windows(2) {
                assert!(sign * (lightness(pair[1]) - lightness(pair[0])) > 10.0, "{}", theme.name);
            }
        }
    }

    #[test]
    fn text_on_cells_is_readable() {
        assert_eq!(Theme::LIGHT.text_on("#440154"), "#ffffff");
        assert_eq!(Theme::LIGHT.text_on("#fde725"), "#101418");
    }
}
