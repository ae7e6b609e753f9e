//! What an expression contains.

use std::collections::BTreeSet;

/// What decides at which points two expressions are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Names of variables.
    pub(super) variables: BTreeSet<String>,
    /// Whether a variable stands outside the functions of an angle.
    pub(super) has_plain_variable: bool,
    /// Whether it rounds to whole numbers, or raises a negative number to a variable power: its variables stand for
    /// whole numbers.
    pub(super) is_whole: bool,
    /// Whether it has an absolute value: its variables may be negative.
    pub(super) has_absolute: bool,
}

impl Contents {
    /// What two expressions contain.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.variables.extend(other.variables);
        self.has_plain_variable |= other.has_plain_variable;
        self.is_whole |= other.is_whole;
        self.has_absolute |= other.has_absolute;
        self
    }
}
