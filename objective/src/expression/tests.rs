//! Reading, printing, deriving: against fixed cases, random trees and random text.

#![allow(clippy::float_cmp, reason = "some results are exact, and these must be")]

use proptest::prelude::*;

use super::{Expression, MAX_DEPTH, MAX_LENGTH, Node, Operator, Point, Variable, derive};
use crate::{Error, TokenStats};

fn pull(text: &str) -> String {
    Expression::parse(text).unwrap().pull().to_string()
}

#[test]
fn pulls_come_out_as_one_would_write_them() {
    assert_eq!(pull("-log p"), "1");
    assert_eq!(pull("loss"), "1");
    assert_eq!(pull("-p"), "p");
    assert_eq!(pull("-p^10"), "10 * p^10");
    assert_eq!(pull("f_alpha(0.5)"), "p^0.5");
    assert_eq!(pull("f_alpha(0)"), "1");
    assert_eq!(pull("f_alpha(-1)"), "p^-1");
    assert_eq!(pull("f_alpha(sg(p))"), "p^sg(p)");
    assert_eq!(pull("-mean(p) * log p"), "mean(p)");
    assert_eq!(pull("-sg(p) * log p"), "sg(p)");
    assert_eq!(pull("-log p * (p >= 0.2)"), "p >= 0.2");
    assert_eq!(pull("-entropy / log(20) * log p"), "entropy / 2.995732273553991");
    assert_eq!(pull("-min(p / p_ref, 1.28)"), "if(p / p_ref <= 1.28, p / p_ref, 0)");
}

#[test]
fn minus_log_p_pulls_with_exactly_one_however_small_p_is() {
    for loss in [0.0, 1e-300, 1.0, 700.0, 1e4] {
        let token = TokenStats::new(loss, 0.0);
        assert!(Expression::parse("-log p").unwrap().pull().value(&token) == 1.0);
        assert!(Expression::parse("-log p").unwrap().value(&token) == loss);
    }
}

#[test]
fn alpha_zero_is_the_logarithm_and_its_neighbours_are_near() {
    let f = |alpha: f64| Expression::parse(&format!("f_alpha({alpha:?})")).unwrap();
    for loss in [0.0, 1e-3, 0.7, 5.0, 40.0, 800.0] {
        let token = TokenStats::new(loss, 0.0);
        assert!(f(0.0).value(&token) == loss && f(0.0).pull().value(&token) == 1.0);
        for alpha in [1e-12, -1e-12] {
            assert!((f(alpha).value(&token) - loss).abs() <= 1e-6 * loss);
            assert!((f(alpha).pull().value(&token) - 1.0).abs() <= 1e-8);
        }
    }
}

#[test]
fn binding_is_the_usual() {
    for (text, same) in [
        ("-p^2", "-(p^2)"),
        ("p^2^3", "p^(2^3)"),
        ("p - 1 - 2", "(p - 1) - 2"),
        ("-log p * 2", "(-(log(p))) * 2"),
        ("log p^2", "log(p^2)"),
        ("log log p", "log(log(p))"),
        ("1 - p >= 0.5 * 2", "(1 - p) >= (0.5 * 2)"),
        ("−p · 2", "-p * 2"),
        ("pow(p, 2)", "p^2"),
        ("p^-1", "p^(-1)"),
    ] {
        assert_eq!(Expression::parse(text).unwrap(), Expression::parse(same).unwrap(), "{text}");
    }
}

#[test]
fn errors_point_at_their_column() {
    for (text, column, part) in [
        ("", 1, "the end"),
        ("-log q", 6, "unknown name `q`"),
        ("-lg p", 2, "did you mean `log`"),
        ("1 + * p", 5, "found `*`"),
        ("(1 - p", 7, "expected `)`"),
        ("p p", 3, "expected an operator"),
        ("min(p)", 6, "takes 2 arguments, not 1"),
        ("1e999", 1, "not a finite number"),
        ("1.2.3", 1, "not a finite number"),
        ("entropy_top2 * p", 1, "did you mean `entropy_top20`"),
        ("f_alpha(p)", 11, "may not read p"),
        ("f_alpha(1 + loss)", 18, "may not read p or the loss"),
        ("p $ 2", 3, "found `$`"),
    ] {
        let Err(Error::Syntax { column: found, problem, .. }) = Expression::parse(text) else {
            panic!("`{text}` was accepted");
        };
        assert_eq!(found, column, "{text}: {problem}");
        assert!(problem.contains(part), "{text}: {problem}");
    }
}

#[test]
fn no_text_exhausts_the_stack() {
    for opening in ["(", "-", "log ", "log(", "p^", "min(1,", "sg(", "1+(", "p^-"] {
        let long = opening.repeat(MAX_LENGTH / opening.len());
        assert!(Expression::parse(&long).is_err());
        assert!(Expression::parse(&(long.clone() + &long)).is_err());
    }
    assert!(Expression::parse(&"p+".repeat(MAX_DEPTH + 2)).is_err());
    let deepest = "log ".repeat(MAX_DEPTH - 1) + "p";
    let long = "p^p * ".repeat(MAX_DEPTH - 3) + "p";
    for text in [deepest, long] {
        Expression::parse(&text).unwrap().pull().value(&TokenStats::new(0.5, 1.0));
    }
}

