//! The functions that occur in answers.

use num_bigint::BigInt;
use num_complex::Complex64;
use num_traits::{One, Signed, ToPrimitive};

use super::budget::Budget;
use super::value::{LARGEST, Rational, Value};

type Function = fn(Complex64) -> Complex64;

const FUNCTIONS: [(&str, Function); 25] = [
    ("arcsinh", Complex64::asinh),
    ("arccosh", Complex64::acosh),
    ("arctanh", Complex64::atanh),
    ("arccot", |x| x.inv().atan()),
    ("arcsec", |x| x.inv().acos()),
    ("arccsc", |x| x.inv().asin()),
    ("arcsin", Complex64::asin),
    ("arccos", Complex64::acos),
    ("arctan", Complex64::atan),
    ("asin", Complex64::asin),
    ("acos", Complex64::acos),
    ("atan", Complex64::atan),
    ("sinh", Complex64::sinh),
    ("cosh", Complex64::cosh),
    ("tanh", Complex64::tanh),
    ("sin", Complex64::sin),
    ("cos", Complex64::cos),
    ("tan", Complex64::tan),
    ("cot", |x| x.cos() / x.sin()),
    ("sec", |x| x.cos().inv()),
    ("csc", |x| x.sin().inv()),
    ("exp", Complex64::exp),
    ("ln", Complex64::ln),
    ("lg", |x| x.ln() / std::f64::consts::LN_10),
    ("log", Complex64::ln),
];

/// Functions whose value is exact for some arguments.
const EXACT: [&str; 4] = ["sqrt", "abs", "floor", "ceil"];

/// All names; a longer name precedes the names that it begins or ends with.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name).chain(EXACT)
}

/// Whether there is a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    names().any(|known| known == name)
}

/// The function of this name at a point; a whole number as argument of `ln` and its like must not be 0.
pub(super) fn apply(name: &str, x: &Value, budget: &Budget) -> Option<Value> {
    match name {
        "sqrt" => root(x, 2, budget),
        "abs" => x.magnitude(),
        "floor" => x.floor(),
        "ceil" => ceiling(x),
        _ => {
            let (_, function) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
            let value = x.map(function)?;
            // Floating point makes 0 of values that are only too small.
            let is_never_zero = matches!(name, "exp" | "sec" | "csc");
            (!is_never_zero || !value.is_zero()).then_some(value)
        }
    }
}

/// The smallest whole number from a real one on.
pub(super) fn ceiling(x: &Value) -> Option<Value> {
    Some(x.clone().negated().floor()?.negated())
}

/// The real root where there is one, else the principal one; exact where it is rational.
pub(super) fn root(x: &Value, index: u32, budget: &Budget) -> Option<Value> {
    if let Value::Exact(number) = x
        && (index % 2 == 1 || !number.is_negative())
        && budget.afford(super::value::bits(number) / 16)
    {
        let [above, below] = [number.numer(), number.denom()].map(|part| part.nth_root(index));
        let exact = |root: &BigInt, of: &BigInt| num_traits::Pow::pow(root, index) == *of;
        if exact(&above, number.numer()) && exact(&below, number.denom()) {
            return Some(Value::Exact(Rational::new_raw(above, below)));
        }
    }
    let inverse = || Value::from(1).over(&Value::from(i64::from(index)), budget);
    if x.is_negative() {
        let positive = x.clone().negated().power(&inverse()?, budget)?;
        return match index {
            2 => positive.times(&Value::i(), budget),
            _ if index % 2 == 1 => Some(positive.negated()),
            _ => x.power(&inverse()?, budget),
        };
    }
    match index {
        2 if x.is_zero() => x.map(Complex64::sqrt),
        _ => x.power(&inverse()?, budget),
    }
}

/// The factorial: exact for whole numbers as long as it is short, and the gamma function between them, so that it
/// applies to variables too.
pub(super) fn factorial(n: &Value, budget: &Budget) -> Option<Value> {
    if let Some(whole) = n.whole() {
        let whole = whole.to_u32()?;
        // log₂ n! < n log₂ n
        let bits = u64::from(whole) * u64::from(32 - whole.leading_zeros());
        if bits <= LARGEST {
            budget.spend(u64::from(whole))?;
            let product = (1..=whole).fold(BigInt::one(), |product, factor| product * factor);
            return Some(Value::Exact(Rational::from_integer(product)));
        }
        if whole > 170 {
            return None;
        }
    }
    let (x, error) = n.real().filter(|(x, _)| x.abs() <= 170.0)?;
    budget.spend(16)?;
    // Γ(x + 1) = π / (sin(−πx) Γ(−x))
    let gamma = if x < -0.5 {
        use std::f64::consts::PI;
        PI / ((-PI * x).sin() * factorial_of_positive(-x - 1.0))
    } else {
        factorial_of_positive(x)
    };
    // The series is good to 1e-12; the logarithmic derivative is below 6, away from the poles.
    Value::near(gamma.into(), (1e-12 + 6.0 * error) * gamma.abs())
}

/// Γ(x + 1) by Stirling's series at x + 20, brought back by Γ's recurrence.
fn factorial_of_positive(x: f64) -> f64 {
    let z = x + 20.0;
    let series = 1.0 / (12.0 * z) - 1.0 / (360.0 * z.powi(3)) + 1.0 / (1260.0 * z.powi(5));
    let log = z * z.ln() - z + 0.5 * (2.0 * std::f64::consts::PI * z).ln() + series;
    let down: f64 = (1..=20).map(|k| (x + f64::from(k)).ln()).sum();
    (log - down).exp()
}

/// The binomial coefficient, 0 for whole numbers outside Pascal's triangle.
pub(super) fn binomial(n: &Value, k: &Value, budget: &Budget) -> Option<Value> {
    if let (Some(n), Some(k)) = (n.whole(), k.whole())
        && !n.is_negative()
        && (k.is_negative() || k > n)
    {
        return Some(Value::from(0));
    }
    let rest = factorial(&n.minus(k, budget)?, budget)?;
    factorial(n, budget)?.over(&factorial(k, budget)?.times(&rest, budget)?, budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_between_whole_numbers_continue_them() {
        let budget = Budget::new();
        // Γ(3.5) = 15 √π / 8, Γ(−1/2) = −2 √π
        for (twice, expected) in [(5, 15.0 / 8.0), (-3, -2.0)] {
            let half = Value::from(twice).over(&Value::from(2), &budget).unwrap();
            let (gamma, _) = factorial(&half, &budget).unwrap().real().unwrap();
            assert!((gamma - expected * std::f64::consts::PI.sqrt()).abs() < 1e-10, "{gamma}");
        }
        assert_eq!(factorial(&Value::from(-1), &budget), None);
        assert_eq!(factorial(&Value::from(20), &budget), Some(Value::from(2_432_902_008_176_640_000)));
    }

    #[test]
    fn names_are_found_whole() {
        for name in names() {
            assert!(is_function(name));
            assert_eq!(names().find(|other| name.starts_with(other)), Some(name));
        }
    }
}
