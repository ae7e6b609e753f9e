//! The value of an expression at a token.

use super::{Function, Node, Operator, Variable};
use crate::TokenStats;

/// The point at which an expression is evaluated: the token's statistics, which count as constants, and p itself,
/// which can be moved independently of them to see how the loss responds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point<'a> {
    stats: &'a TokenStats,
    loss: f64,
    p: f64,
}

impl<'a> Point<'a> {
    /// At the token as it is.
    pub(crate) fn at(stats: &'a TokenStats) -> Self {
        Self { stats, loss: stats.loss, p: stats.p() }
    }

    /// At the token as it is, where the expression is known not to read p.
    pub(crate) fn without_p(stats: &'a TokenStats) -> Self {
        Self { stats, loss: stats.loss, p: f64::NAN }
    }

    /// With the constants of `stats` and the probability moved to exp(−loss).
    pub(crate) fn moved(stats: &'a TokenStats, loss: f64) -> Self {
        Self { stats, loss, p: libm::exp(-loss.max(0.0)) }
    }
}

/// The value of a tree at a point.
pub(super) fn value(node: &Node, point: Point) -> f64 {
    match node {
        Node::Number(number) => *number,
        Node::Variable(Variable::P) => point.p,
        Node::Variable(Variable::Loss) => point.loss,
        Node::Variable(variable) => variable.of(point.stats).unwrap_or(f64::NAN),
        Node::Negate(x) => -value(x, point),
        // As with the logarithm: p itself underflows long before a small power of it does.
        Node::Binary(Operator::Power, x, y) if **x == Node::Variable(Variable::P) => {
            libm::exp(-value(y, point) * point.loss.max(0.0))
        }
        Node::Binary(operator, x, y) => apply(*operator, value(x, point), value(y, point)),
        Node::Call(function, arguments) => call(*function, arguments, point),
    }
}

/// One operator on two numbers.
pub(super) fn apply(operator: Operator, x: f64, y: f64) -> f64 {
    let truth = |holds: bool| f64::from(u8::from(holds));
    match operator {
        Operator::Add => x + y,
        Operator::Subtract => x - y,
        Operator::Multiply => x * y,
        Operator::Divide => x / y,
        Operator::Power => libm::pow(x, y),
        Operator::Less => truth(x < y),
        Operator::LessEqual => truth(x <= y),
        Operator::Greater => truth(x > y),
        Operator::GreaterEqual => truth(x >= y),
        #[expect(clippy::float_cmp, reason = "the user asked for equality")]
        Operator::Equal => truth(x == y),
        #[expect(clippy::float_cmp, reason = "the user asked for inequality")]
        Operator::NotEqual => truth(x != y),
    }
}

/// The value of a function whose arguments are all numbers and which reads nothing else.
pub(super) fn constant(function: Function, arguments: &[Node]) -> Option<f64> {
    if function == Function::FAlpha {
        return None;
    }
    let unused = TokenStats::new(0.0, 0.0);
    Some(call(function, arguments, Point::at(&unused)))
}

fn call(function: Function, arguments: &[Node], point: Point) -> f64 {
    let argument = |index: usize| value(&arguments[index], point);
    match function {
        // The loss is known to full precision; exp and log of it would lose the tail.
        Function::Log if arguments[0] == Node::Variable(Variable::P) => -point.loss,
        Function::Log => libm::log(argument(0)),
        Function::Exp => libm::exp(argument(0)),
        Function::Sqrt => libm::sqrt(argument(0)),
        // A batch's mean is put in before (`Expression::settled`); of one token alone the mean is its own value.
        Function::StopGradient | Function::Mean => value(&arguments[0], Point::at(point.stats)),
        Function::Min => smaller(argument(0), argument(1)),
        Function::Max => -smaller(-argument(0), -argument(1)),
        Function::Clamp => {
            let (x, low, high) = (argument(0), argument(1), argument(2));
            smaller(-smaller(-x, -low), high)
        }
        Function::If => argument(if argument(0) == 0.0 { 2 } else { 1 }),
        Function::FAlpha => {
            let alpha = argument(0);
            if alpha == 0.0 { point.loss } else { -libm::expm1(-alpha * point.loss) / alpha }
        }
    }
}

/// The smaller of two, and NaN where either is NaN: `f64::min` would hide it.
fn smaller(x: f64, y: f64) -> f64 {
    if x <= y || x.is_nan() { x } else { y }
}
