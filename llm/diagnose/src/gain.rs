//! The predicted first step: what an objective's step of length 1 gains on held-out documents, beside plain training.
//!
//! With G the mean gradient of an objective over batches, Σ its covariance over documents and v the gradient of the
//! held-out loss, a step along a batch of B documents, scaled to length 1, lowers the held-out loss by
//!
//! ```text
//! gain = ⟨v, G⟩ / √(‖G‖² + tr Σ / B)
//! ```
//!
//! to first order (docs/theory.md). All terms come from gradients of folds of documents. ⟨v, G⟩ multiplies training
//! folds by held-out ones, and ‖G‖² different training folds: the squared length of an estimated gradient would count
//! its noise as signal. What a fold's own square has beyond that is tr Σ over its documents.

use serde::Serialize;
use tokensieve_base::statistics::{
    Estimate, holm, jackknife_half_width, mean, student_cdf, student_quantile,
};

use crate::sketch::Sketch;

/// Inner products of the gradients of folds of documents, by band.
#[derive(Clone, Debug)]
pub(crate) struct Products {
    folds: usize,
    bands: usize,
    /// Documents of a fold.
    documents: f64,
    /// Of two training folds' bands.
    gram: Vec<f64>,
    /// Of a held-out fold's measure and a training fold's band.
    slopes: Vec<f64>,
}

/// An objective beside plain training.
#[derive(Clone, Debug, Serialize)]
pub struct Gain {
    /// Its gain over plain training's, less 1: 0.1 is a tenth more, at equal length of the step. `None` where plain
    /// training has no clear gain to compare with.
    pub relative: Option<Estimate>,
    /// Its gain less plain training's, in the held-out loss per unit of length: comparable between objectives alone.
    pub difference: Option<Estimate>,
    /// p-value of no difference, adjusted by Holm's rule for all objectives compared.
    pub p: Option<f64>,
}

/// Below this adjusted p-value a difference is one.
pub(crate) const LEVEL: f64 = 0.05;

impl Gain {
    /// By which objectives are put in order.
    pub(crate) fn value(&self) -> f64 {
        self.difference.map_or(f64::NEG_INFINITY, |gain| gain.value)
    }

    /// Whether it is better than plain training for sure.
    pub fn is_better(&self) -> bool {
        self.differs() && self.difference.is_some_and(|gain| gain.value > 0.0)
    }

    /// Whether it differs from plain training for sure.
    pub fn differs(&self) -> bool {
        self.p.is_some_and(|p| p < LEVEL)
    }
}

/// Of objectives, each by the measure that decides and by the other one: among those that are better than plain training for
/// sure, the one that is best, or costs least, by the other measure. The one with the largest gain is usually the most extreme,
/// and the gain of one step too hopeful (docs/LOG.md, 25 November).
pub(crate) fn mildest<'g>(objectives: impl Iterator<Item = (&'g Gain, &'g Gain)>) -> Option<usize> {
    let better = objectives.enumerate().filter(|(_, (own, _))| own.is_better());
    better.max_by(|(_, (_, a)), (_, (_, b))| a.value().total_cmp(&b.value())).map(|(index, _)| index)
}

/// A band's part in plain training.
#[derive(Clone, Debug, Serialize)]
pub struct BandShare {
    /// Its part of the held-out gain: ⟨v, `g_b`⟩ / ⟨v, g⟩. The bands' add up to 1.
    pub gain: Option<Estimate>,
    /// Its part of the step's noise, tr Σ: that of the band's own gradient.
    pub noise: Option<f64>,
}

impl Products {
    /// `train[fold][band]` and `held_out[fold][measure]`, with as many folds; `documents`: in each fold.
    pub(crate) fn of(train: &[Vec<Sketch>], held_out: &[Vec<Sketch>], documents: usize) -> Self {
        let all = |of: &[Vec<Sketch>], with: &[Vec<Sketch>]| -> Vec<f64> {
            let others = || with.iter().flatten();
            of.iter().flatten().flat_map(|one| others().map(|other| one.dot(other))).collect()
        };
        Self {
            folds: train.len(),
            bands: train.first().map_or(0, Vec::len),
            documents: documents as f64,
            gram: all(train, train),
            slopes: all(held_out, train),
        }
    }

