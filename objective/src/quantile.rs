//! Quantiles of more numbers than fit in memory: a deterministic sketch.
//!
//! Numbers enter a buffer; a full buffer of k is sorted and every second one moves on to the next level, where each
//! stands for twice as many, and so on. One such compaction of level i moves a rank by at most 2^i; which half moves
//! on alternates, so a level errs upwards and downwards in turn. n numbers cause n / (k·2^i) compactions of level i:
//! the rank error stays below n·log₂(n/k) / 2k in the worst case (0.5 % of n for 10⁹ numbers and k = 2048), and the
//! answer is exact until k numbers have come. No randomness: the same stream gives the same answer anywhere.

use serde::{Deserialize, Serialize};

/// Numbers per level. 2048·8 bytes·20 levels = 328 kB for 10⁹ numbers.
const WIDTH: usize = 2048;

/// A summary of a stream of numbers from which its quantiles can be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    levels: Vec<Level>,
    count: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Level {
    values: Vec<f64>,
    /// Whether the next compaction passes on the odd ones.
    odd: bool,
}

impl Sketch {
    /// How many numbers have been inserted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Inserts a number, which must not be NaN: NaN has no rank.
    pub fn insert(&mut self, value: f64) {
        self.count += 1;
        self.push(0, value);
    }

    fn push(&mut self, height: usize, value: f64) {
        if self.levels.len() <= height {
            self.levels.resize_with(height + 1, Level::default);
        }
        let level = &mut self.levels[height];
        level.values.push(value);
        if level.values.len() < WIDTH {
            return;
        }
        let mut full = std::mem::take(&mut level.values);
        let first = usize::from(level.odd);
        level.odd = !level.odd;
        full.sort_unstable_by(f64::total_cmp);
        for value in full.iter().skip(first).step_by(2) {
            self.push(height + 1, *value);
        }
        full.clear();
        self.levels[height].values = full;
    }

    /// Several quantiles in one pass, each the number of rank round(q·n) in ascending order: −∞ for q = 0, +∞ past the
    /// last.
    ///
    /// Numbers from the edge of `low` up to that of `high` are the band [low, high).
    pub fn edges<const N: usize>(&self, qs: [f64; N]) -> [Edge; N] {
        pick(self.weighted(), qs)
    }

    /// The stored numbers, each with the count that it stands for.
    fn weighted(&self) -> Vec<(f64, u64)> {
        let levels = self.levels.iter().enumerate();
        levels
            .flat_map(|(height, level)| level.values.iter().map(move |value| (*value, 1 << height)))
            .collect()
    }
}

/// An edge of a band: below it lie all numbers smaller than `value`, and a share of those equal to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// The quantile.
    pub value: f64,
    /// The share of the numbers equal to it that lie below the edge; 0 unless many are.
    pub share: f64,
}

impl Edge {
    /// Whether a number lies below the edge; `draw`, in [0, 1), decides for one that is equal to it.
    pub fn is_above(self, value: f64, draw: impl FnOnce() -> f64) -> bool {
        value < self.value || (value <= self.value && self.share > 0.0 && draw() < self.share)
    }
}

/// Fewer numbers than this share of all, equal to an edge, all lie above it (choice): a sketch does not know their number
/// well, and a band's size hardly depends on them.
const MANY: f64 = 0.01;

fn pick<const N: usize>(mut weighted: Vec<(f64, u64)>, qs: [f64; N]) -> [Edge; N] {
    weighted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let count = mass(&weighted);
    qs.map(|q| {
        let rank = (q * count as f64).round() as u64;
        if rank == 0 {
            return Edge { value: f64::NEG_INFINITY, share: 0.0 };
        }
        let mut below = 0;
        let above = weighted.iter().find(|(_, weight)| {
            below += weight;
            below > rank
        });
        let value = above.map_or(f64::INFINITY, |(value, _)| *value);
        Edge { value, share: share_below(&weighted, value, rank) }
    })
}

/// The share of the numbers equal to `value` that lie below the rank, in ascending order, if they are many.
fn share_below(weighted: &[(f64, u64)], value: f64, rank: u64) -> f64 {
    let first = weighted.partition_point(|(other, _)| *other < value);
    let end = weighted.partition_point(|(other, _)| *other <= value);
    let (below, tied) = (mass(&weighted[..first]), mass(&weighted[first..end]));
    // One that stands for many is not many that are equal.
    if end - first < 2 || (tied as f64) < MANY * mass(weighted) as f64 {
        return 0.0;
    }
    (rank - below) as f64 / tied as f64
}

