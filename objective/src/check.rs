//! What a loss f(p) must satisfy before anything is trained with it.

use crate::{
    Error, Expression, TokenStats, Variable,
    expression::{Function, Node, Operator},
};

/// log(1 − p) is unbounded below at p = 1. The published ε bounds it: the pull becomes p / (1 − p + ε).
const GUARD: f64 = 1e-3;

/// Reads log(1 − p) as log(1 − p + ε).
pub(crate) fn guarded(expression: Expression) -> Expression {
    let one_minus_p =
        Node::Binary(Operator::Subtract, Box::new(Node::Number(1.0)), Box::new(Node::Variable(Variable::P)));
    let root = expression.root.changed(&mut |node| match node {
        Node::Call(Function::Log, arguments) if arguments[0] == one_minus_p => {
            let inner =
                Node::Binary(Operator::Add, Box::new(one_minus_p.clone()), Box::new(Node::Number(GUARD)));
            Node::Call(Function::Log, vec![inner])
        }
        other => other,
    });
    Expression { root }
}

/// The p at which a loss is checked: 30 decades of p on a logarithmic grid, then (0, 1] on a linear one.
fn probabilities() -> impl Iterator<Item = f64> {
    let decades = (0..600).map(|i| libm::pow(10.0, f64::from(i - 600) / 20.0));
    decades.chain((1..=400).map(|i| f64::from(i) / 400.0))
}

/// Tokens with ordinary values of everything else, under an agreeing, a doubtful and a contradicting reference.
fn tokens(p: f64) -> impl Iterator<Item = TokenStats> {
    [0.05, 0.7, 5.0].into_iter().map(move |other| TokenStats {
        top_entropy: Some(1.0),
        concentration: Some(0.4),
        reference_loss: Some(other),
        reference_mass: Some((1.05 - other).clamp(0.01, 1.0)),
        divergence: Some(other),
        base_loss: Some(other),
        bald: Some(0.1),
        advantage: Some(1.0),
        score: Some(1.0),
        vocabulary: 32_000,
        ..TokenStats::new(-libm::log(p), 1.0)
    })
}

/// Rejects a loss that is not finite on (0, 1], that increases, or whose pull is zero everywhere. A pull that reads other
/// statistics may be zero at the ordinary ones: `-log p * (entropy > 2)`.
pub(crate) fn loss(text: &str, loss: &Expression, pull: &Expression) -> Result<(), Error> {
    let refused = |problem: String, p: f64| Error::Refused { text: text.to_owned(), problem, p };
    let mut largest: f64 = 0.0;
    for p in probabilities() {
        for token in tokens(p) {
            let (value, pull) = (loss.value(&token), pull.value(&token));
            if !value.is_finite() {
                return Err(refused(format!("it is {value}, not finite,"), p));
            }
            if !pull.is_finite() {
                return Err(refused(format!("its pull -p·f′(p) is {pull}, not finite,"), p));
            }
            // Rounding in a difference of large terms does not count as a slope.
            if pull < -1e-9 * (1.0 + value.abs()) {
                return Err(refused("it increases, so it would push the label away,".to_owned(), p));
            }
            largest = largest.max(pull.abs());
        }
    }
    let own = [Variable::P, Variable::Loss];
    let is_gated =
        Variable::ALL.iter().any(|(variable, ..)| !own.contains(variable) && pull.reads(*variable));
    if largest == 0.0 && !is_gated {
        return Err(refused("its pull is zero everywhere (for no pull write \"none\")".to_owned(), 1.0));
    }
    Ok(())
}

/// Rejects a weight that is not finite on (0, 1]. Its sign is free: an advantage can have either.
pub(crate) fn weight(text: &str, weight: &Expression) -> Result<(), Error> {
    for p in probabilities() {
        for token in tokens(p) {
            let value = weight.value(&token);
            if !value.is_finite() {
                let problem = format!("the weight is {value}, not finite,");
                return Err(Error::Refused { text: text.to_owned(), problem, p });
            }
        }
    }
    Ok(())
}
