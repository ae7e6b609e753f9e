//! FIGlet fonts: letters drawn with characters, and pushed together according to each font's layout.
//!
//! Rules from the FIGfont standard, version 2. Features that the puzzles do not need are left out: right-to-left fonts, vertical
//! layout, control files, characters beyond ASCII.

/// A font.
#[derive(Clone, Debug)]
pub struct Font {
    hardblank: char,
    height: usize,
    layout: u32,
    /// The glyphs of the characters 32 to 126; each has `height` rows of the same width.
    glyphs: Vec<Glyph>,
}

type Glyph = Vec<Vec<char>>;

/// Letters are moved together until they touch.
pub const KERN: u32 = 64;
/// And then until one more column would hide something that the rules (or, without any, the right letter) do not allow.
pub const SMUSH: u32 = 128;
/// By which rules, one bit each.
const RULES: u32 = 63;

const PRINTABLE: std::ops::RangeInclusive<char> = ' '..='~';

impl Font {
    /// Reads a font file; the error says what is wrong with it.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        // Fonts are older than UTF-8: other bytes are Latin-1's characters.
        let text = String::from_utf8(file.to_vec())
            .unwrap_or_else(|bytes| bytes.as_bytes().iter().map(|byte| char::from(*byte)).collect());
        let mut lines = text.lines();
        let header = lines
            .next()
            .and_then(|line| line.strip_prefix("flf2a"))
            .ok_or("it does not begin with `flf2a`")?;
        let hardblank = header.chars().next().ok_or("its first line names no hard blank")?;
        let numbers: Vec<i64> =
            header[hardblank.len_utf8()..].split_whitespace().map_while(|word| word.parse().ok()).collect();
        let number =
            |index: usize, what| numbers.get(index).copied().ok_or(format!("its first line has no {what}"));
        let (height, old, comments) =
            (number(0, "height")?, number(3, "layout")?, number(4, "number of comment lines")?);
        if !(1..=1000).contains(&height) || !(0..=100_000).contains(&comments) {
            return Err(format!("it cannot have height {height} and {comments} comment lines"));
        }
        if numbers.get(5) == Some(&1) {
            return Err("it is written from right to left".into());
        }
        let layout = match (numbers.get(6), old) {
            (Some(full), _) => *full as u32,
            (None, 0) => KERN,
            (None, ..0) => 0,
            (None, rules) => rules as u32 & 31 | SMUSH,
        };
        let height = height as usize;
        let mut lines = lines.skip(comments as usize);
        let glyphs = PRINTABLE
            .map(|letter| glyph(&mut lines, height).map_err(|what| format!("the letter `{letter}`: {what}")))
            .collect::<Result<_, _>>()?;
        Ok(Self { hardblank, height, layout, glyphs })
    }

    /// This font with another layout.
    #[must_use]
    pub fn with_layout(&self, layout: u32) -> Self {
        Self { layout, ..self.clone() }
    }

    /// The rows of a text on one line; characters that the font lacks are left out.
    pub fn draw(&self, text: &str) -> Vec<String> {
        let mut rows = vec![Vec::new(); self.height];
        let mut last_width = 0;
        for glyph in text.chars().filter_map(|letter| self.glyph(letter)) {
            let joint = Joint { font: self, thin: last_width < 2 || glyph[0].len() < 2 };
            joint.add(&mut rows, glyph);
            last_width = glyph[0].len();
        }
        rows.iter()
            .map(|row| row.iter().map(|c| if *c == self.hardblank { ' ' } else { *c }).collect())
            .collect()
    }

    fn glyph(&self, letter: char) -> Option<&Glyph> {
        PRINTABLE.contains(&letter).then(|| &self.glyphs[letter as usize - 32])
    }
}

/// A glyph's rows end in one or more of any character, which are not part of it.
fn glyph<'a>(lines: &mut impl Iterator<Item = &'a str>, height: usize) -> Result<Glyph, String> {
    let row = |line: &str| {
        let line = line.trim_end();
        let end = line.chars().next_back();
        line.trim_end_matches(|c| Some(c) == end).chars().collect::<Vec<_>>()
    };
    let rows: Glyph = lines.take(height).map(row).collect();
    if rows.len() < height {
        return Err("the file ends in it".into());
    }
    if rows.iter().any(|row| row.len() != rows[0].len()) {
        return Err("its rows are of different width".into());
    }
    Ok(rows)
}

/// Where a letter meets the text before it.
struct Joint<'a> {
    font: &'a Font,
    /// One of the two letters is narrower than two columns: then they never share one.
    thin: bool,
}

impl Joint<'_> {
    fn add(&self, rows: &mut [Vec<char>], glyph: &Glyph) {
        let shared = self.shared(rows, glyph);
        for (row, letter) in rows.iter_mut().zip(glyph) {
            let width = row.len();
            for (index, right) in letter[..shared].iter().enumerate() {
                // More is shared than there is only where the letter begins with blanks.
                if let Some(left) = row.get_mut((width + index).saturating_sub(shared)) {
                    *left = self.smush(*left, *right).unwrap_or(*left);
                }
            }
            row.extend(&letter[shared..]);
        }
    }

    /// How many columns the text and the letter can share.
    fn shared(&self, rows: &[Vec<char>], glyph: &Glyph) -> usize {
        if self.font.layout & (KERN | SMUSH) == 0 {
            return 0;
        }
        let of_row = |(row, letter): (&Vec<char>, &Vec<char>)| {
            let blanks = letter.iter().take_while(|c| **c == ' ').count();
            let after = row.iter().rev().take_while(|c| **c == ' ').count();
            let touching = row[..row.len() - after].last().zip(letter.get(blanks));
            let overlap = touching.is_some_and(|(left, right)| self.smush(*left, *right).is_some());
            blanks + after + usize::from(overlap)
        };
        rows.iter().zip(glyph).map(of_row).min().unwrap_or(0).min(glyph[0].len())
    }

    /// What two characters in one place become, if they may be there.
    fn smush(&self, left: char, right: char) -> Option<char> {
        let Font { hardblank, layout, .. } = *self.font;
        let rule = |bit: u32| layout & bit != 0;
        match (left, right) {
            (' ', other) | (other, ' ') => return Some(other),
            _ if self.thin || !rule(SMUSH) => return None,
            (hidden, seen) if layout & RULES == 0 => {
                return Some(if seen == hardblank { hidden } else { seen });
            }
            _ => (),
        }
        if left == hardblank || right == hardblank {
            return (left == right && rule(32)).then_some(hardblank);
        }
        if rule(1) && left == right {
            return Some(left);
        }
        if rule(2) {
            match (left, right) {
                ('_', other) | (other, '_') if STRONGER.contains(other) => return Some(other),
                _ => (),
            }
        }
        if rule(4) {
            let class = |c| CLASSES.iter().position(|class| class.contains(c));
            match class(left).zip(class(right)) {
                Some((l, r)) if l != r => return Some(if l > r { left } else { right }),
                _ => (),
            }
        }
        match (left, right) {
            ('[', ']') | (']', '[') | ('{', '}') | ('}', '{') | ('(', ')') | (')', '(') if rule(8) => {
                Some('|')
            }
            ('/', '\\') if rule(16) => Some('|'),
            ('\\', '/') if rule(16) => Some('Y'),
            ('>', '<') if rule(16) => Some('X'),
            _ => None,
        }
    }
}

/// Characters that replace an underscore in the same position.
const STRONGER: &str = "|/\\[]{}()<>";

/// Of two characters in the same position, the one of the later class stays visible.
const CLASSES: [&str; 6] = ["|", "/\\", "[]", "{}", "()", "<>"];
