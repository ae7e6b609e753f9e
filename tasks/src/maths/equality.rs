//! Mathematical equality of two answers, however they are written.

use super::evaluate::{Value, evaluate};
use super::plain::{Plain, ROW, plain};

/// Points at which expressions with variables are compared.
const POINTS: u8 = 4;

/// Relative difference up to which numbers are taken for equal; whole numbers must be exactly.
const NEAR: f64 = 1e-6;

/// Longer texts are compared by their letters only.
const LONGEST: usize = 1000;

/// Whether the answer found equals the key.
pub fn equal(found: &str, key: &str) -> bool {
    if found.trim() == key.trim() {
        return true;
    }
    if found.len() > LONGEST || key.len() > LONGEST {
        return false;
    }
    let (found, key) = (plain(found), plain(key));
    if !found.words.is_empty() && found.words == key.words {
        return true;
    }
    let both = |Plain { maths: a, .. }: &Plain, Plain { maths: b, .. }: &Plain| {
        !a.is_empty() && !b.is_empty() && (squeezed(a) == squeezed(b) || read(a, 0).matches(&read(b, 0)))
    };
    both(&found, &key)
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The parsed form of an answer.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
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
    /// An equation or inequality.
    Relation { sign: &'static str, left: String, right: Box<Shape> },
}

const SIGNS: [&str; 9] = ["\\le ", "\\ge ", "\\ne ", "\\in ", "\\le", "\\ge", "<", ">", "="];

fn read(text: &str, depth: u32) -> Shape {
    let text = text.trim();
    let formula = || Shape::Formula(text.to_owned());
    if depth > 8 {
        return formula();
    }
    let each = |parts: Vec<&str>| parts.into_iter().map(|part| read(part, depth + 1)).collect::<Vec<_>>();
    if let Some(matrix) = matrix(text, depth) {
        return matrix;
    }
    let parts = split(text, "\\cup");
    if parts.len() > 1 {
        return Shape::Union(each(parts));
    }
    let parts = split(text, ",");
    if parts.len() > 1 {
        return Shape::List(each(parts).into_iter().flat_map(Shape::members).collect());
    }
    for sign in SIGNS {
        let parts = split(text, sign);
        if parts.len() > 1 {
            // In a chain such as `x = 1 + 1 = 2` the last link counts.
            let right = Box::new(read(parts[parts.len() - 1], depth + 1));
            return Shape::Relation {
                sign: sign.trim_end(),
                left: parts[parts.len() - 2].trim().to_owned(),
                right,
            };
        }
    }
    if let Some((open, inner, close)) = bracketed(text) {
        let parts = split(inner, ",");
        if parts.len() > 1 || open == '{' {
            let mut items = each(parts);
            if open == '{' {
                items = items.into_iter().flat_map(Shape::members).collect();
            }
            return Shape::Group { open, close, items };
        }
    }
    if text.contains("\\pm") || text.contains("\\mp") {
        let sign = |plus, minus| read(&text.replace("\\pm", plus).replace("\\mp", minus), depth + 1);
        return Shape::List(vec![sign("+", "-"), sign("-", "+")]);
    }
    formula()
}

/// Parts of a text at a separator outside all brackets.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start, mut at) = (Vec::new(), 0i32, 0, 0);
    while let Some(c) = text[at..].chars().next() {
        let ends = !separator.ends_with(char::is_alphabetic)
            || !text[at..].chars().nth(separator.len()).is_some_and(|next| next.is_ascii_alphabetic());
        if depth == 0 && text[at..].starts_with(separator) && ends {
            parts.push(&text[start..at]);
            at += separator.len();
            start = at;
            continue;
        }
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        at += c.len_utf8();
    }
    parts.push(&text[start..]);
    parts
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
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        depth >= 0
    });
    (stays_inside && depth == 0).then_some((open, inner, close))
}

fn matrix(text: &str, depth: u32) -> Option<Shape> {
    let body = text.strip_prefix("\\begin{")?;
    let (kind, body) = body.split_once('}')?;
    let body = body.strip_suffix(&format!("\\end{{{kind}}}"))?;
    // `array` has an argument that aligns its columns.
    let body = if body.starts_with('{') { body.split_once('}')?.1 } else { body };
    let rows = body.split(ROW).map(str::trim).filter(|row| !row.is_empty());
    Some(Shape::Matrix(
        rows.map(|row| row.split('&').map(|entry| read(entry, depth + 1)).collect()).collect(),
    ))
}

