//! Text whose tokens are coloured by a quantity: blocks of wrapped monospaced words, each with its colour bar.

use crate::svg::{Anchor, Canvas, Type, escape, px, width};
use crate::{Axis, Colours, Theme};

const SIZE: f64 = 11.0;
/// Every monospaced font named below is 0.6 of its size wide.
const ADVANCE: f64 = 0.6 * SIZE;
const LINE: f64 = 17.0;
const HEAD: f64 = 26.0;
const BAR: f64 = 96.0;
const FONTS: &str = "'Liberation Mono', Menlo, 'DejaVu Sans Mono', Consolas, monospace";

/// A block of text with a title and a colour scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    title: String,
    pub(crate) colours: Colours,
    tokens: Vec<Word>,
}

/// One token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word {
    /// Its text, blanks included; a line feed ends the line.
    pub text: String,
    /// What the colour shows; none: grey text without colour.
    pub value: Option<f64>,
    /// Framed, for tokens that are singled out.
    pub framed: bool,
}

impl Words {
    /// A block of `words`; the colour scale's label stands beside its bar.
    pub fn new(title: &str, colours: Colours, words: impl IntoIterator<Item = Word>) -> Self {
        Self { title: title.into(), colours, tokens: words.into_iter().collect() }
    }

    /// Height when wrapped to `width`.
    pub(crate) fn height(&self, width: f64) -> f64 {
        let lines = wrapped(&self.tokens, columns(width)).last().map_or(0, |piece| piece.line + 1);
        HEAD + lines as f64 * LINE + 12.0
    }

