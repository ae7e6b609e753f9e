//! An expression compiled for the hot path: most are constants or the loss itself, and few read p.

use crate::{Expression, TokenStats, Variable, expression::Point};

#[derive(Clone, Debug)]
pub(crate) enum Formula {
    Constant(f64),
    Loss,
    /// An expression that does not read p, so that exp(−loss) is not computed.
    WithoutP(Expression),
    General(Expression),
}

impl Formula {
    pub(crate) fn new(expression: &Expression) -> Self {
        match expression.as_number() {
            Some(value) => Self::Constant(value),
            None if *expression == Expression::variable(Variable::Loss) => Self::Loss,
            None if expression.reads(Variable::P) => Self::General(expression.clone()),
            None => Self::WithoutP(expression.clone()),
        }
    }

    pub(crate) fn at(&self, token: &TokenStats) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Loss => token.loss,
            Self::WithoutP(expression) => expression.at(Point::without_p(token)),
            Self::General(expression) => expression.at(Point::at(token)),
        }
    }
}
