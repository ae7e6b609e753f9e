//! Where in a model dropout acts, and from which key each row's mask follows there.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use tokensieve_kernels::Mask;

/// A place where dropout can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropoutSite {
    /// Attention's probabilities, each head's for each key.
    Attention,
    /// What attention and the feed-forward layer give, before it is added to the residual stream.
    Residual,
    /// The embedding.
    Embedding,
    /// What enters an adapter's first matrix; projections of the same input drop the same.
    Lora,
}

impl DropoutSite {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Attention, Self::Residual, Self::Embedding, Self::Lora];
}

/// Dropout in a forward pass: some places, one rate, a key for each row of the pack.
#[derive(Debug)]
pub struct Dropout {
    places: Vec<DropoutSite>,
    rate: f64,
    /// Rows before this one lose nothing.
    first: usize,
    keys: Vec<u64>,
}

/// Bijective and well mixed: the finaliser of `SplitMix64`.
pub fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A key for each token of a document. It follows from the tokens up to that one, so that it is the same whatever stands
/// beside the document, and documents which begin alike have the same there.
pub fn dropout_keys(seed: u64, tokens: &[u32]) -> Vec<u64> {
    let mut key = mix64(seed);
    let next = |token: &u32| {
        // An odd constant (2⁶⁴/φ), for 0 must not stay 0.
        key = mix64(key ^ u64::from(*token).wrapping_add(0x9e37_79b9_7f4a_7c15));
        key
    };
    tokens.iter().map(next).collect()
}

impl Dropout {
    /// Rows of the same key lose the same numbers; those before `first` lose none.
    pub fn new(places: &[DropoutSite], rate: f64, first: usize, keys: Vec<u64>) -> Self {
        Self { places: places.to_vec(), rate, first, keys }
    }

    /// The same for some of the rows.
    pub(crate) fn of_rows(&self, rows: &[i64]) -> Self {
        let first = rows.iter().filter(|row| (**row as usize) < self.first).count();
        let keys = rows.iter().map(|row| self.keys[*row as usize]).collect();
        Self::new(&self.places, self.rate, first, keys)
    }

    /// The mask of a place in a layer, if dropout acts there. `slot` tells a layer's masks of one place apart.
    pub(crate) fn mask(&self, place: DropoutSite, layer: u32, slot: u32) -> Option<Mask> {
        if !self.places.contains(&place) {
            return None;
        }
        let site = mix64((u64::from(layer) << 32) | (place as u64) << 8 | u64::from(slot));
        let halves = |key: &u64| {
            let key = mix64(key ^ site);
            [key as u32, (key >> 32) as u32]
        };
        Some(Mask::new(self.rate, self.first, self.keys.iter().map(halves).collect()))
    }

    /// The embedding as dropout leaves it.
    pub(crate) fn embedding(&self, embedded: Tensor) -> Tensor {
        match self.mask(DropoutSite::Embedding, 0, 0) {
            Some(mask) => mask.add(&embedded, None),
            None => embedded,
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn masks_follow_from_key_and_place_alone() {
        let x = Tensor::ones([6, 200], (Kind::Float, Device::Cpu));
        let dropout =
            |keys: Vec<u64>| Dropout::new(&[DropoutSite::Residual, DropoutSite::Lora], 0.3, 0, keys);
        let one = dropout(vec![1, 2, 3, 4, 5, 6]);
        let dropped = one.mask(DropoutSite::Residual, 2, 1).unwrap().apply(&x);
        assert!(one.mask(DropoutSite::Attention, 2, 1).is_none());
        // Elsewhere among other rows, the same key drops the same.
        let other = dropout(vec![9, 3, 9, 1, 9, 9]).mask(DropoutSite::Residual, 2, 1).unwrap().apply(&x);
        assert_eq!(other.select(0, 1), dropped.select(0, 2));
        assert_eq!(other.select(0, 3), dropped.select(0, 0));
        let rows = dropout(vec![1, 2, 3, 4, 5, 6]).of_rows(&[1, 4]);
        let some = rows.mask(DropoutSite::Residual, 2, 1).unwrap().apply(&x.narrow(0, 0, 2));
        assert_eq!(some.select(0, 1), dropped.select(0, 4));
        for (place, layer, slot) in
            [(DropoutSite::Lora, 2, 1), (DropoutSite::Residual, 3, 1), (DropoutSite::Residual, 2, 0)]
        {
            assert_ne!(one.mask(place, layer, slot).unwrap().apply(&x), dropped);
        }
    }
}
