//! Mathematical equality of two answers, however they are written.

use num_bigint::BigInt;
use num_traits::{Pow, Signed};

use super::budget::{Budget, Cost};
use super::evaluate::{evaluate, is_of_number};
use super::plain::{Plain, plain};
use super::points::{ENOUGH, Point};
use super::shape::{Shape, Sign, is_name, read};
use super::value::{Rational, Value};
use crate::pattern::pattern;

/// Longer texts are compared by their letters only.
const LONGEST: usize = 10_000;

/// Whether the answer found equals the key.
pub fn equal(found: &str, key: &str) -> bool {
    compare(found, key).0
}

/// Whether two answers are equal, and what the comparison took.
fn compare(found: &str, key: &str) -> (bool, Cost) {
    if found.trim() == key.trim() {
        return (true, Cost::default());
    }
    if found.len() > LONGEST || key.len() > LONGEST {
        return (false, Cost::default());
    }
    let comparison = Comparison { budget: Budget::new() };
    let is_equal = comparison.answers(&plain(found), &plain(key)).unwrap_or(false);
    (is_equal, comparison.budget.cost())
}

/// A text without blanks but those between numbers: `7 8` is not `78`.
fn squeezed(text: &str) -> String {
    text.split_whitespace().fold(String::new(), |mut squeezed, part| {
        if squeezed.ends_with(is_of_number) && part.starts_with(is_of_number) {
            squeezed.push(' ');
        }
        squeezed + part
    })
}

/// A comparison of two answers. `None` of its methods means that the budget is spent.
struct Comparison {
    budget: Budget,
}

impl Comparison {
    fn answers(&self, found: &Plain, key: &Plain) -> Option<bool> {
        let are_symbols = found.is_symbol() && key.is_symbol();
        if !are_symbols && !found.words.is_empty() && found.words == key.words {
            return Some(true);
        }
        if self.texts(&found.maths, &key.maths)? {
            return Some(true);
        }
        // A hundredth of one percentage is no other percentage, and five million are no five billion.
        if found.is_scaled && key.is_scaled {
            return Some(false);
        }
        // One side in its other reading; both would make 5 N of 5 K.
        for (found, key) in
            [(Some(&found.maths), key.other.as_ref()), (found.other.as_ref(), Some(&key.maths))]
        {
            if let (Some(found), Some(key)) = (found, key)
                && self.texts(found, key)?
            {
                return Some(true);
            }
        }
        Some(false)
    }

    fn texts(&self, one: &str, other: &str) -> Option<bool> {
        if one.is_empty() || other.is_empty() {
            return Some(false);
        }
        if squeezed(one) == squeezed(other) {
            return Some(true);
        }
        self.shapes(&read(one, 0, &self.budget)?, &read(other, 0, &self.budget)?)
    }

