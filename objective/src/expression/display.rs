//! From tree back to text, such that reading the text gives the same tree.

use std::fmt::{self, Display, Formatter};

use super::{Node, Operator};

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Self::Add => " + ",
            Self::Subtract => " - ",
            Self::Multiply => " * ",
            Self::Divide => " / ",
            Self::Power => "^",
            Self::Less => " < ",
            Self::LessEqual => " <= ",
            Self::Greater => " > ",
            Self::GreaterEqual => " >= ",
            Self::Equal => " == ",
            Self::NotEqual => " != ",
        }
    }

    /// How tightly it binds: comparison, sum, product, sign (3), power, atom (5).
    fn strength(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 1,
            Self::Multiply | Self::Divide => 2,
            Self::Power => 4,
            _ => 0,
        }
    }
}

impl Display for Node {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        match self {
            Self::Number(value) => formatter.write_str(format!("{value:?}").trim_end_matches(".0")),
            Self::Variable(variable) => formatter.write_str(variable.name()),
            Self::Negate(x) => {
                formatter.write_str("-")?;
                x.fmt_within(formatter, 3)
            }
            Self::Binary(operator, x, y) => {
                let own = operator.strength();
                let (left, right) = match operator {
                    Operator::Power => (5, 3),
                    _ if own == 0 => (1, 1),
                    _ => (own, own + 1),
                };
                x.fmt_within(formatter, left)?;
                formatter.write_str(operator.sign())?;
                y.fmt_within(formatter, right)
            }
            Self::Call(function, arguments) => {
                write!(formatter, "{}(", function.name())?;
                for (i, argument) in arguments.iter().enumerate() {
                    formatter.write_str(if i == 0 { "" } else { ", " })?;
                    argument.fmt(formatter)?;
                }
                formatter.write_str(")")
            }
        }
    }
}

impl Node {
    fn strength(&self) -> u8 {
        match self {
            // A negative number prints with a sign and is read back as the negation of a number.
            Self::Number(value) if value.is_sign_negative() => 3,
            Self::Number(_) | Self::Variable(_) | Self::Call(..) => 5,
            Self::Negate(_) => 3,
            Self::Binary(operator, ..) => operator.strength(),
        }
    }

    /// In brackets where it binds less tightly than its place demands.
    fn fmt_within(&self, formatter: &mut Formatter, strength: u8) -> fmt::Result {
        if self.strength() < strength {
            formatter.write_str("(")?;
            self.fmt(formatter)?;
            formatter.write_str(")")
        } else {
            self.fmt(formatter)
        }
    }
}