/// Random trees over everything the language has.
fn node() -> impl Strategy<Value = Node> {
    use super::Function::{Clamp, Exp, FAlpha, If, Log, Max, Mean, Min, Sqrt, StopGradient};
    use Operator::{Add, Divide, Greater, LessEqual, Multiply, Power, Subtract};
    let leaf = prop_oneof![
        4 => Just(Node::Variable(Variable::P)),
        1 => Just(Node::Variable(Variable::Loss)),
        1 => Just(Node::Variable(Variable::Entropy)),
        1 => Just(Node::Variable(Variable::PReference)),
        3 => (0u32..40).prop_map(|n| Node::Number(f64::from(n) / 8.0)),
        1 => (0u32..20).prop_map(|n| Node::Call(FAlpha, vec![Node::Number(f64::from(n) / 8.0)])),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let one = prop::sample::select(vec![Log, Exp, Sqrt, StopGradient, Mean]);
        let two = prop::sample::select(vec![Min, Max]);
        let three = prop::sample::select(vec![Clamp, If]);
        let operator = prop::sample::select(vec![Add, Subtract, Multiply, Divide, Power, LessEqual, Greater]);
        prop_oneof![
            6 => (operator, inner.clone(), inner.clone())
                .prop_map(|(operator, x, y)| Node::Binary(operator, Box::new(x), Box::new(y))),
            2 => inner.clone().prop_map(|x| Node::Negate(Box::new(x))),
            2 => (one, inner.clone()).prop_map(|(function, x)| Node::Call(function, vec![x])),
            1 => (two, inner.clone(), inner.clone()).prop_map(|(f, x, y)| Node::Call(f, vec![x, y])),
            1 => (three, inner.clone(), inner.clone(), inner).prop_map(|(f, x, y, z)| Node::Call(f, vec![x, y, z])),
        ]
    })
}

fn token(loss: f64) -> TokenStats {
    TokenStats { reference_loss: Some(0.9), ..TokenStats::new(loss, 1.3) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn printing_and_reading_gives_the_same_tree(root in node()) {
        let expression = Expression { root };
        prop_assert_eq!(Expression::parse(&expression.to_string()).unwrap(), expression);
    }

    #[test]
    fn the_pull_is_the_derivative_by_the_loss(root in node(), loss in 0.05..4.0f64) {
        // p·d/dp = −d/dloss, so −D f = df/dloss. The constants are those of another token, for at the token itself
        // sg(p) and p are one number, and min(p, sg(p)) has a kink everywhere.
        let expression = Expression { root };
        let (frozen, step) = (token(1.7), 1e-5);
        let at = |loss: f64| expression.at(Point::moved(&frozen, loss));
        let slope = |step: f64| (at(loss + step) - at(loss - step)) / (2.0 * step);
        let (coarse, fine) = (slope(step), slope(step / 2.0));
        let pull = expression.pull().at(Point::moved(&frozen, loss));
        // Where two differences disagree there is a kink, a jump or a wall within reach, and no derivative to speak of.
        let scale = 1.0 + fine.abs() + at(loss).abs();
        prop_assume!(at(loss).is_finite() && scale < 1e4 && (coarse - fine).abs() < 1e-7 * scale);
        // A kink right here is seen by the change of slope, which does not shrink with the step.
        let bend = |step: f64| (at(loss + step) - 2.0 * at(loss) + at(loss - step)) / step;
        prop_assume!((2.0 * bend(step / 2.0) - bend(step)).abs() < 1e-7 * scale);
        // At an edge of the numbers, like 0 to the power p, the pull is no number; training then stops with an error.
        prop_assume!(pull.is_finite());
        // 0 / x is folded to 0, at x = 0 too; where that moves the value (the condition of an `if`, say) the pull follows.
        let folded = Expression { root: derive::simplify(&expression.root) };
        prop_assume!((folded.at(Point::moved(&frozen, loss)) - at(loss)).abs() < 1e-9 * scale);
        prop_assert!((pull - fine).abs() < 1e-6 * scale, "{} -> {}: {pull} against {fine}", expression, expression.pull());
    }

    #[test]
    fn folding_constants_changes_no_value(root in node(), loss in 0.0..4.0f64) {
        let whole = Expression { root };
        let folded = Expression { root: derive::simplify(&whole.root) };
        let (before, after) = (whole.value(&token(loss)), folded.value(&token(loss)));
        // A factor 0 is 0 after folding, whatever it multiplied.
        prop_assume!(before.is_finite());
        prop_assert!((before - after).abs() <= 1e-12 * (1.0 + before.abs()), "{whole} -> {folded}: {before} {after}");
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        let _ = Expression::parse(&text);
    }

    #[test]
    fn any_likely_text_is_read_or_refused(words in prop::collection::vec(prop::sample::select(
        vec!["p", "(", ")", "-", "^", "log", "sg(", "1", ".5", "e", " ", ",", "*", "/", "min(", ">=", "p_ref", "−", "if("],
    ), 0..40)) {
        if let Ok(expression) = Expression::parse(&words.concat()) {
            expression.pull().value(&token(0.5));
            prop_assert_eq!(Expression::parse(&expression.to_string()).unwrap(), expression);
        }
    }
}