    fn shapes(&self, one: &Shape, other: &Shape) -> Option<bool> {
        self.budget.spend(1)?;
        match (one, other) {
            (
                Shape::Relation { sign, left, right },
                Shape::Relation { sign: other_sign, left: other_left, right: other_right },
            ) => {
                // `≥ 5` bounds whatever the other answer bounds.
                if (one.is_nameless() || other.is_nameless())
                    && let (Some(one), Some(other)) = (one.interval(), other.interval())
                {
                    return self.shapes(&one, &other);
                }
                self.relations((*sign, left, right), (*other_sign, other_left, other_right))
            }
            (
                Shape::Between { low, signs, middle, high },
                Shape::Between { low: other_low, signs: other_signs, middle: other_middle, high: other_high },
            ) => Some(
                signs == other_signs
                    && self.formulas(middle, other_middle)?
                    && self.shapes(low, other_low)?
                    && self.shapes(high, other_high)?,
            ),
            (bounded @ (Shape::Between { .. } | Shape::Relation { .. }), group @ Shape::Group { .. })
            | (group @ Shape::Group { .. }, bounded @ (Shape::Between { .. } | Shape::Relation { .. }))
                if bounded.interval().is_some() =>
            {
                // `-2 < x < 3` is `(-2, 3)`.
                bounded.interval().map_or(Some(false), |interval| self.shapes(&interval, group))
            }
            // `x = 5` is the same answer as `5`, and so is `2 + 3 = 5`. A key that says `m + n = 7` asks for the equation.
            (Shape::Relation { sign: Sign::Equal | Sign::In, left, right }, key) => {
                let is_said = is_name(left) || self.is_value(left, right)? || self.is_quantity(left, right);
                Some(is_said && self.shapes(right, key)?)
            }
            (found, Shape::Relation { sign: Sign::Equal | Sign::In, left, right }) => {
                Some((is_name(left) || self.is_value(left, right)?) && self.shapes(found, right)?)
            }
            (Shape::Formula(one), Shape::Formula(other)) => self.formulas(one, other),
            (
                Shape::Group { open, close, items },
                Shape::Group { open: other_open, close: other_close, items: others },
            ) => {
                if open != other_open || close != other_close {
                    return Some(false);
                }
                if *open == '{' { self.unordered(items, others) } else { self.in_order(items, others) }
            }
            // `x < 1 or x > 2` is a union of intervals.
            (Shape::List(bounds), Shape::Union(others)) | (Shape::Union(others), Shape::List(bounds)) => {
                let intervals: Option<Vec<Shape>> = bounds.iter().map(Shape::interval).collect();
                intervals.map_or(Some(false), |intervals| self.unordered(&intervals, others))
            }
            (Shape::Group { open: '{', items, .. } | Shape::List(items), Shape::List(others))
            | (Shape::List(items), Shape::Group { open: '{', items: others, .. })
            | (Shape::Union(items), Shape::Union(others)) => self.unordered(items, others),
            (Shape::Group { open: '{', items, .. }, key @ Shape::Formula(_)) => {
                Some(items.len() == 1 && self.shapes(&items[0], key)?)
            }
            (found @ Shape::Formula(_), Shape::Group { open: '{', items, .. }) => {
                Some(items.len() == 1 && self.shapes(found, &items[0])?)
            }
            (Shape::Matrix(rows), Shape::Matrix(others)) => {
                if rows.len() != others.len() {
                    return Some(false);
                }
                for (row, other) in rows.iter().zip(others) {
                    if !self.in_order(row, other)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            _ => Some(false),
        }
    }

    fn in_order(&self, items: &[Shape], others: &[Shape]) -> Option<bool> {
        if items.len() != others.len() {
            return Some(false);
        }
        for (one, other) in items.iter().zip(others) {
            if !self.shapes(one, other)? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether two lists have the same length and their elements can be paired.
    fn unordered(&self, items: &[Shape], others: &[Shape]) -> Option<bool> {
        if items.len() != others.len() {
            return Some(false);
        }
        let mut left: Vec<&Shape> = others.iter().collect();
        for item in items {
            let mut partner = None;
            for (at, other) in left.iter().enumerate() {
                if self.shapes(item, other)? {
                    partner = Some(at);
                    break;
                }
            }
            let Some(at) = partner else { return Some(false) };
            left.swap_remove(at);
        }
        Some(true)
    }

    /// Whether an equation says what a constant is worth.
    fn is_value(&self, left: &str, right: &Shape) -> Option<bool> {
        let Shape::Formula(right) = right else { return Some(false) };
        let (_, contents) = evaluate(left, &Point::first(), &self.budget);
        Some(contents.variables.is_empty() && self.formulas(left, right)?)
    }

    /// Whether an equation says what an expression is worth, and not what its only variable has to be: `m + n = 7` and
    /// `\tan A = 2`, but not `2x = 10`. With 0 on the right it may be a line or a curve.
    fn is_quantity(&self, left: &str, right: &Shape) -> bool {
        let Shape::Formula(right) = right else { return false };
        let [(_, left), (value, right)] =
            [left, right].map(|side| evaluate(side, &Point::first(), &self.budget));
        let is_solvable = left.variables.len() == 1 && left.has_plain_variable;
        let is_value = right.variables.is_empty() && value.is_some_and(|value| !value.is_zero());
        !left.variables.is_empty() && !is_solvable && is_value
    }

    fn relations(
        &self,
        (sign, left, right): (Sign, &str, &Shape),
        (other_sign, other_left, other_right): (Sign, &str, &Shape),
    ) -> Option<bool> {
        let (Shape::Formula(right), Shape::Formula(other_right)) = (right, other_right) else {
            let is_same = sign == other_sign && self.formulas(left, other_left)?;
            return Some(is_same && self.shapes(right, other_right)?);
        };
        if sign == other_sign && self.formulas(left, other_left)? && self.formulas(right, other_right)? {
            return Some(true);
        }
        if sign.mirrored() == other_sign
            && self.formulas(right, other_left)?
            && self.formulas(left, other_right)?
        {
            return Some(true);
        }
        if sign == Sign::Equal && other_sign == Sign::Equal {
            return self.equations((left, right), (other_left, other_right));
        }
        Some(false)
    }

    /// Whether the differences of the sides are in the same proportion everywhere: `y = 2x` and `2x - y = 0`.
    fn equations(&self, one: (&str, &str), other: (&str, &str)) -> Option<bool> {
        let difference = |(left, right): (&str, &str), point: &Point| {
            let (left, contents) = evaluate(left, point, &self.budget);
            let (right, more) = evaluate(right, point, &self.budget);
            let difference = left.zip(right).and_then(|(left, right)| left.minus(&right, &self.budget));
            (difference, contents.and(more))
        };
        let first = Point::first();
        let contents = difference(one, &first).1.and(difference(other, &first).1);
        let mut proportion: Option<Value> = None;
        let mut agreed = 0;
        for point in Point::all(&contents) {
            self.budget.spend(1)?;
            let (Some(one), Some(other)) = (difference(one, &point).0, difference(other, &point).0) else {
                continue;
            };
            if one.is_zero() && other.is_zero() {
                continue;
            }
            if one.is_zero() || other.is_zero() {
                return Some(false);
            }
            let Some(ratio) = one.over(&other, &self.budget) else { continue };
            if point.is_negative() && !ratio.is_real() {
                continue;
            }
            if proportion.get_or_insert_with(|| ratio.clone()).matches(&ratio) {
                agreed += 1;
            } else {
                return Some(false);
            }
        }
        Some(agreed > ENOUGH)
    }

    fn formulas(&self, one: &str, other: &str) -> Option<bool> {
        self.budget.spend((one.len() + other.len()) as u64 / 16)?;
        if squeezed(one) == squeezed(other) {
            return Some(true);
        }
        let first = Point::first();
        let (value, contents) = evaluate(one, &first, &self.budget);
        let (other_value, more) = evaluate(other, &first, &self.budget);
        let contents = contents.and(more);
        if contents.variables.is_empty() {
            let (Some(value), Some(other_value)) = (value, other_value) else { return Some(false) };
            return Some(
                value.matches(&other_value)
                    || self.is_rounded(one, &value, &other_value)
                    || self.is_rounded(other, &other_value, &value),
            );
        }
        let mut agreed = 0;
        for point in Point::all(&contents) {
            self.budget.spend(1)?;
            let at_point = |text| evaluate(text, &point, &self.budget).0;
            let Some(value) = at_point(one) else { continue };
            let Some(other_value) = at_point(other) else { continue };
            if point.is_negative() && !(value.is_real() && other_value.is_real()) {
                continue;
            }
            if !value.matches(&other_value) {
                return Some(false);
            }
            agreed += 1;
        }
        self.budget.spend(1)?;
        Some(agreed >= ENOUGH)
    }

    /// Whether the first text is a decimal fraction of ten digits or more, and the other value rounded to its last place.
    fn is_rounded(&self, text: &str, value: &Value, other: &Value) -> bool {
        pattern!(DECIMAL, r"^\s*-?0*(\d*)\.(\d+)\s*$");
        let Some(found) = DECIMAL.captures(text) else { return false };
        let (whole, places) = (&found[1], &found[2]);
        let digits =
            if whole.is_empty() { places.trim_start_matches('0').len() } else { whole.len() + places.len() };
        let Some(Value::Exact(difference)) = value.minus(other, &self.budget) else { return false };
        // Half a unit of the last place.
        let half = Rational::new(1.into(), BigInt::from(2) * Pow::pow(BigInt::from(10), places.len()));
        digits >= 10 && difference.abs() <= half
    }
}

#[cfg(test)]
#[path = "equality_tests.rs"]
mod tests;
