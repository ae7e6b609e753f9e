//! Renders the tokens of a document in colours, or in brackets.

// Weights are compared with the exact numbers in the data.
#![allow(clippy::float_cmp)]

use std::env;
use std::fmt::Write;

use tokensieve_base::terminal::printable;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Document, Result};

/// How tokens are distinguished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// `[prompt]` and `{response}`; `{response}*0.5` where the weight is not 1. Brackets, backslashes and unprintable
    /// characters are escaped as in Rust. A token with a line break ends the line; characters outside of brackets are not
    /// part of the text.
    Plain,
    /// The prompt alternates between two greys, the response between two greens, which turn yellow as the weight decreases.
    /// Special tokens are underlined, and ↵ precedes a line break.
    Colours(Depth),
}

/// How many colours a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// 24-bit colours.
    True,
    /// The table of 256 colours.
    Table,
    /// The 16 basic colours.
    Few,
}

/// A piece of text: one token, or several that encode one character.
struct Cell {
    text: String,
    tokens: usize,
    weight: f32,
    special: bool,
}

impl Paint {
    /// The colours that standard output supports: none if it is not a terminal, or if `NO_COLOR` is set.
    pub(crate) fn of_terminal(is_terminal: bool) -> Self {
        let is = |variable: &str, parts: &[&str]| {
            let value = env::var(variable).unwrap_or_default();
            parts.iter().any(|part| value.contains(part))
        };
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || is("TERM", &["dumb"]);
        if !is_terminal || refused {
            Self::Plain
        } else if is("COLORTERM", &["truecolor", "24bit"]) {
            Self::Colours(Depth::True)
        } else if is("TERM", &["256color"]) {
            Self::Colours(Depth::Table)
        } else {
            Self::Colours(Depth::Few)
        }
    }

    /// A line with the numbers of tokens of a document.
    pub(super) fn heading(self, document: &Document) -> String {
        let response = document.response_tokens();
        let mut counts: Vec<(f32, usize)> = Vec::new();
        for weight in document.weights.iter().filter(|weight| **weight != 0.0) {
            match counts.iter_mut().find(|(known, _)| known == weight) {
                Some((_, count)) => *count += 1,
                None => counts.push((*weight, 1)),
            }
        }
        let weights: Vec<String> =
            counts.iter().map(|(weight, count)| format!("{weight} ({count})")).collect();
        let counted = document.tokens.len() - response;
        let mut line = format!("row {}: {counted} prompt and {response} response tokens", document.row);
        if !matches!(counts.as_slice(), [(1.0, _)]) {
            let _ = write!(line, ", weights {}", weights.join(", "));
        }
        match self {
            Self::Plain => line,
            Self::Colours(_) => format!("\x1b[1m{line}\x1b[0m"),
        }
    }

    /// The text of a document.
    pub(super) fn document(self, document: &Document, tokenizer: &Tokenizer) -> Result<String> {
        let mut out = String::new();
        for (index, cell) in cells(document, tokenizer)?.iter().enumerate() {
            match self {
                Self::Plain => plain(cell, &mut out),
                Self::Colours(depth) => coloured(cell, index % 2, depth, &mut out),
            }
        }
        Ok(out.trim_end_matches('\n').to_owned())
    }
}

fn cells(document: &Document, tokenizer: &Tokenizer) -> Result<Vec<Cell>> {
    let wrong = |error| tokensieve_model::Error::file(tokenizer.path(), error);
    let mut stream = tokenizer.inner().decode_stream(false);
    let mut cells = Vec::new();
    let mut start = 0;
    for (at, token) in document.tokens.iter().enumerate() {
        let last = at + 1 == document.tokens.len();
        let piece = match stream.step(*token).map_err(wrong)? {
            Some(piece) => piece,
            // An incomplete character; at the end of the document it stays incomplete.
            None if last => tokenizer.decode(&document.tokens[start..])?,
            None => continue,
        };
        let special = tokenizer.inner().get_added_vocabulary().is_special_token(&piece);
        cells.push(Cell { text: piece, tokens: at + 1 - start, weight: document.weights[at], special });
        start = at + 1;
    }
    Ok(cells)
}

fn plain(cell: &Cell, out: &mut String) {
    let (open, close) = if cell.weight == 0.0 { ('[', ']') } else { ('{', '}') };
    out.push(open);
    for c in cell.text.chars() {
        match c {
            '[' | ']' | '{' | '}' => out.extend(['\\', c]),
            ' '..='~' if c != '\\' => out.push(c),
            '\'' | '"' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out.push(close);
    if cell.weight != 0.0 && cell.weight != 1.0 {
        let _ = write!(out, "*{}", cell.weight);
    }
    if cell.text.contains('\n') {
        out.push('\n');
    }
}

fn coloured(cell: &Cell, shade: usize, depth: Depth, out: &mut String) {
    let under = if cell.special { "4;" } else { "" };
    styled(&cell.text, &format!("{under}{}", colour(cell.weight, shade, depth)), out);
    if cell.tokens > 1 {
        let _ = write!(out, "\x1b[2m×{}\x1b[0m", cell.tokens);
    }
}

/// Appends text in a style, the parameters of an escape sequence.
pub(crate) fn styled(text: &str, style: &str, out: &mut String) {
    // Pagers reset colours at line breaks.
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            let _ = writeln!(out, "\x1b[{style}m↵\x1b[0m");
        }
        if line.is_empty() {
            continue;
        }
        let _ = write!(out, "\x1b[{style}m{}\x1b[0m", printable(line));
    }
}