/// How many numbers these stand for.
fn mass(weighted: &[(f64, u64)]) -> u64 {
    weighted.iter().map(|(_, weight)| weight).sum()
}

/// The most recent batches of numbers: the last one whole, and before it those of the last `span` to 2·`span` numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    span: u64,
    previous: Sketch,
    current: Sketch,
}

impl Window {
    /// A window that forgets batches together, `span` numbers (at least 1) or the first batch that reaches them.
    pub fn new(span: u64) -> Self {
        Self { span: span.max(1), previous: Sketch::default(), current: Sketch::default() }
    }

    /// Inserts a batch, in any order: none of it is forgotten before the rest.
    pub fn extend(&mut self, batch: &[f64]) {
        if self.current.count() >= self.span {
            self.previous = std::mem::take(&mut self.current);
        }
        for value in batch {
            self.current.insert(*value);
        }
    }

    /// Quantiles of the numbers in the window, as edges of bands.
    pub fn edges<const N: usize>(&self, qs: [f64; N]) -> [Edge; N] {
        let mut weighted = self.previous.weighted();
        weighted.extend(self.current.weighted());
        pick(weighted, qs)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "few numbers are ranked exactly")]
mod tests {
    use proptest::prelude::*;

    use super::{Sketch, WIDTH};

    fn quantile(sketch: &Sketch, q: f64) -> f64 {
        let [edge] = sketch.edges([q]);
        edge.value
    }

    /// How many of the sorted numbers lie below the answer, at least and at most, minus the rank asked for.
    fn rank_error(sorted: &[f64], sketch: &Sketch, q: f64) -> f64 {
        let rank = (q * sorted.len() as f64).round();
        let answer = quantile(sketch, q);
        let below = sorted.partition_point(|x| *x < answer) as f64;
        let up_to = sorted.partition_point(|x| *x <= answer) as f64;
        if rank < below { below - rank } else { (rank - up_to).max(0.0) }
    }

    /// The bound of the module's documentation.
    fn bound(n: usize) -> f64 {
        let levels = libm::log2(n as f64 / WIDTH as f64).max(0.0).ceil() + 1.0;
        n as f64 * levels / (2 * WIDTH) as f64
    }

    #[test]
    fn a_million_numbers_in_any_order_are_ranked_within_the_bound() {
        let n = 1_000_000_u64;
        let orders: [fn(u64) -> f64; 4] = [
            |i| i as f64,
            |i| -(i as f64),
            |i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64,
            // Nearly all of them alike, as token probabilities are.
            |i| 1.0 - 1.0 / (1.0 + (i % 1009) as f64 * (i % 1009) as f64),
        ];
        for order in orders {
            let mut sketch = Sketch::default();
            let mut all: Vec<f64> = (0..n).map(order).collect();
            for value in &all {
                sketch.insert(*value);
            }
            all.sort_unstable_by(f64::total_cmp);
            for q in [0.001, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999] {
                let error = rank_error(&all, &sketch, q);
                assert!(error <= bound(all.len()), "{q}: {error} of {}", bound(all.len()));
            }
            assert!(sketch.weighted().len() < 12 * WIDTH);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn few_numbers_are_ranked_exactly(values in prop::collection::vec(-9i32..9, 0..200), q in 0.0..=1.0f64) {
            let mut sketch = Sketch::default();
            let mut sorted: Vec<f64> = values.into_iter().map(f64::from).collect();
            for value in &sorted {
                sketch.insert(*value);
            }
            sorted.sort_unstable_by(f64::total_cmp);
            let rank = (q * sorted.len() as f64).round() as usize;
            let exact = if rank == 0 { f64::NEG_INFINITY } else { sorted.get(rank).copied().unwrap_or(f64::INFINITY) };
            prop_assert_eq!(quantile(&sketch, q), exact);
        }
    }

    #[test]
    fn an_edge_shares_out_many_equal_numbers_and_no_others() {
        let mut sketch = Sketch::default();
        // Far more than are stored, so that each stands for several; half of them are 0.
        for i in 0..100_000 {
            sketch.insert(if i % 2 == 0 { 0.0 } else { f64::from(i) });
        }
        let [within, beyond] = sketch.edges([0.4, 0.8]);
        assert!(within.value == 0.0 && (within.share - 0.8).abs() < 0.01, "{within:?}");
        assert!(beyond.value > 50_000.0 && beyond.share == 0.0, "{beyond:?}");
        assert!(
            within.is_above(0.0, || 0.5) && !within.is_above(0.0, || 0.9) && within.is_above(-1.0, || 0.9)
        );
        assert!(!beyond.is_above(beyond.value, || 0.0));
    }
}
