//! The structure of an answer: lists, sets, intervals, matrices, equations, and the formulas in them.

use super::budget::Budget;
use super::spelling::ROW;
use crate::pattern::pattern;

/// The parsed form of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A number, a formula, or something that is neither and is compared by its letters.
    Formula(String),
    /// A list with commas in brackets: a point, an interval, a set.
    Group { open: char, close: char, items: Vec<Shape> },
    /// A list with commas and no brackets; the order does not count.
    List(Vec<Shape>),
    /// A union of intervals.
    Union(Vec<Shape>),
    /// A matrix, row by row.
    Matrix(Vec<Vec<Shape>>),
    /// An equation or inequality. In a chain such as `x = 1 + 1 = 2` the first side and the last count.
    Relation { sign: Sign, left: String, right: Box<Shape> },
    /// Two inequalities in one direction: `low < middle ≤ high`.
    Between { low: Box<Shape>, signs: [Sign; 2], middle: String, high: Box<Shape> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Equal,
    In,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Sign {
    /// The sign with its sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::Greater => Self::Less,
            Self::AtMost => Self::AtLeast,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }
}

const SIGNS: [(&str, Sign); 7] = [
    ("\\le", Sign::AtMost),
    ("\\ge", Sign::AtLeast),
    ("\\ne", Sign::Unequal),
    ("\\in", Sign::In),
    ("<", Sign::Less),
    (">", Sign::Greater),
    ("=", Sign::Equal),
];

/// Structures within structures.
const DEPTH: u32 = 8;

/// The structure of a text in plain spelling; `None` beyond the budget.
pub(super) fn read(text: &str, depth: u32, budget: &Budget) -> Option<Shape> {
    // Every separator looks at every character.
    budget.spend(1 + text.len() as u64)?;
    let text = text.trim();
    // `+∞` is `∞`.
    let text = text.strip_prefix('+').map_or(text, str::trim_start);
    let formula = || Some(Shape::Formula(text.to_owned()));
    if depth > DEPTH {
        return formula();
    }
    let each = |parts: Vec<&str>| {
        parts.into_iter().map(|part| read(part, depth + 1, budget)).collect::<Option<Vec<_>>>()
    };
    if let Some(body) = matrix(text) {
        let rows = body.split(ROW).map(str::trim).filter(|row| !row.is_empty());
        return rows.map(|row| each(row.split('&').collect())).collect::<Option<_>>().map(Shape::Matrix);
    }
    let parts = split(text, "\\cup");
    if parts.len() > 1 {
        return each(parts).map(Shape::Union);
    }
    let parts = split(text, ",");
    if parts.len() > 1 {
        return Some(Shape::List(each(parts)?.into_iter().flat_map(Shape::members).collect()));
    }
    let (sides, signs) = sides(text);
    if let Some(last) = signs.last() {
        return relation(&sides, &signs, *last, depth, budget);
    }
    if let Some((open, inner, close)) = bracketed(text) {
        // `\left(\begin{array}…\end{array}\right)`
        if matrix(inner.trim()).is_some() {
            return read(inner, depth + 1, budget);
        }
        let parts = split(inner, ",");
        if parts.len() > 1 && (open, close) == ('(', ')') && has_double_sign(inner) {
            let points = signed(text).into_iter().map(|point| read(&point, depth + 1, budget));
            return points.collect::<Option<_>>().map(Shape::List);
        }
        if parts.len() > 1 || open == '{' {
            let mut items = each(parts)?;
            if open == '{' {
                items = items.into_iter().flat_map(Shape::members).collect();
            }
            return Some(Shape::Group { open, close, items });
        }
    }
    if let Some(interval) = named_interval(text) {
        return read(interval, depth + 1, budget);
    }
    if has_double_sign(text) {
        let [upper, lower] = both_signs(text).map(|text| read(&text, depth + 1, budget));
        return Some(Shape::List(vec![upper?, lower?]));
    }
    formula()
}

/// The interval of a variable, `t(0,4]`. Only different brackets tell it from a function's value.
fn named_interval(text: &str) -> Option<&str> {
    let interval = text.strip_prefix(|c: char| c.is_ascii_alphabetic())?.trim_start();
    let (open, inner, close) = bracketed(interval)?;
    let is_interval = matches!((open, close), ('(', ']') | ('[', ')')) && split(inner, ",").len() == 2;
    is_interval.then_some(interval)
}

