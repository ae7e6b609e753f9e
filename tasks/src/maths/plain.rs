//! An answer as mathematics without the words and units beside it, or as words.

use regex::Captures;

use super::beside::{Said, is_denied, said, with_signs};
use super::functions;
use super::spelling::{TYPEFACE, spelling, without_commands};
use crate::pattern::pattern;

/// An answer in normalised spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    /// The mathematics; empty if there is none.
    pub(super) maths: String,
    /// What it may also mean: `17.5\%` is 17.5 and 0.175, `5 N` a product and five newtons, `100,200` a number and a list.
    /// It counts if it equals the other answer's first reading.
    pub(super) other: Option<String>,
    /// The words in small letters without blanks; empty unless the answer may be words, or denies a number.
    pub(super) words: String,
    /// Whether the two readings differ by what scales a number: per cent, millions.
    pub(super) is_scaled: bool,
}

impl Plain {
    /// An answer that is compared by its words only.
    fn of_words(text: &str) -> Self {
        Self { maths: String::new(), other: None, words: letters(text), is_scaled: false }
    }

    /// An answer that denies a formula. All signs count: `not 2^3` is not `not 23`.
    fn of_denial(text: &str) -> Self {
        let text: String = text.split_whitespace().collect();
        let words = text.trim_end_matches(|c| ".,;:".contains(c)).to_lowercase();
        Self { maths: String::new(), other: None, words, is_scaled: false }
    }

    /// Whether it is one or two letters, which may be variables: `R` is not `r`. `No` is a word.
    pub(super) fn is_symbol(&self) -> bool {
        let letters: String = self.maths.split_whitespace().collect();
        matches!(letters.chars().count(), 1..=2) && !letters.eq_ignore_ascii_case("no")
    }
}