    pub(crate) fn svg(&self, canvas: &mut Canvas, place: (f64, f64), room: f64, letter: &str, theme: &Theme) {
        let (left, top) = (place.0 + 10.0, place.1);
        canvas.text(left, top + 13.0, letter, Type::new(12.0, theme.text).bold());
        let indent = if letter.is_empty() { 0.0 } else { 15.0 };
        canvas.text(left + indent, top + 13.0, &self.title, Type::new(12.0, theme.text));
        self.bar(canvas, place.0 + room, top, theme);
        for piece in wrapped(&self.tokens, columns(room)) {
            let word = &self.tokens[piece.word];
            let (x, y) = (left + piece.column as f64 * ADVANCE, top + HEAD + piece.line as f64 * LINE);
            let wide = piece.cells as f64 * ADVANCE;
            let colour = word.value.map(|value| theme.cell(self.colours.palette, self.colours.at(value)));
            let ink = colour.as_deref().map_or(theme.muted, |colour| theme.text_on(colour));
            if let Some(colour) = &colour {
                canvas.rect(x, y, wide, LINE - 1.5, &format!(r#"fill="{colour}""#));
            }
            if word.framed {
                let frame = format!(r#"fill="none" stroke="{ink}" stroke-width="1.2""#);
                canvas.rect(x + 0.6, y + 0.6, wide - 1.2, LINE - 2.7, &frame);
            }
            // Hard blanks: SVG would swallow others. Characters of unknown width are fitted into their cells.
            let text = piece.text.replace([' ', '\t'], "\u{a0}");
            let fit = if text.is_ascii() || text.chars().all(|c| c == '\u{a0}' || c.is_ascii()) {
                String::new()
            } else {
                format!(r#" textLength="{}" lengthAdjust="spacingAndGlyphs""#, px(wide))
            };
            canvas.raw(&format!(
                r#"<text x="{}" y="{}" font-family="{FONTS}" font-size="{}" fill="{ink}"{fit}>{}</text>"#,
                px(x),
                px(y + 11.6),
                px(SIZE),
                escape(&text)
            ));
        }
    }

    /// The colour bar, ending at `right`, with its label before it and numbers below.
    fn bar(&self, canvas: &mut Canvas, right: f64, top: f64, theme: &Theme) {
        const STEPS: usize = 32;
        let left = right - BAR;
        for step in 0..STEPS {
            let colour = theme.cell(self.colours.palette, (step as f64 + 0.5) / STEPS as f64);
            let x = left + BAR * step as f64 / STEPS as f64;
            canvas.rect(x, top + 2.0, BAR / STEPS as f64 + 0.4, 7.0, &format!(r#"fill="{colour}""#));
        }
        let label = Type::new(10.5, theme.text).anchor(Anchor::End);
        canvas.text(left - 6.0, top + 9.5, &self.colours.label, label);
        let axis = Axis::linear("").range(self.colours.low, self.colours.high);
        let ticks = axis.fit(std::iter::empty()).ticks(2);
        for (at, label) in ticks {
            let half = width(&label, 9.0) / 2.0;
            let x = (left + at * BAR).clamp(left + half, right - half);
            canvas.text(x, top + 19.0, &label, Type::new(9.0, theme.muted).anchor(Anchor::Middle));
        }
    }
}

fn columns(room: f64) -> usize {
    (((room - 10.0) / ADVANCE) as usize).max(8)
}

/// A part of a word on one line.
#[derive(Debug, PartialEq)]
struct Piece {
    word: usize,
    line: usize,
    column: usize,
    cells: usize,
    text: String,
}

/// Breaks words into pieces: a new line where one does not fit or after a line feed, which shows as ↵.
fn wrapped(words: &[Word], columns: usize) -> Vec<Piece> {
    let (mut line, mut column) = (0, 0);
    let mut pieces: Vec<Piece> = Vec::new();
    for (word, content) in words.iter().enumerate() {
        let needed: usize =
            content.text.split_inclusive('\n').next().map_or(0, |first| first.chars().map(cells).sum());
        if column > 0 && column + needed > columns && needed <= columns {
            (line, column) = (line + 1, 0);
        }
        let mut piece = Piece { word, line, column, cells: 0, text: String::new() };
        for character in content.text.chars().filter(|c| *c != '\r') {
            let wide = cells(character);
            if column + wide > columns {
                let next = Piece { word, line: line + 1, column: 0, cells: 0, text: String::new() };
                pieces.push(std::mem::replace(&mut piece, next));
                (line, column) = (line + 1, 0);
            }
            piece.text.push(if character == '\n' { '↵' } else { character });
            piece.cells += wide;
            column += wide;
            if character == '\n' {
                let next = Piece { word, line: line + 1, column: 0, cells: 0, text: String::new() };
                pieces.push(std::mem::replace(&mut piece, next));
                (line, column) = (line + 1, 0);
            }
        }
        pieces.push(piece);
    }
    pieces.retain(|piece| piece.cells > 0);
    pieces
}

/// Columns that a character takes: two for East Asian letters and pictures.
fn cells(character: char) -> usize {
    match character as u32 {
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xff00..=0xff60
        | 0x1f300..=0x1faff => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(texts: &[&str]) -> Vec<Word> {
        texts.iter().map(|text| Word { text: (*text).into(), ..Word::default() }).collect()
    }

    #[test]
    fn words_break_whole_and_line_feeds_show() {
        let pieces = wrapped(&words(&["one", " two", "\n\n", " three"]), 8);
        let found: Vec<_> = pieces.iter().map(|p| (p.text.as_str(), p.line, p.column)).collect();
        assert_eq!(found, [("one", 0, 0), (" two", 0, 3), ("↵", 0, 7), ("↵", 1, 0), (" three", 2, 0)]);
        let long = wrapped(&words(&["ab", "cdefghij"]), 4);
        let found: Vec<_> = long.iter().map(|p| (p.text.as_str(), p.line)).collect();
        assert_eq!(found, [("ab", 0), ("cd", 0), ("efgh", 1), ("ij", 2)]);
    }

    #[test]
    fn frames_stand_out_from_the_strongest_colour() {
        for (theme, ink) in [(Theme::LIGHT, "#ffffff"), (Theme::DARK, "#101418")] {
            let word = Word { text: "a".into(), value: Some(1.0), framed: true };
            let mut canvas = Canvas::default();
            let block = Words::new("", Colours::highlight("nats", 0.0, 1.0), [word]);
            block.svg(&mut canvas, (0.0, 0.0), 300.0, "", &theme);
            assert!(canvas.into_body().contains(&format!(r#"stroke="{ink}""#)), "{}", theme.name);
        }
    }

    proptest! {
        /// No character is lost, and no piece leaves its line.
        #[test]
        fn nothing_is_lost_or_overflows(texts in proptest::collection::vec("[a-z \n\u{4e00}]{0,12}", 0..20), columns in 2_usize..20) {
            let list: Vec<&str> = texts.iter().map(String::as_str).collect();
            let pieces = wrapped(&words(&list), columns);
            let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            prop_assert_eq!(text, texts.concat().replace('\n', "↵"));
            for piece in &pieces {
                prop_assert!(piece.column + piece.cells <= columns);
            }
        }
    }
}