fn has_double_sign(text: &str) -> bool {
    text.contains("\\pm") || text.contains("\\mp")
}

/// A text with the upper signs, and with the lower ones.
fn both_signs(text: &str) -> [String; 2] {
    [("+", "-"), ("-", "+")].map(|(plus, minus)| text.replace("\\pm", plus).replace("\\mp", minus))
}

/// The points that a point with ± stands for: where there is no ∓, each ± has a sign of its own.
fn signed(text: &str) -> Vec<String> {
    let count = text.matches("\\pm").count();
    if text.contains("\\mp") || !(2..=4).contains(&count) {
        return both_signs(text).into();
    }
    (0..count).fold(vec![text.to_owned()], |texts, _| {
        texts.iter().flat_map(|text| ["+", "-"].map(|sign| text.replacen("\\pm", sign, 1))).collect()
    })
}

/// An equation or inequality of these sides.
fn relation(sides: &[&str], signs: &[Sign], sign: Sign, depth: u32, budget: &Budget) -> Option<Shape> {
    let (first, last) = (sides[0].trim(), sides[sides.len() - 1]);
    let shape = |text: &str| read(text, depth + 1, budget).map(Box::new);
    let between = |low: &str, signs, high: &str| {
        let middle = sides[1].trim().to_owned();
        Some(Shape::Between { low: shape(low)?, signs, middle, high: shape(high)? })
    };
    match *signs {
        [one @ (Sign::Less | Sign::AtMost), two @ (Sign::Less | Sign::AtMost)] => {
            return between(first, [one, two], last);
        }
        [one @ (Sign::Greater | Sign::AtLeast), two @ (Sign::Greater | Sign::AtLeast)] => {
            return between(last, [two.mirrored(), one.mirrored()], first);
        }
        _ => {}
    }
    let all_equal = signs.iter().all(|sign| *sign == Sign::Equal);
    let left = if all_equal { first } else { sides[sides.len() - 2].trim() };
    Some(Shape::Relation { sign, left: left.to_owned(), right: shape(last)? })
}

/// A text at its signs of relations outside all brackets.
fn sides(text: &str) -> (Vec<&str>, Vec<Sign>) {
    let (mut sides, mut signs, mut depth, mut start) = (Vec::new(), Vec::new(), 0i32, 0);
    let mut skip = 0;
    for (at, c) in text.char_indices() {
        if at < skip {
            continue;
        }
        let rest = &text[at..];
        if depth == 0
            && let Some((spelling, sign)) = SIGNS.iter().find(|(spelling, _)| begins(rest, spelling))
        {
            sides.push(&text[start..at]);
            signs.push(*sign);
            start = at + spelling.len();
            skip = start;
            continue;
        }
        depth += level(c);
    }
    sides.push(&text[start..]);
    (sides, signs)
}

/// Parts of a text at a separator outside all brackets.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in text.char_indices() {
        if depth == 0 && at >= start && begins(&text[at..], separator) {
            parts.push(&text[start..at]);
            start = at + separator.len();
            continue;
        }
        depth += level(c);
    }
    parts.push(&text[start..]);
    parts
}