pattern!(NAMES, {
    let name = format!(r"\s*(?:{TYPEFACE}|([a-zA-Z]+))\s*");
    format!("^{name}={name}$")
});
// `\textbf{(C)}\ 5`: an option and its value.
pattern!(CHOICE, {
    let value = r"-?(?:\d|\\(?:frac|sqrt|pi)\b)";
    format!(
        r"^\s*(?:\\(?:text|math)(?:bf|rm)?\s*\{{\s*\(([A-E])\)(?:\s*\}}\s+|\s+\}})|\(([A-E])\)\s+){value}"
    )
});
// With the power of a unit behind it.
pattern!(WORDS, format!(r"{TYPEFACE}(?:\^(?:\{{-?\d\}}|-?\d))?"));
pattern!(ONLY_TYPEFACE, format!(r"^\s*{TYPEFACE}[\s.]*$"));
pattern!(NEGATIVE, r"(?i)\b(?:negative|minus)\s+(\.?\d|\\frac)");
// More than a variable or two, and no argument: `\begin{pmatrix}`.
pattern!(WORD, r"(?:^|[^a-zA-Z\\{])[a-zA-Z]{3,}");
// Units in both places.
pattern!(UNITS_OVER_UNITS, r"\\frac\s*\{[\s/]*\}\s*\{[\s/]*\}");
// Thousands of one number. A blank behind the comma makes a list, unless what follows is no way to write a number.
pattern!(GROUPED, r"^-?\d{1,3}(?:,\d{3})+(?:\.\d+)?$");
pattern!(GROUPED_WIDELY, r"^-?\d{1,3}(?:,\s?\d{3})*,\s?0\d\d(?:,\s?\d{3})*(?:\.\d+)?$");
pattern!(APPROXIMATELY, r"\\approx\b|\\simeq\b|≈");
// Behind it words only.
pattern!(
    SCALED,
    r"(?i)^\s*(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)\s*~?(?:\\(?:text|mathrm|mbox|textrm)\s*\{)?\s*(hundred(?:\s+(?:thousand|million|billion))?|thousand|million|billion|trillion|dozen)\b((?:[a-z\s.{}$]|\\(?:text|mathrm|mbox|textrm)\b)*)$"
);
// More of the number.
pattern!(
    AND_MORE,
    r"(?i)^\s*(?:and\s+)?(?:a\s+)?(?:half|quarter|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty)\b"
);
/// What no unit of an answer is: an amount in thousands may be asked for, one in hundreds is not.
const HUNDRED: &str = "100";
const SCALES: [(&str, &str); 9] = [
    ("hundred", HUNDRED),
    ("hundred thousand", "100000"),
    ("hundred million", "100000000"),
    ("hundred billion", "100000000000"),
    ("thousand", "1000"),
    ("million", "1000000"),
    ("billion", "1000000000"),
    ("trillion", "1000000000000"),
    ("dozen", "12"),
];
// Words that make another number of the one beside them. `5 inches squared` is an area, and `9 quarters` are coins.
// Of a power nothing follows (`64 squared units`), and a remark on a number is not it: `12 (half of 24)`.
pattern!(ALTERED, {
    let ordinal = "(?:four|fif|six|seven|eigh|nin|ten|twelf|hundred|thousand)th";
    let power = r"\d[\s~}]*\b(?:squared|cubed)\b[\s.,;:)}$]*$";
    let parts = format!(
        r"\d[\s~}}]*\b(?:factorial|halves|thirds|{ordinal}s)\b|(?:^|[^\d.,/])1[\s~}}]*\b(?:half|third|{ordinal})\b"
    );
    let of = r"(?:^\D*|[-+*/=][^\d(]*)\b(?:root|square|cube|half|third|quarter|reciprocal|factorial|logarithm)\s+of\b[^\da-z]*\d";
    format!("(?i){power}|{parts}|{of}")
});
// Likewise, where they stand in a command: without one they are read as mathematics.
pattern!(ALTERING, r"^\s*(?:log|ln|sin|cos|tan|sqrt|pi)\s*$");
// A number and a unit without a command around it.
pattern!(
    UNIT,
    r"^(-?[\d.,/ ]*\d)\s+(?:[a-zA-Z]{3,}|cm|mm|km|kg|mg|mL|ml|Hz|eV|ft|in|nm|pm|am|hr|mi|lb|oz)\b[a-zA-Z/ ]*(?:\^\d)?$"
);
// An expression of numbers, and behind a blank what may be a unit: symbols with a stroke between them, a symbol that is
// hardly a variable, or words. Small single letters are variables.
pattern!(SYMBOL, {
    let numbers = r"-?(?:[\d.,/ +()^{}*-]|\\(?:times|cdot|frac|sqrt|pi)\b)*[\d)}]";
    let power = r"(?:\^\{?-?\d\}?)?";
    let unit = format!(
        r"(?:[kcmMGnμ]?(?:m|g|s|A|K|mol|N|J|W|V|Pa|Hz|C|T|eV|L)|min|hr|h|day|yr|ft|in|mi|lb|rad|deg){power}"
    );
    let compound = format!(r"(?:{unit}\s?[/*]\s?)+{unit}");
    let symbol = r"[NKJWV]|[kMG]?(?:Pa|Hz|N|J|W|eV|\\Omega)";
    let words = "[a-z]{3,}(?: [a-z]{2,})*";
    format!(r"^({numbers})\s+(?:{compound}|{symbol}|{words})\s*$")
});
pattern!(TIME, r"^(\d{1,2}(?::\d{2})?)\s*(?:[AaPp]\.?\s?[Mm])$");
// `2am` and `x^2 am` may be products.
pattern!(HALF_DAY, r"(\d:\d\d\s*|^\s*\d{1,2}\s+)([AaPp])(?:[Mm]|\.\s?[Mm])\b\.?");
pattern!(STROKE, r"^\s*[a-zA-Z]+\s?/\s?[a-zA-Z]+[\s.]*$");
pattern!(MIXED, r"^(-?\d+)\s+(\d+/\d+)$");
pattern!(PERCENT, r"%[\s$.}]*$");
pattern!(NUMBER, r"^-?\d*\.?\d+$");