    /// The terms of an objective with these mean pulls in the bands.
    fn terms(&self, weights: &[f64], measure: usize) -> Terms {
        let (folds, bands) = (self.folds, self.bands);
        let measures = self.slopes.len() / (folds * folds * bands).max(1);
        let row = |from: &[f64], first: usize, fold: usize| -> f64 {
            let start = first * folds * bands + fold * bands;
            weights.iter().zip(&from[start..start + bands]).map(|(weight, product)| weight * product).sum()
        };
        let square = |i: usize, j: usize| -> f64 {
            (0..bands).map(|band| weights[band] * row(&self.gram, i * bands + band, j)).sum()
        };
        let each = |of: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
            (0..folds).map(|i| (0..folds).map(|j| of(i, j)).collect()).collect()
        };
        let by = self.documents * self.documents;
        Terms {
            squares: each(&|i, j| square(i, j) / by),
            slopes: each(&|i, j| row(&self.slopes, i * measures + measure, j) / by),
        }
    }

    /// The gain of an objective with these mean pulls, with batches of `batch` documents; `None` where there is no
    /// step.
    #[cfg(test)]
    pub(crate) fn gain(&self, weights: &[f64], measure: usize, batch: f64) -> Option<f64> {
        self.terms(weights, measure).gain(batch / self.documents, None)
    }

    /// Compares objectives, given by their mean pulls in the bands, with plain training on batches of `batch`
    /// documents.
    pub(crate) fn gains(&self, objectives: &[Vec<f64>], measure: usize, batch: f64) -> Vec<Gain> {
        self.beside(&vec![1.0; self.bands], objectives, measure, batch)
    }

    /// Indices of the objectives that do not differ for sure from the one at `chosen`, `None` for plain training. One that pulls
    /// no token is not among them.
    pub(crate) fn indistinguishable(
        &self,
        objectives: &[Vec<f64>],
        chosen: Option<usize>,
        measure: usize,
        batch: f64,
    ) -> Vec<usize> {
        let base = chosen.map_or_else(|| vec![1.0; self.bands], |index| objectives[index].clone());
        let gains = self.beside(&base, objectives, measure, batch);
        let is_alike = |gain: &Gain| gain.difference.is_some() && !gain.differs();
        (0..gains.len()).filter(|index| Some(*index) != chosen && is_alike(&gains[*index])).collect()
    }

    /// Compares objectives with the one of these pulls.
    fn beside(&self, base: &[f64], objectives: &[Vec<f64>], measure: usize, batch: f64) -> Vec<Gain> {
        let ratio = batch / self.documents;
        let base = self.terms(base, measure);
        // Without a clear gain there is nothing to divide by.
        let clear =
            estimate(self.folds, &|without| base.gain(ratio, without)).is_some_and(|gain| gain.above(0.0));
        let compare = |weights: &Vec<f64>| {
            let own = self.terms(weights, measure);
            let both = |without| Some((own.gain(ratio, without)?, base.gain(ratio, without)?));
            let relative = |without| both(without).map(|(own, base)| own / base - 1.0);
            let difference = |without| both(without).map(|(own, base)| own - base);
            let relative = estimate(self.folds, &relative).filter(|_| clear);
            Gain { relative, difference: estimate(self.folds, &difference), p: None }
        };
        let mut gains: Vec<Gain> = objectives.iter().map(compare).collect();
        // Presets with the same profile are one hypothesis.
        let first = |weights: &Vec<f64>| objectives.iter().position(|other| are_alike(other, weights));
        let firsts: Vec<Option<usize>> = objectives.iter().map(first).collect();
        let tested: Vec<(usize, f64)> = (gains.iter().enumerate())
            .filter(|(index, _)| firsts[*index] == Some(*index))
            .filter_map(|(index, gain)| Some((index, two_sided(gain.difference.as_ref()?))))
            .collect();
        let adjusted = holm(&tested.iter().map(|(_, p)| *p).collect::<Vec<f64>>());
        for (gain, first) in gains.iter_mut().zip(firsts) {
            let of = tested.iter().position(|(index, _)| Some(*index) == first);
            gain.p = of.map(|at| adjusted[at]);
        }
        gains
    }

    /// What each band adds to plain training's gain and noise.
    pub(crate) fn shares(&self, measure: usize) -> Vec<BandShare> {
        let plain = self.terms(&vec![1.0; self.bands], measure);
        let one = |band: usize| {
            let weights: Vec<f64> = (0..self.bands).map(|other| f64::from(u8::from(other == band))).collect();
            let own = self.terms(&weights, measure);
            let clear =
                estimate(self.folds, &|without| plain.slope(without)).is_some_and(|gain| gain.above(0.0));
            let share = |without| Some(own.slope(without)? / plain.slope(without)?);
            BandShare {
                gain: estimate(self.folds, &share).filter(|_| clear),
                noise: own.noise(None).zip(plain.noise(None)).map(|(own, all)| own / all),
            }
        };
        (0..self.bands).map(one).collect()
    }
}

/// Whether two profiles are the same but for their scale, which a step of a given length does not see.
pub(crate) fn are_alike(one: &[f64], other: &[f64]) -> bool {
    let largest = |of: &[f64]| of.iter().fold(f64::MIN_POSITIVE, |largest, weight| largest.max(weight.abs()));
    let (by_one, by_other) = (largest(one), largest(other));
    one.iter().zip(other).all(|(a, b)| (a / by_one - b / by_other).abs() <= 1e-6)
}

