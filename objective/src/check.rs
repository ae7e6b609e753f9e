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

/// Losses under an agreeing, a doubtful and a contradicting model, and divergences from it.
const OF_OTHER_MODELS: [f64; 3] = [0.05, 0.7, 5.0];

/// Means over a batch are checked as if all its labels had one of these probabilities.
const OF_BATCHES: [f64; 4] = [1e-6, 0.1, 0.5, 0.99];

/// The tokens at which an expression is checked, each under references and bases that agree, doubt and contradict. Their
/// predictions are possible ones, so that a factor which no prediction makes negative passes: `entropy - bald`.
fn tokens(expression: &Expression) -> impl Iterator<Item = (f64, TokenStats)> {
    let reads = |of: &[Variable]| of.iter().any(|variable| expression.reads(*variable));
    let others = if reads(&SPREAD) { &OTHERS[..] } else { &[1] };
    // What is not read needs no values of its own.
    let values = |of: &[Variable]| if reads(of) { &OF_OTHER_MODELS[..] } else { &OF_OTHER_MODELS[..1] };
    let references = values(&[Variable::ReferenceLoss, Variable::PReference, Variable::ReferenceMass]);
    let bases = values(&[Variable::BaseLoss, Variable::PBase]);
    let divergences = values(&[Variable::Divergence]);
    let predictions = probabilities().flat_map(move |p| others.iter().map(move |n| (p, prediction(p, *n))));
    predictions.flat_map(move |(p, prediction)| {
        let models = references.iter().flat_map(move |reference| {
            bases
                .iter()
                .flat_map(move |base| divergences.iter().map(move |distance| (reference, base, distance)))
        });
        models.map(move |(reference, base, distance)| (p, beside(prediction, *reference, *base, *distance)))
    })
}

/// A prediction beside a reference's and a base's.
fn beside(prediction: TokenStats, reference: f64, base: f64, divergence: f64) -> TokenStats {
    TokenStats {
        reference_loss: Some(reference),
        reference_mass: Some((1.05 - reference).clamp(0.01, 1.0)),
        divergence: Some(divergence),
        base_loss: Some(base),
        ..prediction
    }
}

/// Expressions as they are where a batch has one token, and with the means that other batches may have.
fn in_batches<const N: usize>(expressions: [&Expression; N]) -> Vec<[Expression; N]> {
    let mut all = vec![expressions.map(Clone::clone)];
    if expressions.iter().any(|expression| expression.averages()) {
        all.extend(OF_BATCHES.map(|p| {
            let token = beside(prediction(p, 1), 0.7, 0.7, 0.7);
            expressions.map(|expression| expression.settled(&mut |of| of.value(&token)))
        }));
    }
    all
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
    let batches = in_batches([loss, pull]);
    let all = batches.iter().flat_map(|batch| tokens(loss).map(move |(p, token)| (batch, p, token)));
    for ([settled, pull], p, token) in all {
        let refused = |problem: String| Err(refused(text, loss, problem, p, &token));
        let (value, pull) = (settled.value(&token), pull.value(&token));
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
    for [settled] in in_batches([weight]) {
        for (p, token) in tokens(weight) {
            let value = settled.value(&token);
            if !value.is_finite() {
                return Err(refused(text, weight, format!("the weight is {value}, not finite,"), p, &token));
            }
        }
    }
    Ok(())
}