/// Normalises an answer.
pub(super) fn plain(text: &str) -> Plain {
    if let Some((exact, rounded)) = approximated(text) {
        let exact = plain(exact);
        return Plain { other: exact.other.or_else(|| Some(plain(rounded).maths)), ..exact };
    }
    let is_percentage = PERCENT.is_match(text);
    let text = spelling(text);
    let mut inside = text.as_str();
    while let Some(found) = ONLY_TYPEFACE.captures(inside).and_then(|found| found.get(1)) {
        inside = found.as_str();
    }
    if let Some(names) = equated_names(inside) {
        return Plain { maths: names, other: None, words: String::new(), is_scaled: false };
    }
    if inside.len() == text.len() {
        let formula = without_words(&text, is_percentage);
        let option = CHOICE.captures(&text).and_then(|found| found.get(1).or(found.get(2)));
        return Plain { words: option.map_or(formula.words, |option| letters(option.as_str())), ..formula };
    }
    // `\text{3 cm}` is a number and `\mathbf{a+b}` a formula; other texts are words.
    let has_digit = inside.contains(|c: char| c.is_ascii_digit());
    if !has_digit && !inside.contains(" - ") && !inside.contains(|c| "+=^/*<>\\".contains(c)) {
        return Plain::of_words(inside);
    }
    let formula = without_words(inside, is_percentage);
    if WORD.is_match(&formula.maths) {
        return Plain::of_words(inside);
    }
    let is_bare = !inside.contains(|c| "^\\()[]{}_*+".contains(c));
    let words = match formula.maths.as_str() {
        "" => formula.words,
        _ if has_digit && is_bare => letters(inside),
        // `N/A`
        _ if STROKE.is_match(inside) => {
            inside.split_whitespace().collect::<String>().trim_end_matches('.').to_lowercase()
        }
        _ => String::new(),
    };
    Plain { words, ..formula }
}

/// An equation between names: the words of `\text{MR} = \text{SRMC}` are not beside a formula, they are its sides.
fn equated_names(text: &str) -> Option<String> {
    let found = NAMES.captures(text)?;
    let side = |of: [usize; 2]| of.iter().find_map(|group| found.get(*group)).map(|name| name.as_str());
    let [left, right] = [side([1, 2])?, side([3, 4])?];
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphabetic() || c.is_whitespace());
    let squeezed = |name: &str| name.split_whitespace().collect::<String>();
    (is_name(left) && is_name(right)).then(|| format!("{} = {}", squeezed(left), squeezed(right)))
}

/// A number and its approximation, `\sqrt{2} \approx 1.41`. In `x \approx 1.41` nothing else is said of `x`.
fn approximated(text: &str) -> Option<(&str, &str)> {
    let mut signs = APPROXIMATELY.find_iter(text);
    let (Some(at), None) = (signs.next(), signs.next()) else { return None };
    let (exact, rounded) = (&text[..at.start()], &text[at.end()..]);
    let number = without_commands(exact.rsplit('=').next()?);
    let is_number = number.contains(|c: char| c.is_ascii_digit())
        && !number.contains(|c: char| c.is_alphabetic() && c != 'e' && c != 'i');
    // Nothing else is said behind it: `x = \sqrt{2} \approx 1.41, y = 3`.
    let is_alone = rounded.contains(|c: char| c.is_ascii_digit()) && !rounded.contains(['=', ',', ';']);
    (is_number && is_alone && level(exact) == 0).then_some((exact, rounded))
}

/// How many brackets are open at the end of a text.
fn level(text: &str) -> usize {
    let count = |brackets: &str| text.chars().filter(|c| brackets.contains(*c)).count();
    count("([{").abs_diff(count(")]}"))
}

/// A number of hundreds, thousands or millions.
fn scaled(text: &str) -> Option<Plain> {
    let found = SCALED.captures(text)?;
    if AND_MORE.is_match(&found[3]) {
        return Some(Plain::of_words(&WORDS.replace_all(text, "$1")));
    }
    let words = found[2].to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, scale) = SCALES.into_iter().find(|(word, _)| *word == words)?;
    let number = found[1].replace(',', "");
    let maths = format!("{number} \\cdot {scale}");
    let other = (scale != HUNDRED).then_some(number);
    Some(Plain { maths, other, words: String::new(), is_scaled: true })
}

