//! What an objective amounts to: its mean pull in each of a few bands of the label's probability.
//!
//! A step's gradient is Σ a·g over the tokens, where a is a token's pull and g the gradient of its −log p. It is close
//! to Σ w·g over bands of tokens, where w is the objective's mean pull in a band and g the sum of the band's gradients.
//! So the gradients of a few bands stand for those of every objective without a reference (docs/theory.md).

use crate::{Error, Pull, TokenStats, pulls::one_minus_p};

/// Bands of the label's probability, from the least to the most probable labels, each with a share of a sample's
/// tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Bands {
    /// The largest loss of every band but the first, descending.
    edges: Vec<f64>,
}

impl Bands {
    /// The bands of a sample between these quantiles of the probability: ascending, within (0, 1), at most one band
    /// more than quantiles. A band that no token falls into, because many tokens have the same loss, is left out.
    pub fn new(tokens: &[TokenStats], quantiles: &[f64]) -> Result<Self, Error> {
        let inside = quantiles.iter().all(|quantile| *quantile > 0.0 && *quantile < 1.0);
        if !inside || !quantiles.is_sorted_by(|low, high| low < high) {
            return Err(Error::value("quantiles", "must ascend and lie between 0 and 1"));
        }
        let counted = tokens.iter().filter(|token| token.weight != 0.0);
        let mut losses: Vec<f64> = counted.map(|token| token.loss).collect();
        if losses.is_empty() || losses.iter().any(|loss| loss.is_nan()) {
            return Err(Error::value("tokens", "bands need at least one token, and no loss that is NaN"));
        }
        losses.sort_unstable_by(|a, b| b.total_cmp(a));
        let at = |quantile: &f64| {
            losses[((quantile * losses.len() as f64).round() as usize).min(losses.len() - 1)]
        };
        let mut edges: Vec<f64> = quantiles.iter().map(at).filter(|edge| *edge < losses[0]).collect();
        edges.dedup();
        Ok(Self { edges })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.edges.len() + 1
    }

    /// The band of a token: 0 has the least probable labels.
    pub fn of(&self, token: &TokenStats) -> usize {
        self.edges.partition_point(|edge| token.loss <= *edge)
    }

    /// The probabilities between which a band lies: from the first on, below the second.
    pub fn range(&self, band: usize) -> (f64, f64) {
        let p = |loss: Option<&f64>, none: f64| loss.map_or(none, |loss| libm::exp(-loss.max(0.0)));
        let below = band.checked_sub(1).and_then(|before| self.edges.get(before));
        (p(below, 0.0), p(self.edges.get(band), 1.0))
    }

    /// For each band the pulls of −log p on its tokens, and none on the others; their sum is plain training.
    pub fn pulls(&self, tokens: &[TokenStats]) -> Vec<Vec<Pull>> {
        let mut bands = vec![vec![Pull::default(); tokens.len()]; self.count()];
        for (i, token) in tokens.iter().enumerate() {
            bands[self.of(token)][i].label = token.weight;
        }
        bands
    }
}

/// An objective's mean pulls.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The mean pull towards the label in each band; it is 1 in plain training.
    pub label: Vec<f64>,
    /// The share of the pulls' energy, Σ aₜ²·(1 − p)², that lies in their differences from the band's mean: 0 if the
    /// bands say everything about the objective.
    pub unresolved: f64,
}

