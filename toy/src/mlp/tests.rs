//! The fast network against its slow, obvious twin: plain loops over every pixel, zeros included.

// Equal bits are what is claimed.
#![allow(clippy::float_cmp)]

use fearless_simd::{Level, dispatch, f32x16, prelude::*};

use super::{CLASSES, Dropout, Fleet, H1, H2, IN, ImagePull, LANES, SparseImages, Weights, softmax};
use crate::images::{DataSet, Images};
use tokensieve_base::streams::Stream;

/// A float that the twin computes in: f32 for equal bits, f64 for derivatives.
trait Float: Copy + PartialOrd + std::ops::Neg<Output = Self> {
    fn of(x: f32) -> Self;
    fn fma(self, b: Self, c: Self) -> Self;
}

impl Float for f32 {
    fn of(x: f32) -> Self {
        x
    }
    fn fma(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }
}

impl Float for f64 {
    fn of(x: f32) -> Self {
        Self::from(x)
    }
    fn fma(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }
}

/// A dense layer: row k of `w` is what input k contributes to each output.
#[derive(Clone)]
struct Layer<F> {
    w: Vec<Vec<F>>,
    b: Vec<F>,
}

impl<F: Float> Layer<F> {
    fn new<const OUT: usize>(w: &[[f32; OUT]], b: &[f32; OUT], outputs: usize) -> Self {
        let row = |row: &[f32; OUT]| -> Vec<F> { row[..outputs].iter().map(|&w| F::of(w)).collect() };
        Self { w: w.iter().map(row).collect(), b: row(b) }
    }

    fn forward(&self, x: &[F]) -> Vec<F> {
        let mut z = self.b.clone();
        for (x, row) in x.iter().zip(&self.w) {
            for (z, w) in z.iter_mut().zip(row) {
                *z = x.fma(*w, *z);
            }
        }
        z
    }

    /// The pull on the inputs, where they are active.
    fn backward(&self, pull: &[F], x: &[F]) -> Vec<F> {
        let zero = F::of(0.0);
        let sum = |row: &Vec<F>| row.iter().zip(pull).fold(zero, |sum, (w, u)| u.fma(*w, sum));
        self.w.iter().zip(x).map(|(row, x)| if *x > zero { sum(row) } else { zero }).collect()
    }

    fn step(&mut self, x: &[F], pull: &[F]) {
        for (x, row) in x.iter().zip(&mut self.w) {
            for (w, u) in row.iter_mut().zip(pull) {
                *w = x.fma(*u, *w);
            }
        }
        for (b, u) in self.b.iter_mut().zip(pull) {
            *b = F::of(1.0).fma(*u, *b);
        }
    }
}

#[derive(Clone)]
struct Twin<F>([Layer<F>; 3]);

impl<F: Float> Twin<F> {
    fn new(weights: &Weights) -> Self {
        let upper = &weights.upper;
        Self([
            Layer::new(&weights.w1, &upper.b1, H1),
            Layer::new(&upper.w2, &upper.b2, H2),
            Layer::new(&upper.w3, &upper.b3, CLASSES),
        ])
    }

    /// Inputs of the three layers, then the logits.
    fn forward(&self, image: &[u8]) -> [Vec<F>; 4] {
        let relu = |z: Vec<F>| -> Vec<F> {
            z.into_iter().map(|z| if z > F::of(0.0) { z } else { F::of(0.0) }).collect()
        };
        let x: Vec<F> = image.iter().map(|&grey| F::of(f32::from(grey) / 255.0)).collect();
        let h1 = relu(self.0[0].forward(&x));
        let h2 = relu(self.0[1].forward(&h1));
        let logits = self.0[2].forward(&h2);
        [x, h1, h2, logits]
    }

    fn step(&mut self, images: &[&[u8]], pulls: &[Vec<F>]) {
        let moves: Vec<_> = images
            .iter()
            .zip(pulls)
            .map(|(image, pull)| {
                let [x, h1, h2, _] = self.forward(image);
                let u2 = self.0[2].backward(pull, &h2);
                let u1 = self.0[1].backward(&u2, &h1);
                ([x, h1, h2], [u1, u2, pull.clone()])
            })
            .collect();
        for (inputs, pulls) in moves {
            for ((layer, x), pull) in self.0.iter_mut().zip(&inputs).zip(&pulls) {
                layer.step(x, pull);
            }
        }
    }

    fn parameters(&mut self) -> impl Iterator<Item = &mut F> {
        self.0.iter_mut().flat_map(|layer| layer.w.iter_mut().flatten().chain(&mut layer.b))
    }
}

fn images(seed: u64, n: usize) -> Images {
    DataSet::synthetic(seed, n, 1).train
}