/// Mathematics without the words beside it.
fn without_words(text: &str, is_percentage: bool) -> Plain {
    if let Some(scaled) = scaled(text) {
        return scaled;
    }
    let flat = WORDS.replace_all(text, "$1");
    let alters = |found: Captures| ALTERING.is_match(&found[1]);
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    if has_digit && (ALTERED.is_match(&flat) || WORDS.captures_iter(text).any(alters)) {
        return Plain::of_words(&flat);
    }
    let (mut spoken, mut denies) = (String::new(), false);
    let maths = WORDS.replace_all(text, |found: &Captures| {
        let (start, end) = found.get(0).map_or((0, 0), |place| (place.start(), place.end()));
        match said(&found[1], &text[..start], &text[end..]) {
            Said::Sign(sign) => return sign,
            Said::Denial => denies = true,
            Said::Nothing => {}
        }
        spoken += &found[1];
        " ".to_owned()
    });
    let has_digit = maths.contains(|c: char| c.is_ascii_digit());
    let maths = if has_digit { with_signs(&maths) } else { maths.clone() };
    if (denies && maths.contains(char::is_alphanumeric)) || (has_digit && is_denied(&maths)) {
        return Plain::of_denial(&flat);
    }
    let maths = HALF_DAY.replace_all(&maths, |found: &Captures| {
        format!("{} {}M", found[1].trim(), found[2].to_ascii_uppercase())
    });
    let maths = NEGATIVE.replace_all(&maths, " -$1");
    let maths = maths.replace(" or ", ", ").replace(" and ", ", ");
    let maths = UNITS_OVER_UNITS.replace_all(&maths, " ");
    let mut maths = maths.trim_end_matches(|c: char| c.is_whitespace() || ".,;:/".contains(c)).trim();
    maths = maths.strip_suffix("\\cdot").unwrap_or(maths).trim_end();
    if let Some(number) = UNIT.captures(maths).and_then(|found| found.get(1))
        && !begins_function(&maths[number.end()..])
    {
        maths = number.as_str();
    }
    let (maths, other) = readings(maths, is_percentage);
    if maths.chars().any(char::is_alphanumeric) {
        let words = if is_wordy(&maths) { letters(&maths) } else { String::new() };
        return Plain { maths, other, words, is_scaled: is_percentage };
    }
    let only_words = maths.chars().all(|c| c.is_whitespace() || "()".contains(c));
    Plain::of_words(if only_words { &spoken } else { "" })
}

/// What the text means in the first place, and what else.
fn readings(text: &str, is_percentage: bool) -> (String, Option<String>) {
    if GROUPED.is_match(text) || GROUPED_WIDELY.is_match(text) {
        let may_be_list = !text.contains([' ', '.']) && !text.contains(",0");
        return (text.replace([',', ' '], ""), may_be_list.then(|| text.to_owned()));
    }
    if is_percentage && NUMBER.is_match(text) {
        return (text.to_owned(), Some(format!("{text}/100")));
    }
    if let Some(found) = MIXED.captures(text) {
        let (above, below) = found[2].split_once('/').unwrap_or_default();
        return (format!("{}\\frac{{{above}}}{{{below}}}", &found[1]), None);
    }
    let without = [&SYMBOL, &TIME].iter().find_map(|unit| unit.captures(text)?.get(1));
    let without = without.filter(|without| !begins_function(&text[without.end()..]));
    (text.to_owned(), without.map(|without| without.as_str().to_owned()))
}

/// Whether what follows a number is a function of something, `sin x` or `sinx`, and no unit: `sec`, `secs`, `seconds`.
fn begins_function(text: &str) -> bool {
    functions::names().any(|name| text.trim_start().strip_prefix(name).is_some_and(begins_argument))
}

/// Whether a function's argument follows its name: something behind a blank, or a variable, which a plural's `s` is not.
fn begins_argument(text: &str) -> bool {
    let ends_variable = |rest: &str| {
        rest.is_empty() || rest.starts_with(' ') || functions::names().any(|name| rest.starts_with(name))
    };
    let variable = text.strip_prefix(|c: char| c.is_ascii_alphabetic() && c != 's');
    (text.starts_with(' ') && !text.trim().is_empty()) || variable.is_some_and(ends_variable)
}

/// Whether the text can be words without a command around them. Signs make a formula of it: `p - q`, `f'`, `(p)(q)`.
fn is_wordy(text: &str) -> bool {
    let is_of_words = |c: char| c.is_alphabetic() || c.is_whitespace() || "()-".contains(c);
    let is_hyphen = |sides: &[&str]| {
        let before = sides[0].chars().rev().take_while(|c| c.is_alphabetic()).count();
        let after = sides[1].chars().take_while(|c| c.is_alphabetic()).count();
        before >= 2 && after >= 2
    };
    let parts: Vec<&str> = text.split('-').collect();
    text.chars().all(is_of_words) && !text.contains(")(") && parts.windows(2).all(is_hyphen)
}

