//! Writing SVG text: numbers of fixed precision, escaped and lightly marked-up labels, widths of text.
//!
//! Everything here is a pure function, so that one drawing gives the same bytes on every machine.

use std::fmt::Write as _;

/// An SVG document under construction.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    body: String,
}

/// How a piece of text is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Type<'a> {
    pub size: f64,
    pub colour: &'a str,
    pub anchor: Anchor,
    pub bold: bool,
    /// Degrees, clockwise, about the text's own origin.
    pub turn: f64,
}

/// Which end of a text its position names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

impl<'a> Type<'a> {
    pub(crate) fn new(size: f64, colour: &'a str) -> Self {
        Self { size, colour, anchor: Anchor::Start, bold: false, turn: 0.0 }
    }

    pub(crate) fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(crate) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(crate) fn turned(self, turn: f64) -> Self {
        Self { turn, ..self }
    }
}

impl Canvas {
    /// Adds markup as it is.
    pub(crate) fn raw(&mut self, markup: &str) {
        self.body.push_str(markup);
        self.body.push('\n');
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dash: &str) {
        let dash = if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        self.raw(&format!(
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{colour}" stroke-width="{}"{dash}/>"#,
            px(from.0),
            px(from.1),
            px(to.0),
            px(to.1),
            px(width)
        ));
    }

