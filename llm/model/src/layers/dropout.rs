//! Dropout: at which sites of a model it acts, and the keys from which its masks are generated.
//!
//! A mask is a function of a row's key, the site, the layer and the slot. A key is a function of a seed and the tokens
//! up to the row, so that masks do not depend on how documents are batched.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use tokensieve_kernels::Mask;

/// A site in the model at which dropout can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropoutSite {
    /// Attention probabilities, for each head and key.
    Attention,
    /// The outputs of attention and of the feed-forward layer, before they are added to the residual stream.
    Residual,
    /// The embedding.
    Embedding,
    /// The input of an adapter's A. Projections with the same input share a mask.
    Lora,
}

impl DropoutSite {
    /// All sites.
    pub const ALL: [Self; 4] = [Self::Attention, Self::Residual, Self::Embedding, Self::Lora];
}

/// Dropout in one forward pass: the sites, one rate, and one key for each row of the pack.
#[derive(Clone, Debug)]
pub struct Dropout {
    sites: Vec<DropoutSite>,
    rate: f64,
    /// Rows before this one keep all values.
    first: usize,
    keys: Vec<u64>,
}

/// Mixes the bits of a number (bijective): the finaliser of `SplitMix64`.
pub fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The key of each token of a document, a hash of the seed and of the tokens up to that one. It does not depend on the
/// other documents of a pack, and documents with a common beginning have the same keys there.
pub fn dropout_keys(seed: u64, tokens: &[u32]) -> Vec<u64> {
    let mut key = mix64(seed);
    let next = |token: &u32| {
        // Added constant (2⁶⁴/φ, odd): otherwise token 0 would map key 0 to key 0.
        key = mix64(key ^ u64::from(*token).wrapping_add(0x9e37_79b9_7f4a_7c15));
        key
    };
    tokens.iter().map(next).collect()
}

impl Dropout {
    /// Rows with equal keys get equal masks; rows before `first` keep all values.
    pub fn new(sites: &[DropoutSite], rate: f64, first: usize, keys: Vec<u64>) -> Self {
        Self { sites: sites.to_vec(), rate, first, keys }
    }

    /// This dropout for a subset of the rows, in ascending order.
    pub(crate) fn of_rows(&self, rows: &[i64]) -> Self {
        let first = rows.iter().filter(|row| (**row as usize) < self.first).count();
        let keys = rows.iter().map(|row| self.keys[*row as usize]).collect();
        Self::new(&self.sites, self.rate, first, keys)
    }

    /// The mask at a site of a layer, if dropout acts there. `slot` distinguishes a layer's masks at the same site.
    pub(crate) fn mask(&self, at: DropoutSite, layer: u32, slot: u32) -> Option<Mask> {
        if !self.sites.contains(&at) {
            return None;
        }
        let site = mix64((u64::from(layer) << 32) | (at as u64) << 8 | u64::from(slot));
        let halves = |key: &u64| {
            let key = mix64(key ^ site);
            [key as u32, (key >> 32) as u32]
        };
        Some(Mask::new(self.rate, self.first, self.keys.iter().map(halves).collect()))
    }

    /// Applies dropout to the embedded tokens, if the embedding is one of the sites.
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
    fn masks_depend_on_key_and_site_alone() {
        let x = Tensor::ones([6, 200], (Kind::Float, Device::Cpu));
        let dropout =
            |keys: Vec<u64>| Dropout::new(&[DropoutSite::Residual, DropoutSite::Lora], 0.3, 0, keys);
        let one = dropout(vec![1, 2, 3, 4, 5, 6]);
        let dropped = one.mask(DropoutSite::Residual, 2, 1).unwrap().apply(&x);
        assert!(one.mask(DropoutSite::Attention, 2, 1).is_none());
        // A key gives the same mask at another row, beside other rows.
        let other = dropout(vec![9, 3, 9, 1, 9, 9]).mask(DropoutSite::Residual, 2, 1).unwrap().apply(&x);
        assert_eq!(other.select(0, 1), dropped.select(0, 2));
        assert_eq!(other.select(0, 3), dropped.select(0, 0));
        let rows = dropout(vec![1, 2, 3, 4, 5, 6]).of_rows(&[1, 4]);
        let two = rows.mask(DropoutSite::Residual, 2, 1).unwrap().apply(&x.narrow(0, 0, 2));
        assert_eq!(two.select(0, 1), dropped.select(0, 4));
        for (site, layer, slot) in
            [(DropoutSite::Lora, 2, 1), (DropoutSite::Residual, 3, 1), (DropoutSite::Residual, 2, 0)]
        {
            assert_ne!(one.mask(site, layer, slot).unwrap().apply(&x), dropped);
        }
    }
}