impl Shape {
    /// Those of a list, or itself.
    fn members(self) -> Vec<Self> {
        match self {
            Self::List(members) => members,
            other => vec![other],
        }
    }

    fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Relation { sign, left, right },
                Self::Relation { sign: other_sign, left: other_left, right: other_right },
            ) => relations_match((sign, left, right), (other_sign, other_left, other_right)),
            // `x = 5` is the same answer as `5`.
            (Self::Relation { sign: "=" | "\\in", left, right }, other)
            | (other, Self::Relation { sign: "=" | "\\in", left, right }) => {
                is_name(left) && right.matches(other)
            }
            (Self::Formula(one), Self::Formula(other)) => formulas_match(one, other),
            (
                Self::Group { open, close, items },
                Self::Group { open: other_open, close: other_close, items: others },
            ) => {
                let in_order = || {
                    items.len() == others.len()
                        && items.iter().zip(others).all(|(one, other)| one.matches(other))
                };
                open == other_open
                    && close == other_close
                    && if *open == '{' { unordered(items, others) } else { in_order() }
            }
            (Self::Group { open: '{', items, .. }, Self::List(others))
            | (Self::List(others), Self::Group { open: '{', items, .. }) => unordered(items, others),
            (Self::Group { open: '{', items, .. }, one @ Self::Formula(_))
            | (one @ Self::Formula(_), Self::Group { open: '{', items, .. }) => {
                items.len() == 1 && items[0].matches(one)
            }
            (Self::List(items), Self::List(others)) | (Self::Union(items), Self::Union(others)) => {
                unordered(items, others)
            }
            (Self::Matrix(rows), Self::Matrix(others)) => {
                let entries_match = |(row, other): (&Vec<Self>, &Vec<Self>)| {
                    row.len() == other.len() && row.iter().zip(other).all(|(one, other)| one.matches(other))
                };
                rows.len() == others.len() && rows.iter().zip(others).all(entries_match)
            }
            _ => false,
        }
    }
}

/// Whether the left side is only a name for the right side.
fn is_name(left: &str) -> bool {
    !left.chars().any(|c| "+-*".contains(c))
}

/// Whether two lists have the same length and their elements can be paired.
fn unordered(items: &[Shape], others: &[Shape]) -> bool {
    let mut left: Vec<&Shape> = others.iter().collect();
    items.len() == others.len()
        && items.iter().all(|item| {
            let partner = left.iter().position(|other| item.matches(other));
            partner.map(|at| left.swap_remove(at)).is_some()
        })
}

type Relation<'a> = (&'a str, &'a str, &'a Shape);

fn relations_match((sign, left, right): Relation, (other_sign, other_left, other_right): Relation) -> bool {
    let (Shape::Formula(right), Shape::Formula(other_right)) = (right, other_right) else {
        return sign == other_sign && formulas_match(left, other_left) && right.matches(other_right);
    };
    let mirrored = match sign {
        "<" => ">",
        ">" => "<",
        "\\le" => "\\ge",
        "\\ge" => "\\le",
        same => same,
    };
    let sides =
        |left: &str, right: &str| formulas_match(left, other_left) && formulas_match(right, other_right);
    (sign == other_sign && sides(left, right))
        || (mirrored == other_sign && sides(right, left))
        || (sign == "=" && other_sign == "=" && equations_match((left, right), (other_left, other_right)))
}

/// Whether the differences of the sides are in the same proportion everywhere.
fn equations_match(one: (&str, &str), other: (&str, &str)) -> bool {
    let difference = |(left, right): (&str, &str), point| {
        Some(evaluate(left, point)?.number - evaluate(right, point)?.number)
    };
    let ratio = |point| Some(difference(one, point)? / difference(other, point)?);
    let Some(first) = ratio(0).filter(|ratio| ratio.is_finite() && ratio.norm() > 0.0) else { return false };
    // A variable alone on one side of both is solved for: `y = 2x` and `y = 3x` differ, and so do `a = 5` and `b = 5`.
    (1..POINTS).all(|point| ratio(point).is_some_and(|ratio| (ratio / first - 1.0).norm() < NEAR))
}