    pub(crate) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, attributes: &str) {
        let (x, y, width, height) = (px(x), px(y), px(width), px(height));
        self.raw(&format!(r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" {attributes}/>"#));
    }

    pub(crate) fn path(&mut self, data: &str, attributes: &str) {
        self.raw(&format!(r#"<path d="{data}" {attributes}/>"#));
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, text: &str, set: Type<'_>) {
        let mut attributes = format!(r#"font-size="{}" fill="{}""#, px(set.size), set.colour);
        match set.anchor {
            Anchor::Start => {}
            Anchor::Middle => attributes.push_str(r#" text-anchor="middle""#),
            Anchor::End => attributes.push_str(r#" text-anchor="end""#),
        }
        if set.bold {
            attributes.push_str(r#" font-weight="600""#);
        }
        if set.turn != 0.0 {
            let _ = write!(attributes, r#" transform="rotate({} {} {})""#, px(set.turn), px(x), px(y));
        }
        self.raw(&format!(r#"<text x="{}" y="{}" {attributes}>{}</text>"#, px(x), px(y), marked_up(text)));
    }

    pub(crate) fn into_body(self) -> String {
        self.body
    }
}

/// A coordinate with at most two decimals: finer than any screen, and short.
pub(crate) fn px(value: f64) -> String {
    let mut text = format!("{value:.2}");
    while text.contains('.') && (text.ends_with('0') || text.ends_with('.')) {
        text.pop();
    }
    if text == "-0" { "0".into() } else { text }
}

/// Text for element content and for attributes. U+FFFD stands for control characters, which XML cannot hold at all.
pub fn escape(text: &str) -> String {
    let held = text.replace(is_not_of_xml, "\u{fffd}");
    held.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whether a character is none of XML 1.0's (its rule `Char`).
fn is_not_of_xml(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// One run of a label.
#[derive(Debug, PartialEq, Eq)]
struct Span<'a> {
    text: &'a str,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Italic,
    Above,
    Below,
}

/// Splits `W_{f}(*p*) = *p*^{α}` into its runs: `*…*` italic, `^{…}` superscript, `_{…}` subscript.
fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let next = [("^{", "}", Style::Above), ("_{", "}", Style::Below), ("*", "*", Style::Italic)]
            .into_iter()
            .filter_map(|(open, close, style)| {
                let start = rest.find(open)?;
                let length = rest[start + open.len()..].find(close)?;
                Some((start, open.len(), length, style))
            })
            .min_by_key(|found| found.0);
        let Some((start, open, length, style)) = next else {
            spans.push(Span { text: rest, style: Style::Plain });
            break;
        };
        if start > 0 {
            spans.push(Span { text: &rest[..start], style: Style::Plain });
        }
        spans.push(Span { text: &rest[start + open..start + open + length], style });
        rest = &rest[start + open + length + 1..];
    }
    spans
}

/// A label as SVG text content. A raised run is followed by one that returns to the base line.
fn marked_up(text: &str) -> String {
    let mut out = String::new();
    let mut shift = 0;
    for span in spans(text) {
        let (wanted, attributes) = match span.style {
            Style::Plain => (0, ""),
            Style::Italic => (0, r#" font-style="italic""#),
            Style::Above => (-4, r#" font-size="8""#),
            Style::Below => (3, r#" font-size="8""#),
        };
        let text = escape(&typographic(span.text));
        if wanted == shift && attributes.is_empty() {
            out.push_str(&text);
        } else {
            let dy = if wanted == shift { String::new() } else { format!(r#" dy="{}""#, wanted - shift) };
            let _ = write!(out, "<tspan{dy}{attributes}>{text}</tspan>");
        }
        shift = wanted;
    }
    out
}

/// A label, or any prose with the same marks, as HTML.
pub fn html(text: &str) -> String {
    spans(text)
        .iter()
        .map(|span| {
            // A number and its per cent sign stay on one line.
            let text = escape(&typographic(span.text)).replace(" %", "\u{a0}%");
            match span.style {
                Style::Plain => text,
                Style::Italic => format!("<i>{text}</i>"),
                Style::Above => format!("<sup>{text}</sup>"),
                Style::Below => format!("<sub>{text}</sub>"),
            }
        })
        .collect()
}

/// A label without its marks, for places that take plain text only.
pub fn unmarked(text: &str) -> String {
    let plain = spans(text).into_iter().map(|span| match span.style {
        Style::Above => format!("^{}", span.text),
        Style::Below => format!("_{}", span.text),
        Style::Plain | Style::Italic => span.text.to_owned(),
    });
    typographic(&plain.collect::<String>())
}

/// A hyphen before a digit, or standing alone between spaces, is a minus sign.
fn typographic(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    characters
        .iter()
        .enumerate()
        .map(|(at, &character)| {
            let before = at.checked_sub(1).map(|at| characters[at]);
            let after = characters.get(at + 1);
            let opens = before.is_none_or(|c| !c.is_alphanumeric());
            let number = after.is_some_and(|c| c.is_ascii_digit() || *c == '.');
            if character == '-' && opens && (number || after.is_none_or(|c| *c == ' ')) {
                '−'
            } else {
                character
            }
        })
        .collect()
}

/// Width in pixels of `text` set in Helvetica or `DejaVu Sans`, whichever is wider: no less than what a reader sees.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    spans(text)
        .iter()
        .map(|span| {
            let size = if matches!(span.style, Style::Above | Style::Below) { 8.0 } else { size };
            typographic(span.text).chars().map(|character| f64::from(advance(character))).sum::<f64>() * size
                / 1000.0
        })
        .sum()
}

/// Advance widths of U+0020..U+007E in thousandths of the size: the larger of Helvetica's (Adobe's AFM file; Arial and
/// Liberation Sans share them) and `DejaVu Sans`' (its `hmtx` table), which systems without these fall back to.
const ADVANCES: [u16; 95] = [
    318, 401, 460, 838, 637, 951, 780, 275, 391, 391, 500, 838, 318, 361, 318, 337, 637, 637, 637, 637, 637,
    637, 637, 637, 637, 637, 337, 337, 838, 838, 838, 556, 1015, 685, 687, 722, 771, 667, 611, 778, 752, 295,
    500, 667, 558, 863, 749, 788, 667, 788, 722, 667, 611, 732, 685, 989, 686, 667, 686, 391, 337, 391, 838,
    556, 500, 613, 635, 550, 635, 616, 353, 635, 634, 278, 278, 580, 278, 975, 634, 612, 635, 635, 412, 521,
    393, 634, 592, 818, 592, 592, 525, 637, 337, 637, 838,
];

/// Beyond ASCII as wide as `DejaVu Sans`' minus sign and arrows, the widest that labels use.
fn advance(character: char) -> u16 {
    (character as usize).checked_sub(32).and_then(|at| ADVANCES.get(at)).copied().unwrap_or(838)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 0.5, 1.239, -0.001, 100.0].map(px), ["1", "0.5", "1.24", "0", "100"]);
    }

    #[test]
    fn labels_are_marked_up_and_escaped() {
        assert_eq!(marked_up("a < b"), "a &lt; b");
        assert_eq!(marked_up("-1 to 1-x"), "−1 to 1-x");
        assert_eq!(
            marked_up("10^{-3} nats"),
            r#"10<tspan dy="-4" font-size="8">−3</tspan><tspan dy="4"> nats</tspan>"#
        );
        assert_eq!(marked_up("*p*"), r#"<tspan font-style="italic">p</tspan>"#);
        assert_eq!(marked_up("lone * star"), "lone * star");
        assert_eq!(html("*p*^{2} < 1"), "<i>p</i><sup>2</sup> &lt; 1");
        assert_eq!(unmarked("*p*_{t} at -1"), "p_t at −1");
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(marked_up("a\0b \u{1b}[1m\u{c}"), "a\u{fffd}b \u{fffd}[1m\u{fffd}");
        assert_eq!(escape("\u{ffff}\t\r\n\u{7f}"), "\u{fffd}\t\r\n\u{7f}");
        assert_eq!(html("\u{1}<"), "\u{fffd}&lt;");
    }

    #[test]
    fn widths_follow_the_wider_font() {
        // L is DejaVu's, M too, E is Helvetica's.
        assert!((width("MLE", 10.0) - (8.63 + 5.58 + 6.67)).abs() < 1e-9);
        assert!((width("-1", 10.0) - (8.38 + 6.37)).abs() < 1e-9);
        assert!(width("10^{3}", 10.0) < width("103", 10.0));
    }
}