/// Every instruction set that this machine has.
fn levels() -> Vec<Level> {
    let best = Level::new();
    let mut levels = vec![best, Level::baseline()];
    #[cfg(target_arch = "x86_64")]
    {
        levels.extend(best.as_avx2().map(Level::Avx2));
        levels.extend(best.as_sse4_2().map(Level::Sse4_2));
    }
    levels
}

fn pull(image: usize, g: usize) -> [f32; LANES] {
    let mut stream = Stream::new((image * 10 + g) as u64, "pull");
    std::array::from_fn(|class| if class < CLASSES { 0.02 * stream.normal() as f32 } else { 0.0 })
}

/// Trains on every third image for three steps, on every instruction set, and compares all bits with the twin.
#[test]
fn training_equals_the_twin_bit_for_bit() {
    let images = images(1, 39);
    let indices: Vec<usize> = (0..images.len()).rev().collect();
    let batch = SparseImages::new(&images).batch(&indices);
    let weights: [Weights; 3] = std::array::from_fn(|g| Weights::random(g as u64));
    for level in levels() {
        let mut fleet = Fleet::with_level(&weights, level);
        let mut twins: Vec<Twin<f32>> = weights.iter().map(Twin::new).collect();
        for _ in 0..3 {
            fleet.forward(&batch);
            for (g, twin) in twins.iter_mut().enumerate() {
                let kept: Vec<ImagePull> =
                    (g..39).step_by(3).map(|image| ImagePull { image, pull: pull(image, g) }).collect();
                fleet.step(g, &batch, &kept);
                let pixels: Vec<&[u8]> = kept.iter().map(|kept| images.image(indices[kept.image])).collect();
                let pulls: Vec<_> = kept.iter().map(|kept| kept.pull[..CLASSES].to_vec()).collect();
                twin.step(&pixels, &pulls);
            }
        }
        for (g, twin) in twins.iter_mut().enumerate() {
            let mut fast: Twin<f32> = Twin::new(&fleet.weights(g));
            let equal = fast.parameters().zip(twin.parameters()).all(|(a, b)| a == b);
            assert!(equal, "model {g} on {level:?}");
        }
    }
}

/// Loss, entropy and probabilities against f64; and the same bits on every instruction set.
#[test]
fn predictions_equal_a_softmax_in_f64() {
    let images = images(2, 50);
    let batch = SparseImages::new(&images).batch(&(0..50).collect::<Vec<_>>());
    let mut weights = Weights::random(5);
    // Larger logits than those of a fresh network: losses up to 20.
    weights.upper.w3.iter_mut().flatten().for_each(|w| *w *= 100.0);
    let twin: Twin<f64> = Twin::new(&weights);
    let mut bits = None;
    for level in levels() {
        let mut fleet = Fleet::with_level(std::array::from_ref(&weights), level);
        fleet.forward(&batch);
        let predictions = fleet.predictions(0);
        for image in 0..50 {
            let [.., logits] = twin.forward(images.image(image));
            let top = logits.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = logits.iter().map(|z| libm::exp(z - top)).sum();
            let p: Vec<f64> = logits.iter().map(|z| libm::exp(z - top) / sum).collect();
            let loss = libm::log(sum) + top - logits[usize::from(images.labels[image])];
            let entropy = -p.iter().filter(|p| **p > 0.0).map(|p| p * libm::log(*p)).sum::<f64>();
            assert!(
                (f64::from(predictions.loss[image]) - loss).abs() < 1e-5,
                "{loss} {}",
                predictions.loss[image]
            );
            assert!((f64::from(predictions.entropy[image]) - entropy).abs() < 1e-5);
            for (fast, slow) in predictions.probabilities(image).iter().zip(&p) {
                assert!((f64::from(*fast) - slow).abs() < 1e-5, "{fast} {slow}");
            }
        }
        let now: Vec<u32> =
            predictions.loss.iter().chain(&predictions.entropy).map(|x| x.to_bits()).collect();
        assert_eq!(*bits.get_or_insert_with(|| now.clone()), now, "{level:?}");
    }
}