/// Whether a text begins with a sign; a command ends where its letters end.
fn begins(text: &str, sign: &str) -> bool {
    text.strip_prefix(sign)
        .is_some_and(|rest| !sign.starts_with('\\') || !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

fn level(c: char) -> i32 {
    i32::from("([{".contains(c)) - i32::from(")]}".contains(c))
}

/// A text that one pair of brackets encloses; `\{` is `{` here, and a group's own braces are no brackets.
fn bracketed(text: &str) -> Option<(char, &str, char)> {
    let set = text.strip_prefix("\\{").and_then(|text| text.strip_suffix("\\}"));
    if let Some(inner) = set {
        return Some(('{', inner, '}'));
    }
    let (open, close) = (text.chars().next()?, text.chars().next_back()?);
    if !"([".contains(open) || !")]".contains(close) || text.len() < 2 {
        return None;
    }
    let inner = &text[1..text.len() - 1];
    let mut depth = 0i32;
    let stays_inside = inner.chars().all(|c| {
        depth += level(c);
        depth >= 0
    });
    (stays_inside && depth == 0).then_some((open, inner, close))
}

/// The rows of a matrix. A determinant is none.
fn matrix(text: &str) -> Option<&str> {
    let body = text.strip_prefix("\\begin{")?;
    let (kind, body) = body.split_once('}')?;
    let body = body.strip_suffix(&format!("\\end{{{kind}}}"))?;
    if kind.eq_ignore_ascii_case("vmatrix") {
        return None;
    }
    // `array` has an argument that aligns its columns.
    Some(if body.starts_with('{') { body.split_once('}')?.1 } else { body })
}

impl Shape {
    /// Those of a list, or itself.
    pub(super) fn members(self) -> Vec<Self> {
        match self {
            Self::List(members) => members,
            other => vec![other],
        }
    }

    /// Whether a relation has one side only: `≥ 5`.
    pub(super) fn is_nameless(&self) -> bool {
        matches!(self, Self::Relation { left, right, .. } if left.is_empty() || right.is_empty())
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Formula(text) if text.is_empty())
    }

    /// The interval of a variable that inequalities bound.
    pub(super) fn interval(&self) -> Option<Self> {
        let infinite = |sign: &str| Box::new(Self::Formula(format!("{sign}\\infty")));
        let (low, [below, above], high) = match self {
            Self::Between { low, signs, middle, high } if is_name(middle) => {
                (low.clone(), *signs, high.clone())
            }
            Self::Relation { sign, left, right } if is_name(left) && !right.is_empty() => match sign {
                Sign::Less | Sign::AtMost => (infinite("-"), [Sign::Less, *sign], right.clone()),
                Sign::Greater | Sign::AtLeast => (right.clone(), [sign.mirrored(), Sign::Less], infinite("")),
                _ => return None,
            },
            Self::Relation { sign, left, right } if !left.is_empty() => {
                let Self::Formula(name) = &**right else { return None };
                let number = Box::new(Self::Formula(left.clone()));
                let mirrored = Self::Relation { sign: sign.mirrored(), left: name.clone(), right: number };
                return if is_name(name) { mirrored.interval() } else { None };
            }
            _ => return None,
        };
        let open = if below == Sign::Less { '(' } else { '[' };
        let close = if above == Sign::Less { ')' } else { ']' };
        Some(Self::Group { open, close, items: vec![*low, *high] })
    }
}

/// Whether a side of an equation only names the other: a variable, a function's value, a derivative, words, a tuple of
/// names. `2x = 10` says what 2x is and not that the answer is 10.
pub(super) fn is_name(side: &str) -> bool {
    pattern!(NAME, {
        // A letter, a Greek one, a segment or an abbreviation in capitals, or a word; `xy` is a product.
        let base = r"(?:\\[a-zA-Z]+|[a-zA-Z]|[A-Z]{2,}|[a-zA-Z]{4,})";
        let mark = r"(?:_(?:\{(?:[^{}]|\{[^{}]*\})*\}|\\[a-zA-Z]+|[^\\{])|'|\^\{?\\prime\}?)*";
        let accent =
            r"(?:\\(?:angle|triangle|overline|vec|hat|bar|dot|ddot|tilde|widehat|mathbb|mathcal)\s*)?";
        let symbol = format!(r"{accent}\{{?\s*{base}\s*\}}?{mark}");
        // Without an operator in it: `x(x+1)` is a product.
        let of = r"(?:(?:\^\{?-1\}?)?\([^()+*/-]*\))?";
        let derivative = r"\\frac\s*\{\s*(?:d|\\partial)[^{}]*\}\s*\{\s*(?:d|\\partial)[^{}]*\}";
        let one = format!(r"(?:{symbol}\s*{of}|{derivative})");
        let tuple = format!(r"\(\s*{one}(?:\s*,\s*{one})*\s*\)");
        format!(r"^(?:{one}(?:\s*:\s*{one})*|\|\s*{one}\s*\||{tuple})?$")
    });
    pattern!(
        FUNCTION,
        r"\\(?:frac|sqrt|cdot|times|sin|cos|tan|cot|sec|csc|ln|log|lg|exp|pm|infty|pi|lfloor|lceil)\b"
    );
    let side = side.trim();
    NAME.is_match(side) && (side.starts_with("\\frac") || !FUNCTION.is_match(side))
}