/// Whether these characters begin with more than a variable or two.
fn is_word(text: &mut impl Iterator<Item = char>) -> bool {
    text.take_while(|c| c.is_alphabetic()).take(3).count() == 3
}

/// Small letters and digits; the signs and separators of numbers, and hyphens between capitals: `AB-CD` is not `ABCD`.
fn letters(text: &str) -> String {
    let text: Vec<char> = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    let has_digit = text.iter().any(char::is_ascii_digit);
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let counts = |at: usize| {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let (previous, next) = (before.last().copied(), after.first().copied());
        let mut left = before.iter().rev().copied().skip_while(|c| c.is_whitespace()).peekable();
        let mut right = after.iter().copied().skip_while(|c| c.is_whitespace()).peekable();
        let (nearest, following) = (left.peek().copied(), right.peek().copied());
        let is_capital = |c: Option<char>| c.is_some_and(char::is_uppercase);
        match text[at] {
            c if c.is_alphanumeric() => true,
            '-' if is_capital(nearest) && is_capital(following) => true,
            '=' | '<' | '>' => has_digit,
            // `.5`, and not `No.5`
            '.' => is_digit(next) && previous.is_none_or(|c| !c.is_alphabetic()),
            ',' => is_digit(previous) && is_digit(next),
            ':' => is_digit(nearest) && is_digit(following),
            // `is -5`, and no hyphen or dash beside a word
            '+' | '-' if is_digit(next) && previous.is_none_or(|c| !c.is_alphabetic()) => true,
            '+' | '-' | '/' => {
                has_digit && following.is_some() && !is_word(&mut left) && !is_word(&mut right)
            }
            _ => false,
        }
    };
    let mut letters = String::new();
    let mut last = None;
    for at in (0..text.len()).filter(|at| counts(*at)) {
        // `5 20` is not `520`.
        let is_apart = last.is_some_and(|last: usize| last + 1 < at && text[last].is_ascii_digit());
        if is_apart && text[at].is_ascii_digit() {
            letters.push(' ');
        }
        letters.extend(text[at].to_lowercase());
        last = Some(at);
    }
    letters
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
            ("9.8 \\mathrm{~m/s^{2}}", "9.8"),
            ("9.8 \\frac{\\text{m}}{\\text{s}^2}", "9.8"),
            ("€5", "5"),
            ("12\\,345\\,678", "12345678"),
            ("1, 080", "1080"),
            ("100, 200", "100, 200"),
            ("2√3x²", "2\\sqrt{3}x^{2}"),
            ("3½", "3\\frac{1}{2}"),
            ("-3 1/2", "-3\\frac{1}{2}"),
            ("\\cos 60^\\circ", "\\cos 60°"),
            ("\\text{negative } 5", "- 5"),
            ("10:30\\text{ p.m.}", "10:30 PM"),
            ("\\frac{1}{2} ab", "\\frac{1}{2} ab"),
            ("3 meters per second", "3"),
            ("25\\%", "25"),
            ("x \\text{ or } y", "x ,  y"),
            ("x=3 and y=2", "x=3, y=2"),
            ("7.", "7"),
        ] {
            assert_eq!(plain(text).maths, maths, "{text}");
        }
        for (text, other) in [
            ("12 m/s", "12"),
            ("12 kg*m/s^{2}", "12"),
            ("100 K", "100"),
            ("50\\,\\Omega", "50"),
            ("3 \\times 10^8 units", "3 \\times 10^8"),
            ("100,200", "100,200"),
            ("17.5\\%", "17.5/100"),
            ("10:30 AM", "10:30"),
        ] {
            assert_eq!(plain(text).other.as_deref(), Some(other), "{text}");
        }
        for text in ["2 n", "1,000", "100, 200", "5", "x m/s", "2 x y", "2 a/b"] {
            assert_eq!(plain(text).other, None, "{text}");
        }
        for (text, words) in
            [("\\text{(C)}", "c"), ("\\text{Evelyn}", "evelyn"), ("(C)", "c"), ("even", "even"), ("2x", "")]
        {
            assert_eq!(plain(text).words, words, "{text}");
        }
    }
}
