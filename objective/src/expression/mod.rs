//! A loss as the user writes it: an expression in p and the token's other scalars, read once into a tree.
//!
//! | | |
//! |---|---|
//! | numbers | `1`, `0.5`, `1e-3` |
//! | operators | `+ - * / ^` (right to left, tighter than the minus before it), brackets |
//! | comparisons | `< <= > >= == !=`: 1 where true, 0 where not; a threshold has no derivative |
//! | functions | `log exp sqrt sg` of one argument (`log p` needs no brackets), `min max pow` of two, `clamp(x, low, high)`, `if(condition, then, else)`, `f_alpha(α)` |
//! | variables | those of [`Variable`] |
//!
//! `sg(x)` stops the gradient: its derivative is 0. `f_alpha(α)` is (1 − p^α)/α, and −log p at α = 0.

mod derive;
mod display;
mod evaluate;
mod parse;
#[cfg(test)]
mod tests;
mod variable;

pub(crate) use evaluate::Point;
pub use variable::Variable;

use crate::Error;

/// Longest expression accepted, in characters.
pub const MAX_LENGTH: usize = 1_000;
/// Deepest tree accepted, so that no text can exhaust the stack.
pub const MAX_DEPTH: usize = 64;

/// An expression, parsed and simplified no further than its author wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub(crate) root: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Number(f64),
    Variable(Variable),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Log,
    Exp,
    Sqrt,
    StopGradient,
    Min,
    Max,
    Clamp,
    If,
    FAlpha,
}

impl Function {
    /// Name and number of arguments: the parser, the printer and the documentation read this one table.
    pub(crate) const ALL: [(Self, &'static str, usize); 9] = [
        (Self::Log, "log", 1),
        (Self::Exp, "exp", 1),
        (Self::Sqrt, "sqrt", 1),
        (Self::StopGradient, "sg", 1),
        (Self::Min, "min", 2),
        (Self::Max, "max", 2),
        (Self::Clamp, "clamp", 3),
        (Self::If, "if", 3),
        (Self::FAlpha, "f_alpha", 1),
    ];

    pub(crate) fn named(name: &str) -> Option<(Self, usize)> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(function, _, arity)| (*function, *arity))
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(function, ..)| *function == self).map_or("", |(_, name, _)| name)
    }
}

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(text, &mut |_| None)
    }

    /// Reads an expression in which some names stand for numbers.
    pub(crate) fn parse_with(
        text: &str,
        parameter: &mut dyn FnMut(&str) -> Option<f64>,
    ) -> Result<Self, Error> {
        parse::parse(text, parameter).map(|root| Self { root })
    }

    /// A constant.
    pub fn number(value: f64) -> Self {
        Self { root: Node::Number(value) }
    }

    /// One variable alone.
    pub fn variable(variable: Variable) -> Self {
        Self { root: Node::Variable(variable) }
    }

    /// The constant that this is, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self.root {
            Node::Number(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the variable occurs.
    pub fn reads(&self, variable: Variable) -> bool {
        self.root.reads(variable)
    }

    /// The pull −p·f′(p) onto the label that this loss f exerts, simplified.
    #[must_use]
    pub fn pull(&self) -> Self {
        Self { root: derive::negate(derive::euler(&self.root)) }
    }

    /// The same expression with its constants folded.
    #[must_use]
    pub fn simplified(&self) -> Self {
        Self { root: derive::simplify(&self.root) }
    }
}

impl Node {
    fn reads(&self, variable: Variable) -> bool {
        match self {
            Self::Number(_) => false,
            Self::Variable(own) => *own == variable,
            Self::Negate(x) => x.reads(variable),
            Self::Binary(_, x, y) => x.reads(variable) || y.reads(variable),
            Self::Call(Function::FAlpha, arguments) => {
                variable == Variable::P || arguments.iter().any(|x| x.reads(variable))
            }
            Self::Call(_, arguments) => arguments.iter().any(|x| x.reads(variable)),
        }
    }
}