/// The inner products of one objective's folds: among each other, and with the held-out folds.
struct Terms {
    squares: Vec<Vec<f64>>,
    slopes: Vec<Vec<f64>>,
}

impl Terms {
    /// ⟨v, G⟩, a training and a held-out fold left out.
    fn slope(&self, without: Option<usize>) -> Option<f64> {
        over_pairs(&self.slopes, without, |_, _| true)
    }

    /// ‖G‖², from different folds.
    fn square(&self, without: Option<usize>) -> Option<f64> {
        over_pairs(&self.squares, without, |i, j| i != j)
    }

    /// tr Σ / documents of a fold.
    fn noise(&self, without: Option<usize>) -> Option<f64> {
        let own = over_pairs(&self.squares, without, |i, j| i == j)?;
        Some((own - self.square(without)?).max(0.0))
    }

    /// The gain of a step of length 1 along batches `ratio` times as large as a fold.
    fn gain(&self, ratio: f64, without: Option<usize>) -> Option<f64> {
        let square = self.square(without)?.max(0.0) + self.noise(without)? / ratio;
        (square > 0.0).then_some(self.slope(without)? / square.sqrt())
    }
}

/// The mean over pairs of folds, one fold of each kind left out.
fn over_pairs(of: &[Vec<f64>], without: Option<usize>, takes: fn(usize, usize) -> bool) -> Option<f64> {
    let kept = || (0..of.len()).filter(|fold| Some(*fold) != without);
    let pairs = kept().flat_map(|i| kept().map(move |j| (i, j))).filter(|(i, j)| takes(*i, *j));
    mean(&pairs.map(|(i, j)| of[i][j]).collect::<Vec<f64>>())
}

/// A statistic with its jackknife interval over the folds.
fn estimate(folds: usize, of: &dyn Fn(Option<usize>) -> Option<f64>) -> Option<Estimate> {
    let value = of(None).filter(|value| value.is_finite())?;
    let left_out: Vec<f64> = (0..folds).map(|fold| of(Some(fold))).collect::<Option<_>>()?;
    let half = jackknife_half_width(&left_out).filter(|half| half.is_finite())?;
    Some(Estimate { value, low: value - half, high: value + half, n: folds })
}

/// p-value of a jackknife estimate that it is zero; 1 where it has no spread, as of Student's test.
fn two_sided(of: &Estimate) -> f64 {
    let Some(quantile) = student_quantile(0.975, of.n.saturating_sub(1)) else { return 1.0 };
    let error = (of.high - of.value) / quantile;
    if of.is_without_spread() { 1.0 } else { 2.0 * student_cdf(-(of.value / error).abs(), of.n - 1) }
}

#[cfg(test)]
mod tests {
    use tokensieve_base::streams::Stream;

    use super::*;

    const BANDS: usize = 3;
    const WIDTH: usize = 400;

    /// Folds of `documents` documents whose bands' gradients are these plus noise of the bands' size, and as many
    /// held-out folds.
    fn folds(folds: usize, documents: usize, noise: [f64; BANDS], seed: u64) -> Products {
        let mut stream = Stream::new(seed, "folds");
        let mut draw =
            |size: f64| -> Vec<f32> { (0..WIDTH).map(|_| (size * stream.normal()) as f32).collect() };
        let mean: Vec<Vec<f32>> = (0..BANDS).map(|_| draw(1.0)).collect();
        let mut sketch = |band: usize| {
            let mut sketch = Sketch::zero(WIDTH);
            for _ in 0..documents {
                sketch.add(&mean[band]);
                sketch.add(&draw(noise[band]));
            }
            sketch
        };
        let train: Vec<Vec<Sketch>> = (0..folds).map(|_| (0..BANDS).map(&mut sketch).collect()).collect();
        let held: Vec<Vec<Sketch>> = (0..folds)
            .map(|_| {
                let parts: Vec<Sketch> = (0..BANDS).map(&mut sketch).collect();
                let mut whole = Sketch::zero(WIDTH);
                for part in &parts {
                    whole.add_sketch(part);
                }
                vec![whole]
            })
            .collect();
        Products::of(&train, &held, documents)
    }

    /// The squared length of a mean over documents is too large by tr Σ / documents; the folds' cross products are not.
    #[test]
    fn lengths_are_not_counted_with_their_noise() {
        let (mut naive, mut crossed, runs) = (0.0, 0.0, 40);
        for seed in 0..runs {
            let products = folds(4, 2, [3.0; BANDS], seed);
            let terms = products.terms(&[1.0, 0.0, 0.0], 0);
            crossed += terms.square(None).unwrap() / f64::from(runs as u32);
            naive += over_pairs(&terms.squares, None, |_, _| true).unwrap() / f64::from(runs as u32);
        }
        // Of a vector of 400 numbers of variance 1; its noise: 9 · 400 / 8 documents.
        assert!((crossed - 400.0).abs() < 30.0, "{crossed}");
        assert!((naive - 850.0).abs() < 40.0, "{naive}");
    }

