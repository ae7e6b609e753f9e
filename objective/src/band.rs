//! Bands of quantiles.

use crate::Error;

/// A band [low, high) of quantiles in ascending order: of n units it holds the ranks round(low·n)..round(high·n).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Lower quantile, in [0, 1).
    pub low: f64,
    /// Upper quantile, in (0, 1].
    pub high: f64,
}

impl Band {
    /// The band of all ranks.
    pub const ALL: Self = Self { low: 0.0, high: 1.0 };

    /// The band [low, high).
    pub fn new(low: f64, high: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) && low < high {
            return Ok(Self { low, high });
        }
        Err(Error::value(
            "select.keep",
            format!("the band {low}..{high} is empty or out of range: 0 <= low < high <= 1 is required"),
        ))
    }

    /// The ranks, of n, that the band holds; of few none may be left.
    pub fn ranks(self, n: usize) -> std::ops::Range<usize> {
        let rank = |quantile: f64| ((quantile * n as f64).round() as usize).min(n);
        rank(self.low)..rank(self.high)
    }
}
