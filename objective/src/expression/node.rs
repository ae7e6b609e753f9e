//! The tree that an expression is read into.

use super::Variable;

/// Longest expression accepted, in characters.
pub const MAX_LENGTH: usize = 1_000;
/// Deepest tree accepted, so that no expression can exhaust the stack.
pub const MAX_DEPTH: usize = 64;

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
    Mean,
}

impl Function {
    /// Name and number of arguments: the parser, the printer and the documentation read this one table.
    pub(crate) const ALL: [(Self, &'static str, usize); 10] = [
        (Self::Log, "log", 1),
        (Self::Exp, "exp", 1),
        (Self::Sqrt, "sqrt", 1),
        (Self::StopGradient, "sg", 1),
        (Self::Min, "min", 2),
        (Self::Max, "max", 2),
        (Self::Clamp, "clamp", 3),
        (Self::If, "if", 3),
        (Self::FAlpha, "f_alpha", 1),
        (Self::Mean, "mean", 1),
    ];

    pub(crate) fn named(name: &str) -> Option<(Self, usize)> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(function, _, arity)| (*function, *arity))
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(function, ..)| *function == self).map_or("", |(_, name, _)| name)
    }
}

impl Node {
    /// Whether the variable occurs.
    pub(crate) fn reads(&self, variable: Variable) -> bool {
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

    /// Whether a mean over the batch occurs.
    pub(crate) fn averages(&self) -> bool {
        match self {
            Self::Number(_) | Self::Variable(_) => false,
            Self::Negate(x) => x.averages(),
            Self::Binary(_, x, y) => x.averages() || y.averages(),
            Self::Call(function, arguments) => {
                *function == Function::Mean || arguments.iter().any(Self::averages)
            }
        }
    }

    /// The tree after a change to each of its nodes, from the leaves to the root.
    pub(crate) fn changed(self, change: &mut dyn FnMut(Self) -> Self) -> Self {
        let node = match self {
            Self::Call(function, arguments) => {
                Self::Call(function, arguments.into_iter().map(|x| x.changed(change)).collect())
            }
            Self::Negate(x) => Self::Negate(Box::new(x.changed(change))),
            Self::Binary(operator, x, y) => {
                Self::Binary(operator, Box::new(x.changed(change)), Box::new(y.changed(change)))
            }
            leaf => leaf,
        };
        change(node)
    }
}
