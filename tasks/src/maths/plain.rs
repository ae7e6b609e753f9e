//! Normalisation of spelling: LaTeX without typesetting commands, text and units.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// An answer in normalised spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    /// The mathematics; empty if there is none.
    pub(super) maths: String,
    /// The words, small letters and digits only; empty unless the answer is nothing but words.
    pub(super) words: String,
}

/// Spellings and their replacements. A longer spelling precedes those that it begins with.
const SPELLINGS: [(&str, &str); 48] = [
    ("\\displaystyle", ""),
    ("\\left", ""),
    ("\\right", ""),
    ("\\Bigl", ""),
    ("\\Bigr", ""),
    ("\\bigl", ""),
    ("\\bigr", ""),
    ("\\Big", ""),
    ("\\big", ""),
    ("\\limits", ""),
    ("\\quad", " "),
    ("\\qquad", " "),
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("\\cfrac", "\\frac"),
    ("\\dbinom", "\\binom"),
    ("\\tbinom", "\\binom"),
    ("\\leqslant", "\\le"),
    ("\\geqslant", "\\ge"),
    ("\\leq", "\\le"),
    ("\\geq", "\\ge"),
    ("\\neq", "\\ne"),
    ("\\lt", "<"),
    ("\\gt", ">"),
    ("\\lbrace", "\\{"),
    ("\\rbrace", "\\}"),
    ("\\lvert", "|"),
    ("\\rvert", "|"),
    ("\\vert", "|"),
    ("\\mid", "|"),
    ("\\cdotp", "\\cdot"),
    ("\\degree", ""),
    ("\\circ", "°"),
    ("\\ast", "*"),
    ("\\varnothing", "\\emptyset"),
    ("\\approx", "="),
    ("\\simeq", "="),
    ("\\lbrack", "["),
    ("\\rbrack", "]"),
    ("\\arctg", "\\arctan"),
    ("\\tg", "\\tan"),
    ("\\ctg", "\\cot"),
    ("\\implies", ""),
    ("\\Rightarrow", ""),
    ("\\boldsymbol", ""),
    ("\\mathstrut", ""),
    ("\\infin", "\\infty"),
    ("\\textdollar", ""),
];

const CHARACTERS: [(&str, &str); 25] = [
    ("\\$", ""),
    ("$", ""),
    ("\\(", ""),
    ("\\)", ""),
    ("\\%", ""),
    ("%", ""),
    ("\\!", ""),
    ("\\,", " "),
    ("\\;", " "),
    ("\\:", " "),
    ("\\ ", " "),
    ("~", " "),
    ("−", "-"),
    ("–", "-"),
    ("×", "\\times "),
    ("·", "\\cdot "),
    ("≤", "\\le "),
    ("≥", "\\ge "),
    ("∞", "\\infty "),
    ("∪", "\\cup "),
    ("π", "\\pi "),
    ("±", "\\pm "),
    ("^{°}", ""),
    ("^°", ""),
    ("°", ""),
];

/// Replaces `\\`, which ends a row of a matrix and begins no command.
pub(super) const ROW: &str = "\u{1}";

macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("a regex"));
    };
}

pattern!(COMMAND, r"\\[a-zA-Z]+");
// A single letter in another typeface is a variable; an upright one is a unit, unless it is a constant.
pattern!(FACE, r"\\(?:(?:mathbf|mathit|mathsf|bf|it)\s*\{\s*([a-zA-Z])\s*\}|mathrm\s*\{\s*([eid])\s*\})");
pattern!(NAMED, r"\\operatorname\s*\{([a-z]+)\}");
// With the power of a unit behind it.
pattern!(
    WORDS,
    r"\\(?:text|textbf|textrm|textit|textsf|mbox|hbox|mathrm|rm|operatorname|mathbf)\s*\{([^{}]*)\}(?:\^\{?-?\d\}?)?"
);
pattern!(AND, r"^\s*(?:and|or)\s*$");
// Thousands of one number.
pattern!(GROUPED, r"^-?\d{1,3}(?:,\s?\d{3})+(?:\.\d+)?$");
// A number and a unit without a command around it.
pattern!(
    UNIT,
    r"^(-?[\d.,/ ]*\d)\s+(?:[a-zA-Z]{3,}|cm|mm|km|kg|mg|mL|ml|Hz|eV|ft|in|nm|pm|am|hr|mi|lb|oz)\b[a-zA-Z/ ]*(?:\^\d)?$"
);

