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

/// The statistics that are differentiated.
const OWN: [Variable; 2] = [Variable::P, Variable::Loss];

/// The statistics that follow from how a prediction spreads over the vocabulary.
const SPREAD: [Variable; 4] =
    [Variable::Entropy, Variable::TopEntropy, Variable::Concentration, Variable::Bald];

const VOCABULARY: u32 = 32_000;

/// Among how many other tokens the predictions share out what they do not give to the label.
const OTHERS: [u32; 4] = [1, 4, 100, VOCABULARY - 1];

/// The tokens at which an expression is checked, each under an agreeing, a doubtful and a contradicting reference. Their
/// predictions are possible ones, so that a factor which no prediction makes negative passes: `entropy - bald`.
fn tokens(expression: &Expression) -> impl Iterator<Item = (f64, TokenStats)> {
    let others = if SPREAD.iter().any(|variable| expression.reads(*variable)) { &OTHERS[..] } else { &[1] };
    let predictions = probabilities().flat_map(move |p| others.iter().map(move |n| (p, prediction(p, *n))));
    predictions.flat_map(|(p, prediction)| {
        [0.05, 0.7, 5.0].into_iter().map(move |other| {
            let token = TokenStats {
                reference_loss: Some(other),
                reference_mass: Some((1.05 - other).clamp(0.01, 1.0)),
                divergence: Some(other),
                base_loss: Some(other),
                ..prediction
            };
            (p, token)
        })
    })
}

/// A token whose label has probability p; `others` tokens share the rest evenly. The label counts among the top 20.
fn prediction(p: f64, others: u32) -> TokenStats {
    let term = |p: f64| if p > 0.0 { -p * libm::log(p) } else { 0.0 };
    let each = (1.0 - p) / f64::from(others);
    let entropy = term(p) + f64::from(others) * term(each);
    let kept = f64::from(others.min(19));
    let mass = p + kept * each;
    TokenStats {
        top_entropy: Some(term(p / mass) + kept * term(each / mass)),
        concentration: Some(p * p + f64::from(others) * each * each),
        bald: Some(entropy / 2.0),
        advantage: Some(1.0),
        score: Some(1.0),
        vocabulary: VOCABULARY,
        ..TokenStats::new(-libm::log(p), entropy)
    }
}

/// The error about an expression at a token, with the other statistics that it reads there.
fn refused(text: &str, expression: &Expression, problem: String, p: f64, token: &TokenStats) -> Error {
    let others =
        Variable::ALL.iter().filter(|(variable, ..)| !OWN.contains(variable) && expression.reads(*variable));
    let beside = others.map(|(variable, name, ..)| {
        let value = variable.of(token).unwrap_or(f64::NAN);
        format!(", {name} = {}", (value * 1e3).round() / 1e3)
    });
    Error::Refused { text: text.to_owned(), problem, p, beside: beside.collect::<Vec<_>>().concat() }
}

/// Rejects a loss that is not finite on (0, 1], that increases, or whose pull is zero everywhere. A pull that reads other
/// statistics may be zero at the ordinary ones: `-log p * (entropy > 2)`.
pub(crate) fn loss(text: &str, loss: &Expression, pull: &Expression) -> Result<(), Error> {
    let mut largest: f64 = 0.0;
    for (p, token) in tokens(loss) {
        let refused = |problem: String| Err(refused(text, loss, problem, p, &token));
        let (value, pull) = (loss.value(&token), pull.value(&token));
        if !value.is_finite() {
            return refused(format!("it is {value}, not finite,"));
        }
        if !pull.is_finite() {
            return refused(format!("its pull -p·f′(p) is {pull}, not finite,"));
        }
        // Rounding in a difference of large terms does not count as a slope.
        if pull < -1e-9 * (1.0 + value.abs()) {
            return refused("it increases, so it would push the label away,".to_owned());
        }
        largest = largest.max(pull.abs());
    }
    let is_gated =
        Variable::ALL.iter().any(|(variable, ..)| !OWN.contains(variable) && pull.reads(*variable));
    if largest == 0.0 && !is_gated {
        let problem =
            "its pull is zero everywhere (for no pull write \"none\", in one of `selected` and `otherwise`)";
        return Err(refused(text, loss, problem.to_owned(), 1.0, &prediction(1.0, 1)));
    }
    Ok(())
}

/// Rejects a weight that is not finite on (0, 1]. Its sign is free: an advantage can have either.
pub(crate) fn weight(text: &str, weight: &Expression) -> Result<(), Error> {
    for (p, token) in tokens(weight) {
        let value = weight.value(&token);
        if !value.is_finite() {
            return Err(refused(text, weight, format!("the weight is {value}, not finite,"), p, &token));
        }
    }
    Ok(())
}