/// The step is minus the learning rate times the gradient: finite differences of the twin's loss in f64.
#[test]
fn step_is_the_gradient() {
    let images = images(3, 8);
    let weights = Weights::random(9);
    let loss = |twin: &Twin<f64>| -> f64 {
        let one = |image: usize| {
            let [.., logits] = twin.forward(images.image(image));
            let top = logits.iter().copied().fold(f64::MIN, f64::max);
            libm::log(logits.iter().map(|z| libm::exp(z - top)).sum::<f64>()) + top
                - logits[usize::from(images.labels[image])]
        };
        (0..8).map(one).sum()
    };
    let batch = SparseImages::new(&images).batch(&(0..8).collect::<Vec<_>>());
    let mut fleet = Fleet::new(std::array::from_ref(&weights));
    fleet.forward(&batch);
    let kept: Vec<ImagePull> = (0..8)
        .map(|image| {
            let mut pull = [0.0; LANES];
            for (class, p) in fleet.predictions(0).probabilities(image).into_iter().enumerate() {
                pull[class] = if class == usize::from(images.labels[image]) { 1.0 - p } else { -p };
            }
            ImagePull { image, pull }
        })
        .collect();
    fleet.step(0, &batch, &kept);
    let mut twin: Twin<f64> = Twin::new(&weights);
    let before: Vec<f64> = twin.parameters().map(|w| *w).collect();
    let after: Vec<f64> = Twin::<f64>::new(&fleet.weights(0)).parameters().map(|w| *w).collect();
    let mut stream = Stream::new(4, "directions");
    for (at, moved) in before.iter().zip(&after).map(|(before, after)| after - before).enumerate() {
        // All of the upper parameters, a hundredth of the 25,088 first-layer weights.
        if at < IN * H1 && !stream.chance(0.01) {
            continue;
        }
        let mut slope = 0.0;
        for side in [-1.0, 1.0] {
            *twin.parameters().nth(at).unwrap() = before[at] + side * 1e-6;
            slope += side * loss(&twin) / 2e-6;
        }
        *twin.parameters().nth(at).unwrap() = before[at];
        assert!((moved + slope).abs() < 2e-4, "parameter {at}: moved {moved}, slope {slope}");
    }
}

#[test]
fn exponential_and_logarithm_are_right_to_two_units_in_the_last_place() {
    let level = Level::new();
    let mut stream = Stream::new(8, "arguments");
    let ulp = |x: f64| f64::from(f32::from_bits((x as f32).to_bits() + 1)) - f64::from(x as f32);
    for _ in 0..20_000 {
        let below: [f32; LANES] = std::array::from_fn(|_| stream.uniform_in(-87.0, 0.0) as f32);
        let above: [f32; LANES] = std::array::from_fn(|_| stream.uniform_in(1.0, 10.0) as f32);
        let (mut e, mut l) = ([0.0; LANES], [0.0; LANES]);
        dispatch!(level, simd => {
            softmax::exp(simd, f32x16::from_slice(simd, &below)).store_slice(&mut e);
            softmax::ln(simd, f32x16::from_slice(simd, &above)).store_slice(&mut l);
        });
        for lane in 0..LANES {
            let truth = libm::exp(f64::from(below[lane]));
            assert!((f64::from(e[lane]) - truth).abs() <= 2.0 * ulp(truth), "exp {}", below[lane]);
            let truth = libm::log(f64::from(above[lane]));
            assert!((f64::from(l[lane]) - truth).abs() <= 2.0 * ulp(truth), "ln {}", above[lane]);
        }
    }
    let mut ends = [0.0; LANES];
    dispatch!(level, simd => {
        let x: [f32; LANES] = std::array::from_fn(|lane| if lane == 0 { 0.0 } else { -1e4 });
        softmax::exp(simd, f32x16::from_slice(simd, &x)).store_slice(&mut ends);
    });
    assert!(ends[0] == 1.0 && ends[1..].iter().all(|e| (0.0..2e-38).contains(e)), "{ends:?}");
}

/// A dropped unit passes nothing on, down or up; a kept one is scaled.
#[test]
fn dropout_multiplies_the_hidden_units() {
    let images = images(6, 20);
    let batch = SparseImages::new(&images).batch(&(0..20).collect::<Vec<_>>());
    let weights = Weights::random(3);
    let mut fleet = Fleet::new(std::array::from_ref(&weights));
    let ones = Dropout { h1: vec![[1.0; H1]; 20], h2: vec![[1.0; H2]; 20] };
    fleet.forward(&batch);
    let plain = fleet.predictions(0).loss.clone();
    fleet.forward_dropout(&batch, &ones);
    assert_eq!(plain, fleet.predictions(0).loss);
    let none = Dropout { h1: vec![[0.0; H1]; 20], h2: vec![[2.0; H2]; 20] };
    fleet.forward_dropout(&batch, &none);
    let first = fleet.predictions(0).probabilities(0);
    assert!((1..20).all(|image| fleet.predictions(0).probabilities(image) == first));
    let kept: Vec<ImagePull> = (0..20).map(|image| ImagePull { image, pull: pull(image, 0) }).collect();
    fleet.step(0, &batch, &kept);
    assert_eq!(fleet.weights(0).w1, weights.w1);
    assert_ne!(fleet.weights(0).upper.w3, weights.upper.w3);
}