/// The style of an escape sequence for a weight.
fn colour(weight: f32, shade: usize, depth: Depth) -> String {
    let prompt = weight == 0.0;
    // From green (weight 1 or more) to yellow (0).
    let lack = 1.0 - weight.clamp(0.0, 1.0);
    match depth {
        Depth::True if prompt => ["38;2;140;140;140", "38;2;105;105;105"][shade].to_owned(),
        Depth::True => {
            let (light, green) = [(90.0, 215.0), (40.0, 165.0)][shade];
            format!("38;2;{:.0};{green};{:.0}", light + lack * (green - light), light)
        }
        Depth::Table if prompt => ["38;5;245", "38;5;241"][shade].to_owned(),
        Depth::Table if lack > 0.5 => ["38;5;220", "38;5;178"][shade].to_owned(),
        Depth::Table => ["38;5;78", "38;5;35"][shade].to_owned(),
        Depth::Few if prompt => ["90", "37"][shade].to_owned(),
        Depth::Few if lack > 0.5 => ["93", "33"][shade].to_owned(),
        Depth::Few => ["92", "32"][shade].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use tokensieve_model::text::{Conversation, Moment};

    fn tokenizer() -> Tokenizer {
        Tokenizer::from_folder(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tokenizer"),
            None,
            Moment::default(),
        )
        .unwrap()
    }

    /// The text within brackets, escapes undone.
    fn back(plain: &str) -> String {
        let mut text = String::new();
        let mut chars = plain.chars();
        let mut inside = false;
        while let Some(c) = chars.next() {
            match c {
                '[' | '{' => inside = true,
                ']' | '}' => inside = false,
                _ if !inside => {}
                '\\' => match chars.next().unwrap() {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    '0' => text.push('\0'),
                    'u' => {
                        let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                        text.push(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).unwrap());
                    }
                    other => text.push(other),
                },
                c => text.push(c),
            }
        }
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_exact_text_can_be_recovered(question: String, answer in "[^ ].{0,30}", weight in 0.1_f32..2.0) {
            prop_assume!(!answer.trim().is_empty());
            let tokenizer = tokenizer();
            let mut document = tokenizer.document(&Conversation::exchange(question, answer), 0).unwrap();
            document.weights.iter_mut().for_each(|old| *old *= weight);
            let shown = Paint::Plain.document(&document, &tokenizer).unwrap();
            prop_assert_eq!(back(&shown), tokenizer.decode(&document.tokens).unwrap());
        }

        #[test]
        fn control_characters_are_escaped(answer in "[a\\x1b\\x07\\x9b]{1,9}") {
            let tokenizer = tokenizer();
            let document = tokenizer.document(&Conversation::exchange("\x1b[2J", answer), 0).unwrap();
            for depth in [Depth::True, Depth::Table, Depth::Few] {
                let shown = Paint::Colours(depth).document(&document, &tokenizer).unwrap();
                // Every escape is one of ours: a colour, to its final m.
                prop_assert!(shown.split('\x1b').skip(1).all(|part| part.starts_with('[') && part.contains('m') && !part.starts_with("[2J")));
                let steering = shown.contains(['\x07', '\u{9b}']);
                prop_assert!(!steering);
            }
        }
    }

    #[test]
    fn prompt_and_response_are_distinguished() {
        let tokenizer = tokenizer();
        let mut document = tokenizer.document(&Conversation::exchange("Hi\n[x]", "24 clips"), 5).unwrap();
        assert_eq!(Paint::Plain.heading(&document), "row 5: 14 prompt and 4 response tokens");
        let response = document.tokens.len() - 4;
        document.weights[response] = 0.5;
        document.weights[response + 1] = 0.0;
        assert_eq!(
            Paint::Plain.heading(&document),
            "row 5: 15 prompt and 3 response tokens, weights 0.5 (1), 1 (2)"
        );
        let shown = Paint::Plain.document(&document, &tokenizer).unwrap();
        let (start, end) = (
            "[<|im_start|>][user][\\n]\n[H][i][\\n]\n[\\[][x][\\]][<|im_end|>]",
            "{2}*0.5[4]{ clips}{<|im_end|>}",
        );
        assert!(shown.starts_with(start) && shown.ends_with(end), "{shown}");
    }
}
