//! One spelling for what LaTeX and plain text spell in several ways.

use std::borrow::Cow;

use regex::Captures;

use crate::pattern::pattern;

/// Spellings and their replacements. A longer spelling precedes those that it begins with.
const SPELLINGS: [(&str, &str); 52] = [
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
    ("\\degree", "°"),
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
    ("\\bm", ""),
    ("\\pmb", ""),
    ("\\mathstrut", ""),
    ("\\infin", "\\infty"),
    ("\\textdollar", ""),
    ("\\pounds", ""),
    ("\\euro", ""),
];

const CHARACTERS: [(&str, &str); 35] = [
    ("\\$", ""),
    ("$", ""),
    ("\\(", ""),
    ("\\)", ""),
    // The end of a row, `\\`, is `ROW` by now: that of `\\[2pt]` is no bracket.
    ("\\[", ""),
    ("\\]", ""),
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
    ("^{°}", "°"),
    ("^°", "°"),
    ("€", ""),
    ("£", ""),
    ("¥", ""),
    ("½", "\\frac{1}{2}"),
    ("¼", "\\frac{1}{4}"),
    ("¾", "\\frac{3}{4}"),
    ("⅓", "\\frac{1}{3}"),
    ("⅔", "\\frac{2}{3}"),
    ("Ω", "\\Omega "),
];

/// Replaces `\\`, which ends a row of a matrix and begins no command.
pub(super) const ROW: &str = "\u{1}";

/// Text, or mathematics in another typeface, and what is in it.
pub(super) const TYPEFACE: &str = r"\\(?:text(?:bf|rm|it|sf|tt|up|normal)?|emph|[mh]box|math(?:rm|bf|it|sf|tt)|rm|operatorname)\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}";

pattern!(COMMAND, r"\\[a-zA-Z]+");
// A single letter in another typeface is a variable; an upright one is a unit, unless it is a constant.
pattern!(FACE, r"\\(?:(?:mathbf|mathit|mathsf|bf|it)\s*\{\s*([a-zA-Z])\s*\}|mathrm\s*\{\s*([eid])\s*\})");
pattern!(NAMED, r"\\operatorname\s*\{([a-z]+)\}");
// With what makes an argument of it.
pattern!(IN_TYPEFACE, format!("([a-zA-Z^_])?{TYPEFACE}"));
pattern!(
    NUMERIC,
    r"^[+-]?\s*(?:\.?\d|\\(?:frac|sqrt|pi))(?:[\d.,:+*/^{}\s-]|\\(?:frac|sqrt|pi|cdot|times))*$"
);
pattern!(THOUSANDS, r"\d(?:\{,\}\d{3})+\b");
// `\frac{20,000}{\pi}`: an argument that is a number. `\{100,200\}` is a set.
pattern!(ARGUMENT, r"(?:^|[^\\_])\{-?\d{1,3}(?:,\d{3})+\}");
pattern!(
    REPEATING,
    r"(\d*\.\d*)(?:\\dot\s*\{?(\d)\}?(\d*)\\dot\s*\{?(\d)\}?|\\(?:bar|dot|overline)\s*(?:\{\s*(\d+)\s*\}|(\d)))"
);
pattern!(IN_BRACKETS, r"(\d\.)\((\d+)\)");
pattern!(SUBSCRIPT, format!(r"_\s*(?:{TYPEFACE}|\{{\s*{TYPEFACE}\s*\}})"));
pattern!(ROW_GAP, format!(r"{ROW}\s*\[\s*-?[\d.]+\s*(?:pt|mm|cm|em|ex|in|mu)\s*\]"));
pattern!(SET_OFF, r"\d\\,\d{3}(?:\\,\d{3})*");
// Thousands set off with blanks, and no mixed number: `3 100/7`.
pattern!(SPACED, r"\b(\d{1,3}(?: \d{3})+)($|[^\d/])");
pattern!(CHOOSE, r"\{([^{}]+)\\choose\b([^{}]+)\}");
pattern!(ROOT, r"√\s*(\d+(?:\.\d+)?|[a-zA-Z])");
pattern!(RAISED, r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+");
pattern!(ANGLE, r"\\(?:sin|cos|tan|cot|sec|csc)");

/// One spelling for what has several.
pub(super) fn spelling(text: &str) -> String {
    // Thousands set off with `,\!`, which a list never has.
    let text = text.trim().replace("\\\\", ROW).replace(",\\! ", "").replace(",\\!", "");
    let text = ROW_GAP.replace_all(&text, ROW);
    let text =
        THOUSANDS.replace_all(&text, |found: &Captures| found[0].replace("{,}", "")).replace("{,}", ",");
    let text = ARGUMENT.replace_all(&text, |found: &Captures| found[0].replace(',', ""));
    let text = REPEATING.replace_all(&text, "$1\\overline{$2$3$4$5$6}");
    let text = IN_BRACKETS.replace_all(&text, "$1\\overline{$2}");
    let text = SUBSCRIPT.replace_all(&text, |found: &Captures| {
        let name = found.get(1).or(found.get(2)).map_or("", |name| name.as_str());
        format!("_{{{}}}", name.split_whitespace().collect::<String>())
    });
    let text = SET_OFF.replace_all(&text, |found: &Captures| found[0].replace("\\,", ""));
    let text = COMMAND.replace_all(&text, |found: &Captures| {
        let stands_for = SPELLINGS.iter().find(|(spelling, _)| *spelling == &found[0]);
        stands_for.map_or(found[0].to_owned(), |(_, stands_for)| (*stands_for).to_owned())
    });
    let text = ROOT.replace_all(&text, "\\sqrt{$1}").replace('√', "sqrt");
    let text = RAISED.replace_all(&text, |found: &Captures| {
        let digits = found[0].chars().map(|c| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|raised| raised == c));
        let digit = |value: Option<usize>| value.map_or("-".to_owned(), |value| value.to_string());
        format!("^{{{}}}", digits.map(digit).collect::<String>())
    });
    let mut text = CHARACTERS.iter().fold(text.into_owned(), |text, (from, to)| text.replace(from, to));
    // A degree counts under a sine; elsewhere it is a unit.
    if !ANGLE.is_match(&text) {
        text = text.replace('°', "");
    }
    let text = SPACED.replace_all(&text, |found: &Captures| found[1].replace(' ', "") + &found[2]);
    let text = CHOOSE.replace_all(&text, "\\binom{$1}{$2}");
    let text = FACE.replace_all(&text, "$1$2");
    let text = IN_TYPEFACE.replace_all(&text, |found: &Captures| {
        let content = found[2].trim();
        let is_number =
            NUMERIC.is_match(content) && content.ends_with(|c: char| c.is_ascii_digit() || "}i".contains(c));
        match found.get(1) {
            _ if !is_number => found[0].to_owned(),
            Some(before) => format!("{}{{{content}}}", before.as_str()),
            // With its blanks: `2\text{ 1/2}`.
            None => found[2].to_owned(),
        }
    });
    NAMED.replace_all(&text, "\\$1 ").into_owned()
}

/// A text without its commands.
pub(super) fn without_commands(text: &str) -> Cow<'_, str> {
    COMMAND.replace_all(text, "")
}
