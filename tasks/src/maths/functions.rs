//! The functions that occur in answers.

use num_complex::Complex64 as Number;

type Function = fn(Number) -> Number;

const FUNCTIONS: [(&str, Function); 22] = [
    ("arcsin", Number::asin),
    ("arccos", Number::acos),
    ("arctan", Number::atan),
    ("asin", Number::asin),
    ("acos", Number::acos),
    ("atan", Number::atan),
    ("sinh", Number::sinh),
    ("cosh", Number::cosh),
    ("tanh", Number::tanh),
    ("sin", Number::sin),
    ("cos", Number::cos),
    ("tan", Number::tan),
    ("cot", |x| x.cos() / x.sin()),
    ("sec", |x| x.cos().inv()),
    ("csc", |x| x.sin().inv()),
    ("exp", Number::exp),
    ("ln", Number::ln),
    ("lg", |x| x.log(10.0)),
    ("log", Number::ln),
    ("sqrt", |x| root(x, 2.0)),
    ("abs", |x| x.norm().into()),
    ("floor", |x| x.re.floor().into()),
];

/// All names; a longer name precedes the names that it begins or ends with.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// The function of this name.
pub(super) fn named(name: &str) -> Option<Function> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// A power; by repeated multiplication where the exponent is an integer, which rounds least.
pub(super) fn raise(base: Number, exponent: Number) -> Number {
    if exponent.im == 0.0 && exponent.re.fract() == 0.0 && exponent.re.abs() < 1e6 {
        return base.powi(exponent.re as i32);
    }
    if base.im == 0.0 && exponent.im == 0.0 && base.re >= 0.0 {
        base.re.powf(exponent.re).into()
    } else {
        base.powc(exponent)
    }
}

/// The real root where there is one.
pub(super) fn root(x: Number, index: f64) -> Number {
    let is_odd = index.fract() == 0.0 && index.rem_euclid(2.0) > 0.0;
    if x.im == 0.0 && x.re < 0.0 && is_odd {
        return Number::from(-(-x.re).powf(1.0 / index));
    }
    let is_square = (index - 2.0).abs() < f64::EPSILON;
    if is_square { x.sqrt() } else { raise(x, (1.0 / index).into()) }
}

/// The factorial: exact for integers, and the gamma function between them, so that it applies to variables too.
pub(super) fn factorial(n: Number) -> Option<Number> {
    let x = n.re;
    if n.im != 0.0 || !(-0.5..=170.0).contains(&x) {
        return None;
    }
    // Γ(x + 1) by Stirling's series at x + 20, brought back by Γ's recurrence; exact products for whole numbers.
    if x.fract() == 0.0 {
        return Some((1..=x as u32).map(f64::from).product::<f64>().into());
    }
    let z = x + 20.0;
    let series = 1.0 / (12.0 * z) - 1.0 / (360.0 * z.powi(3)) + 1.0 / (1260.0 * z.powi(5));
    let log = z * z.ln() - z + 0.5 * (2.0 * std::f64::consts::PI * z).ln() + series;
    let down: f64 = (1..=20).map(|k| (x + f64::from(k)).ln()).sum();
    Some((log - down).exp().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_between_whole_numbers_continue_them() {
        // Γ(3.5) = 15 √π / 8
        let half = factorial(Number::from(2.5)).unwrap().re;
        assert!((half - 15.0 * std::f64::consts::PI.sqrt() / 8.0).abs() < 1e-10, "{half}");
    }

    #[test]
    fn names_are_found_whole() {
        for name in names() {
            assert!(named(name).is_some());
            assert_eq!(names().find(|other| name.starts_with(other)), Some(name));
        }
    }
}
