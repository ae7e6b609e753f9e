//! The band of a list of numbers, with exact size under ties and without sorting.

use crate::Band;

/// A number as an integer of the same order; −0 and 0 are one number.
fn ordered(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// A position between two neighbours of the ascending order: below it are all numbers smaller than `value`, and the
/// first `tied` of those equal to it.
#[derive(Clone, Copy, Debug)]
struct Cut {
    value: u64,
    tied: usize,
}

/// Scratch space of a selection, kept between calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranker {
    keys: Vec<u64>,
    scratch: Vec<u64>,
    tied: Vec<(u64, usize)>,
}

impl Ranker {
    /// Calls `keep` for each value with whether it lies in the band. Where `keep` is called twice for a value, the second
    /// call counts.
    ///
    /// Equal values are ordered by their names, and equal names by their position in the list.
    pub(crate) fn band(
        &mut self,
        band: Band,
        values: &[f64],
        name: impl Fn(usize) -> u64,
        mut keep: impl FnMut(usize, bool),
    ) {
        let ranks = band.ranks(values.len());
        if ranks.is_empty() || ranks.len() == values.len() {
            (0..values.len()).for_each(|i| keep(i, !ranks.is_empty()));
            return;
        }
        self.keys.clear();
        self.keys.extend(values.iter().map(|value| ordered(*value)));
        self.scratch.clone_from(&self.keys);
        let low = self.cut(ranks.start, 0);
        let high = self.cut(ranks.end, ranks.start);
        #[expect(
            clippy::needless_bitwise_bool,
            reason = "which values are kept is unpredictable, so a branch would be mispredicted"
        )]
        for (i, key) in self.keys.iter().enumerate() {
            keep(i, (*key >= low.value) & (*key < high.value));
        }
        for (cut, below) in [(high, true), (low, false)] {
            self.first_tied(cut, &name).iter().for_each(|(_, i)| keep(*i, below));
        }
    }

    /// The cut with `rank` values below it. The scratch is partitioned at `sorted` already.
    fn cut(&mut self, rank: usize, sorted: usize) -> Cut {
        if rank == 0 {
            return Cut { value: 0, tied: 0 };
        }
        if rank == self.keys.len() {
            return Cut { value: u64::MAX, tied: 0 };
        }
        let (_, value, _) = self.scratch[sorted..].select_nth_unstable(rank - sorted);
        let value = *value;
        let tied = self.scratch[..rank].iter().filter(|key| **key == value).count();
        Cut { value, tied }
    }

    /// Of the values at the cut, those below it.
    fn first_tied(&mut self, cut: Cut, name: &impl Fn(usize) -> u64) -> &[(u64, usize)] {
        self.tied.clear();
        if cut.tied > 0 {
            let tied = self.keys.iter().enumerate().filter(|(_, key)| **key == cut.value);
            self.tied.extend(tied.map(|(i, _)| (name(i), i)));
            self.tied.select_nth_unstable(cut.tied);
        }
        &self.tied[..cut.tied]
    }
}
