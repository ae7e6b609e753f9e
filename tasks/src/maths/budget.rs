//! What a comparison may cost, so that no reply keeps the grader busy.

use std::cell::Cell;

/// Units of work per comparison of two answers. A unit is what an addition of small fractions takes, some 0.1 µs; the
/// dearest pair of the sets' keys costs less than a tenth of this (a test).
pub(super) const BUDGET: u64 = 200_000;

/// The units of work that are left. What finds none left gives up, and the answers count as different.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u64>,
    refused: Cell<u64>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { left: Cell::new(BUDGET), refused: Cell::new(0) }
    }

    /// Takes this many units, at least one; `None` if fewer are left, and from then on.
    pub(super) fn spend(&self, units: u64) -> Option<()> {
        let left = self.left.get().checked_sub(units.max(1));
        self.left.set(left.unwrap_or(0));
        self.refused.set(self.refused.get() + u64::from(left.is_none()));
        left.map(|_| ())
    }

    /// Takes this many units if that leaves most of the budget.
    pub(super) fn afford(&self, units: u64) -> bool {
        units <= self.left.get() / 4 && self.spend(units).is_some()
    }

    pub(super) fn cost(&self) -> Cost {
        Cost { units: BUDGET - self.left.get(), refused: self.refused.get() }
    }
}

/// What a comparison took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Of the budget.
    pub(super) units: u64,
    /// How often work was asked for beyond it. What gives up asks no more, so these are few.
    pub(super) refused: u64,
}
