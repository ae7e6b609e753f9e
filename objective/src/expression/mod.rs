//! A loss as the user writes it: an expression in p and the token's other scalars, read once into a tree.
//!
//! | | |
//! |---|---|
//! | numbers | `1`, `0.5`, `1e-3` |
//! | operators | `+ - * / ^` (right to left, tighter than the minus before it), brackets |
//! | comparisons | `< <= > >= == !=`: 1 where true, 0 where not; a threshold has no derivative |
//! | functions | `log exp sqrt sg mean` of one argument (`log p` needs no brackets), `min max pow` of two, `clamp(x, low, high)`, `if(condition, then, else)`, `f_alpha(α)` |
//! | variables | those of [`Variable`] |
//!
//! `sg(x)` stops the gradient: its derivative is 0. `mean(x)` is the mean of x over the tokens of the batch that are not
//! masked, held constant like `sg(x)`. `f_alpha(α)` is (1 − p^α)/α, and −log p at α = 0; α is held constant too.

mod derive;
mod display;
mod evaluate;
mod node;
mod parse;
#[cfg(test)]
mod tests;
mod variable;

pub(crate) use evaluate::Point;
pub(crate) use node::{Function, Node, Operator};
pub use node::{MAX_DEPTH, MAX_LENGTH};
pub use variable::Variable;

use std::fmt::{self, Display, Formatter};

use crate::{Error, TokenStats};

/// A parsed expression, not simplified.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub(crate) root: Node,
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

    /// Whether it reads a mean over the batch.
    pub fn averages(&self) -> bool {
        self.root.averages()
    }

    /// The expression with the value of each mean over the batch in its place; `mean` computes them, the innermost first.
    #[must_use]
    pub(crate) fn settled(&self, mean: &mut dyn FnMut(&Self) -> f64) -> Self {
        let root = self.root.clone().changed(&mut |node| match node {
            Node::Call(Function::Mean, mut arguments) => {
                Node::Number(mean(&Self { root: arguments.swap_remove(0) }))
            }
            other => other,
        });
        Self { root }
    }

    /// The pull −p·f′(p) onto the label that this loss f exerts, simplified.
    #[must_use]
    pub fn pull(&self) -> Self {
        Self { root: derive::negate(derive::euler(&self.root)) }
    }

    /// An expression of equal value with its constants folded.
    #[must_use]
    pub fn simplified(&self) -> Self {
        Self { root: derive::simplify(&self.root) }
    }

    /// The expression's value for a token in a batch of its own; NaN where it reads a statistic that is missing.
    pub fn value(&self, stats: &TokenStats) -> f64 {
        self.at(Point::at(stats))
    }

    pub(crate) fn at(&self, point: Point) -> f64 {
        evaluate::value(&self.root, point)
    }
}

impl Display for Expression {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        self.root.fmt(formatter)
    }
}