impl Profile {
    /// The profile of these pulls of a sample's tokens.
    ///
    /// Means are weighted by (1 − p)², the squared size of a token's gradient on the label's logit, so that they are
    /// those that leave the least of the gradient out if tokens' gradients are orthogonal.
    ///
    /// # Errors
    /// If a token has a pull onto a reference, whose gradient is none of the bands'.
    pub fn of(pulls: &[Pull], tokens: &[TokenStats], bands: &Bands) -> Result<Self, Error> {
        if pulls.iter().any(|pull| pull.reference != 0.0) {
            return Err(Error::Order("a pull onto a reference has no profile".to_owned()));
        }
        let energy = |token: &TokenStats| {
            let push = one_minus_p(token) * token.weight;
            push * push
        };
        let mut sums = vec![[0.0; 2]; bands.count()];
        let counted = || pulls.iter().zip(tokens).filter(|(_, token)| token.weight != 0.0);
        for (pull, token) in counted() {
            let [pulled, all] = &mut sums[bands.of(token)];
            *pulled += pull.label / token.weight * energy(token);
            *all += energy(token);
        }
        let mean = |[pulled, all]: &[f64; 2]| if *all > 0.0 { pulled / all } else { 0.0 };
        let label: Vec<f64> = sums.iter().map(mean).collect();
        let (mut left, mut whole) = (0.0, 0.0);
        for (pull, token) in counted() {
            let own = pull.label / token.weight;
            let apart = own - label[bands.of(token)];
            left += apart * apart * energy(token);
            whole += own * own * energy(token);
        }
        Ok(Self { label, unresolved: if whole > 0.0 { left / whole } else { 0.0 } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Objective, Plan};

    fn tokens() -> Vec<TokenStats> {
        (0..200)
            .map(|i| {
                let loss = -libm::log((f64::from(i) + 0.5) / 200.0);
                TokenStats { position: i as u32, ..TokenStats::new(loss, 0.5) }
            })
            .collect()
    }

    fn profile(preset: &str, quantiles: &[f64]) -> Profile {
        let tokens = tokens();
        let pulls = Objective::preset(preset)
            .unwrap()
            .begin(Plan { steps: 1, seed: 0 })
            .pulls(&tokens)
            .unwrap()
            .clone();
        Profile::of(&pulls.pulls, &tokens, &Bands::new(&tokens, quantiles).unwrap()).unwrap()
    }

    #[test]
    fn bands_share_the_tokens_as_their_quantiles_say() {
        let tokens = tokens();
        let bands = Bands::new(&tokens, &[0.1, 0.25, 0.5]).unwrap();
        let mut counts = [0; 4];
        for token in &tokens {
            counts[bands.of(token)] += 1;
        }
        assert_eq!((bands.count(), counts), (4, [20, 30, 50, 100]));
        assert_eq!(bands.of(&tokens[0]), 0);
        let (low, high) = bands.range(1);
        assert!((low - 0.1).abs() < 0.01 && (high - 0.25).abs() < 0.01, "{low} {high}");
        assert_eq!((bands.range(0).0, bands.range(3).1), (0.0, 1.0));
        let pulls = bands.pulls(&tokens);
        let bands_of = |i: usize| pulls.iter().filter(|band| !band[i].is_zero()).count();
        assert!((0..tokens.len()).all(|i| bands_of(i) == 1));
    }

    #[test]
    fn equal_losses_share_a_band() {
        let tokens = vec![TokenStats::new(1.0, 0.0); 9];
        assert_eq!(Bands::new(&tokens, &[0.1, 0.5]).unwrap().count(), 1);
        assert!(Bands::new(&[], &[0.1]).is_err() && Bands::new(&tokens, &[0.5, 0.1]).is_err());
    }

    #[test]
    fn what_follows_the_bands_is_resolved_and_the_rest_by_narrow_ones() {
        let coarse = [0.1, 0.25, 0.5];
        assert_eq!(profile("mle", &coarse), Profile { label: vec![1.0; 4], unresolved: 0.0 });
        assert_eq!(profile("masked-mle", &coarse).label, [1.0, 1.0, 0.0, 0.0]);
        let fine: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
        let [coarse, fine] = [&coarse[..], &fine].map(|quantiles| profile("-p", quantiles));
        assert!(coarse.label.is_sorted() && coarse.label[0] > 0.04 && coarse.label[0] < 0.06, "{coarse:?}");
        assert!(
            fine.unresolved < 1e-3 && coarse.unresolved < 0.1,
            "{} {}",
            fine.unresolved,
            coarse.unresolved
        );
        assert!(fine.unresolved < coarse.unresolved);
    }

    #[test]
    fn references_have_no_profile() {
        let tokens = tokens();
        let pulls = vec![Pull { label: 0.0, reference: 1.0 }; tokens.len()];
        assert!(Profile::of(&pulls, &tokens, &Bands::new(&tokens, &[0.5]).unwrap()).is_err());
    }
}
