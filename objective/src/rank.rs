//! The band of a list of numbers, with exact size under ties and without sorting.

use crate::select::Band;

/// A number as an integer of the same order; −0 and 0 are one number.
fn ordered(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// What decides between equal values: the unit's name (document, position), then its place in the list.
pub(crate) type Name = (u64, usize);

/// The place between two neighbours of the ascending order.
#[derive(Clone, Copy, Debug)]
struct Cut {
    value: u64,
    name: Name,
}

/// Scratch space of a selection, kept between calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranker {
    keys: Vec<u64>,
    scratch: Vec<u64>,
    tied: Vec<Name>,
}

impl Ranker {
    /// For each of the values whether it lies in the band, told to `keep` by index.
    pub(crate) fn band(
        &mut self,
        band: Band,
        values: impl Iterator<Item = f64>,
        name: impl Fn(usize) -> u64,
        mut keep: impl FnMut(usize, bool),
    ) {
        self.keys.clear();
        self.keys.extend(values.map(ordered));
        let n = self.keys.len();
        let ranks = band.ranks(n);
        if ranks.is_empty() || ranks.len() == n {
            (0..n).for_each(|i| keep(i, !ranks.is_empty()));
            return;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&self.keys);
        let low = self.cut(ranks.start, 0, &name);
        let high = self.cut(ranks.end, ranks.start, &name);
        for (i, key) in self.keys.iter().enumerate() {
            let below = |cut: Cut| *key < cut.value || (*key == cut.value && (name(i), i) < cut.name);
            keep(i, low.is_none_or(|cut| !below(cut)) && high.is_none_or(below));
        }
    }

    /// The cut with `rank` values below it; `None` at either end. The scratch is partitioned at `sorted` already.
    fn cut(&mut self, rank: usize, sorted: usize, name: &impl Fn(usize) -> u64) -> Option<Cut> {
        if rank == 0 || rank == self.keys.len() {
            return None;
        }
        let (_, value, _) = self.scratch[sorted..].select_nth_unstable(rank - sorted);
        let value = *value;
        // Of the values equal to the one at the cut, the first by name belong below it.
        let below = self.scratch[..rank].iter().filter(|key| **key < value).count();
        let missing = rank - below;
        if missing == 0 {
            return Some(Cut { value, name: (0, 0) });
        }
        self.tied.clear();
        let tied = self.keys.iter().enumerate().filter(|(_, key)| **key == value);
        self.tied.extend(tied.map(|(i, _)| (name(i), i)));
        let (_, first_above, _) = self.tied.select_nth_unstable(missing);
        Some(Cut { value, name: *first_above })
    }
}
