//! The world: what is true of each key, before and after the change between pretraining and post-training.

use tokensieve_base::streams::HashedStream;

/// How large a language is. [`Sizes::default`] is the language of the study; tests enumerate smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Number of values, at most 16.
    pub values: u8,
    /// Chains compute modulo this number, at most `values`.
    pub modulus: u8,
    /// Number of first and of second halves of keys, at most 12.
    pub keys: u8,
    /// Longest list that is copied.
    pub list: u8,
    /// Maximum number of tokens of a document, its delimiters included.
    pub document: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { values: 16, modulus: 13, keys: 12, list: 5, document: 127 }
    }
}

/// What may follow a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// One value, which can be learnt only by seeing it.
    Fact(u8),
    /// Any of these values, each with the same probability.
    Choice(Vec<u8>),
}

/// The entries of all keys.
#[derive(Clone, Debug)]
pub struct World {
    keys: u8,
    before: Vec<Entry>,
    after: Vec<Entry>,
    /// The probability of each first half of a key: Zipf's law in a random order.
    first: Vec<f64>,
}

impl World {
    /// The world of a seed. A quarter of the keys have choices of 2, 4 or 8 values (as far as there are values), the others
    /// facts, a fifth of which change.
    pub fn new(seed: u64, sizes: Sizes) -> Self {
        let mut stream = HashedStream::new(seed, "oracle/world");
        let keys = usize::from(sizes.keys);
        let mut order: Vec<usize> = (0..keys * keys).collect();
        stream.shuffle(&mut order);
        let (choices, facts) = order.split_at(order.len() / 4);
        let mut before = vec![Entry::Fact(0); keys * keys];
        for key in facts {
            before[*key] = Entry::Fact(stream.below(u64::from(sizes.values)) as u8);
        }
        for (number, key) in choices.iter().enumerate() {
            let mut values: Vec<u8> = (0..sizes.values).collect();
            stream.shuffle(&mut values);
            values.truncate(2 << (number % 3));
            before[*key] = Entry::Choice(values);
        }
        let mut after = before.clone();
        for key in &facts[..facts.len() / 5] {
            if let Entry::Fact(value) = &mut after[*key] {
                *value = (*value + 1 + stream.below(u64::from(sizes.values) - 1) as u8) % sizes.values;
            }
        }
        let mut ranks: Vec<usize> = (1..=keys).collect();
        stream.shuffle(&mut ranks);
        let total: f64 = ranks.iter().map(|rank| 1.0 / *rank as f64).sum();
        let first = ranks.iter().map(|rank| 1.0 / *rank as f64 / total).collect();
        Self { keys: sizes.keys, before, after, first }
    }

    /// The probability of each first half of a key. Second halves are equally probable.
    pub fn first_halves(&self) -> &[f64] {
        &self.first
    }

    /// The entry of a key, before or after the change.
    pub fn entry(&self, key: (u8, u8), changed: bool) -> &Entry {
        let entries = if changed { &self.after } else { &self.before };
        &entries[usize::from(key.0) * usize::from(self.keys) + usize::from(key.1)]
    }

    /// Whether a key's entry changes in post-training.
    pub fn changes(&self, key: (u8, u8)) -> bool {
        self.entry(key, false) != self.entry(key, true)
    }

    /// Whether a key is more frequent than the average key.
    pub fn is_frequent(&self, key: (u8, u8)) -> bool {
        self.first[usize::from(key.0)] * f64::from(self.keys) > 1.0
    }

    /// How many facts have each value.
    pub fn counts(&self, changed: bool, values: u8) -> Vec<usize> {
        let entries = if changed { &self.after } else { &self.before };
        let has = |value| entries.iter().filter(|entry| **entry == Entry::Fact(value)).count();
        (0..values).map(has).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_facts_changes_and_nothing_else() {
        let world = World::new(3, Sizes::default());
        let keys = (0..12).flat_map(|a| (0..12).map(move |b| (a, b)));
        let changed: Vec<_> = keys.filter(|key| world.changes(*key)).collect();
        assert_eq!(changed.len(), 108 / 5);
        assert!(changed.iter().all(|key| matches!(world.entry(*key, true), Entry::Fact(_))));
        assert!((world.first_halves().iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