fn formulas_match(one: &str, other: &str) -> bool {
    if squeezed(one) == squeezed(other) {
        return true;
    }
    (0..POINTS).all(|point| match (evaluate(one, point), evaluate(other, point)) {
        (Some(one), Some(other)) => values_match(one, other),
        _ => false,
    })
}

fn values_match(one: Value, other: Value) -> bool {
    let (a, b) = (one.number, other.number);
    let whole = |value: Value| value.is_constant && value.number.im == 0.0 && value.number.re.fract() == 0.0;
    if whole(one) && whole(other) {
        return a == b;
    }
    (a - b).norm() <= NEAR * a.norm().max(b.norm()) || (a - b).norm() < 1e-12
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_answer_in_two_spellings() {
        for (one, other) in [
            ("\\frac12", "0.5"),
            ("1/2", "\\dfrac{1}{2}"),
            ("(3, \\frac{\\pi}{2})", "\\left(3,\\pi/2\\right)"),
            ("x=5", "5"),
            ("1,-2", "-2, 1"),
            ("\\{1\\pm\\sqrt{5},-2\\}", "\\{-2, 1-\\sqrt{5}, 1+\\sqrt{5}\\}"),
            ("1 \\pm \\sqrt{19}", "1+\\sqrt{19}, 1-\\sqrt{19}"),
            ("(0,9) \\cup (9,36)", "(9,36)\\cup(0,9)"),
            ("x \\in [-2,7]", "[-2, 7]"),
            (
                "\\begin{pmatrix} -1/3 \\\\ 2/3 \\end{pmatrix}",
                "\\begin{bmatrix}-\\frac{1}{3}\\\\ \\frac23\\\\\\end{bmatrix}",
            ),
            ("y = 2x + 3", "y=3+2x"),
            ("y = 2x + 3", "2x - y + 3 = 0"),
            ("(a+5)(b+2)", "(b+2)(a+5)"),
            ("k \\geqslant 2", "2 \\le k"),
            ("\\text{(C)}", "C"),
            ("58,500", "58500"),
            ("6 - 5i", "-5i+6"),
            ("27.0", "27"),
            ("2, 3 \\text{ and } 5", "\\{5,3,2\\}"),
            ("f(x)=x^2", "x^2"),
            ("(-\\infty, 2) \\cup (3, \\infty)", "(-\\infty,2)\\cup(3,\\infty)"),
        ] {
            assert!(
                equal(one, other),
                "{one} and {other}: {:?} {:?}",
                read(&plain(one).maths, 0),
                read(&plain(other).maths, 0)
            );
            assert!(equal(other, one), "{other} and {one}");
        }
    }

    #[test]
    fn different_answers() {
        for (one, other) in [
            ("0.33", "1/3"),
            ("(1,2)", "(2,1)"),
            ("(1,2)", "[1,2]"),
            ("(1,2)", "1,2"),
            ("52_8", "52"),
            ("x=5", "x=6"),
            ("k \\ge 2", "k \\le 2"),
            ("y = 2x", "y = 3x"),
            ("1,1,2", "1,2,2"),
            ("\\text{even}", "\\text{odd}"),
            ("11111111100", "11111111101"),
            ("a+b", "a-b"),
            ("0", "5x - 7y + 4 = 0"),
            ("I(0)", "0"),
            ("-\\text{even}", "\\text{even}"),
            ("", "0"),
            ("\\text{ cm}", "5"),
        ] {
            assert!(!equal(one, other), "{one} and {other}");
            assert!(!equal(other, one), "{other} and {one}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_itself_and_none_breaks_the_grader(
            text in any::<String>(),
            odd in "[-+*/^_{}()\\[\\]|,.=<>0-9a-z !~$%°∞é]{0,40}",
            tex in "(\\\\(frac|sqrt|left|right|text|pm|cup|in|begin|end|log|sin|binom|le)|[{}()0-9x,^_ &])*",
        ) {
            for one in [&text, &odd, &tex] {
                prop_assert!(equal(one, one));
                for other in [&text, &odd, &tex] {
                    prop_assert_eq!(equal(one, other), equal(other, one), "{:?} {:?}", one, other);
                }
            }
        }
    }
}