    #[test]
    fn a_band_of_noise_is_better_left_out_and_the_interval_says_so() {
        let products = folds(8, 32, [12.0, 0.3, 0.3], 1);
        let gains = products.gains(&[vec![1.0; 3], vec![0.0, 1.0, 1.0], vec![1.0, 0.0, 0.0]], 0, 32.0);
        let relative: Vec<Estimate> = gains.iter().map(|gain| gain.relative.unwrap()).collect();
        assert!(relative[0].value.abs() < 1e-12 && gains[0].p == Some(1.0));
        assert!(relative[1].above(0.0) && gains[1].p.unwrap() < 0.05, "{gains:?}");
        assert!(relative[2].below(0.0), "{gains:?}");
        let shares = products.shares(0);
        let sum: f64 = shares.iter().map(|share| share.gain.unwrap().value).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert!(shares[0].noise.unwrap() > 0.9);
    }

    /// Where training and held-out documents are alike and batches are large, nothing beats plain training.
    #[test]
    fn without_noise_plain_training_is_the_steepest_descent() {
        let products = folds(6, 4, [0.01; BANDS], 3);
        let gains = products.gains(&[vec![0.2, 1.0, 1.0], vec![1.0, 1.0, 0.0], vec![2.0, 1.0, 0.5]], 0, 1e9);
        assert!(gains.iter().all(|gain| gain.relative.unwrap().below(0.0)), "{gains:?}");
    }

    #[test]
    fn the_same_objective_under_another_name_or_scale_is_no_further_hypothesis() {
        let products = folds(8, 32, [12.0, 0.3, 0.3], 1);
        let (less, more) = (vec![0.5, 1.0, 1.0], vec![1.0, 1.0, 0.0]);
        let p = |objectives: &[Vec<f64>]| products.gains(objectives, 0, 32.0)[0].p.unwrap();
        let both = p(&[less.clone(), more.clone()]);
        assert_eq!(p(&[less.clone(), more.clone(), vec![1.0, 2.0, 2.0], less.clone()]), both);
        assert!(p(&[less]) < both);
        assert!(
            are_alike(&[0.0, 0.0], &[0.0, 0.0])
                && !are_alike(&[0.0, 0.0], &[0.0, 1.0])
                && !are_alike(&more, &[1.0; 3])
        );
    }

    /// Their gains vary together from fold to fold, so that their difference is sure though each one's interval holds the other's
    /// gain.
    #[test]
    fn objectives_whose_difference_is_sure_are_not_alike() {
        let products = folds(8, 8, [12.0, 3.0, 3.0], 1);
        let objectives = [vec![0.10, 1.0, 1.0], vec![0.15, 1.0, 1.0], vec![0.0; 3], vec![0.2, 2.0, 2.0]];
        let gains = products.gains(&objectives, 0, 32.0);
        let [one, other] = [0, 1].map(|index| gains[index].difference.unwrap());
        assert!(one.low < other.value && other.value < one.high, "{gains:?}");
        // The same up to its scale is alike, what pulls no token is not.
        assert_eq!(products.indistinguishable(&objectives, Some(0), 0, 32.0), [3]);
        assert!(!products.indistinguishable(&objectives, None, 0, 32.0).contains(&2));
    }

    #[test]
    fn a_difference_without_spread_is_none_for_sure_however_it_is_rounded() {
        let of = |half: f64| Estimate { value: 0.1, low: 0.1 - half, high: 0.1 + half, n: 8 };
        assert_eq!([0.0, 1e-17, 1e-15].map(|half| two_sided(&of(half))), [1.0; 3]);
        assert!(two_sided(&of(0.01)) < 1e-6);
    }

    #[test]
    fn a_gain_that_may_be_none_is_no_measure() {
        let mut stream = Stream::new(9, "unrelated");
        let mut draw = || {
            let mut sketch = Sketch::zero(WIDTH);
            sketch.add(&(0..WIDTH).map(|_| stream.normal() as f32).collect::<Vec<f32>>());
            vec![sketch]
        };
        let [train, held]: [Vec<Vec<Sketch>>; 2] = [0, 1].map(|_| (0..4).map(|_| draw()).collect());
        let gain = &Products::of(&train, &held, 1).gains(&[vec![2.0]], 0, 32.0)[0];
        assert!(gain.relative.is_none() && !gain.differs(), "{gain:?}");
    }
}