/// Normalises an answer.
pub(super) fn plain(text: &str) -> Plain {
    // Thousands set off with `,\!`, which a list never has.
    let text = text.trim().replace("\\\\", ROW).replace("{,}", ",").replace(",\\! ", "").replace(",\\!", "");
    let text = COMMAND.replace_all(&text, |found: &Captures| {
        let stands_for = SPELLINGS.iter().find(|(spelling, _)| *spelling == &found[0]);
        stands_for.map_or(found[0].to_owned(), |(_, stands_for)| (*stands_for).to_owned())
    });
    let text = CHARACTERS.iter().fold(text.into_owned(), |text, (from, to)| text.replace(from, to));
    let text = FACE.replace_all(&text, "$1$2");
    let text = NAMED.replace_all(&text, "\\$1 ");
    let mut spoken = String::new();
    let maths = WORDS.replace_all(&text, |found: &Captures| {
        if AND.is_match(&found[1]) {
            return ", ";
        }
        spoken += &found[1];
        " "
    });
    let maths = maths.replace(" or ", ", ").replace(" and ", ", ");
    let mut maths = maths.trim_end_matches(|c: char| c.is_whitespace() || ".,;:/".contains(c)).trim();
    maths = maths.strip_suffix("\\cdot").unwrap_or(maths).trim_end();
    if let Some(number) = UNIT.captures(maths).and_then(|found| found.get(1)) {
        maths = number.as_str();
    }
    let maths = if GROUPED.is_match(maths) { maths.replace([',', ' '], "") } else { maths.to_owned() };
    if maths.chars().any(char::is_alphanumeric) {
        let words = if is_wordy(&maths) { letters(&maths) } else { String::new() };
        Plain { maths, words }
    } else {
        let only_words = maths.chars().all(|c| c.is_whitespace() || "()".contains(c));
        Plain { maths: String::new(), words: if only_words { letters(&spoken) } else { String::new() } }
    }
}

/// Whether the text can be words without a command around them.
fn is_wordy(text: &str) -> bool {
    text.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || "()-'".contains(c))
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, maths) in [
            ("\\dfrac{1}{2}", "\\frac{1}{2}"),
            ("$\\left( 3, \\frac{\\pi}{2} \\right)$", "( 3, \\frac{\\pi}{2} )"),
            ("90^\\circ", "90"),
            ("145^{\\circ}", "145"),
            ("\\$32,\\!348", "32348"),
            ("11,\\! 111,\\! 111,\\! 100", "11111111100"),
            ("58,500", "58500"),
            ("1,2", "1,2"),
            ("864 \\mbox{ inches}^2", "864"),
            ("5.4 \\text{ cents}", "5.4"),
            ("6.5 \\mathrm{~m} / \\mathrm{s}", "6.5"),
            ("12 cm", "12"),
            ("12 m/s", "12 m/s"),
            ("\\frac{1}{2} ab", "\\frac{1}{2} ab"),
            ("3 meters per second", "3"),
            ("25\\%", "25"),
            ("x \\text{ or } y", "x ,  y"),
            ("x=3 and y=2", "x=3, y=2"),
            ("7.", "7"),
        ] {
            assert_eq!(plain(text).maths, maths, "{text}");
        }
        for (text, words) in
            [("\\text{(C)}", "c"), ("\\text{Evelyn}", "evelyn"), ("(C)", "c"), ("even", "even"), ("2x", "")]
        {
            assert_eq!(plain(text).words, words, "{text}");
        }
    }
}
