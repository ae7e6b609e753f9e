//! How much one training step on one image would lower the loss on other images, to first order.
//!
//! A step of size η on image i moves the weights by −η gᵢ and the held-out loss by −η ⟨g, gᵢ⟩: the influence is
//! the inner product of two gradients. In f64 and plain loops: it is read once per checkpoint, not per step.

use super::{CLASSES, H1, H2, Weights};

/// A network, or a gradient, in f64. Row k of a matrix holds what input k contributes to each output.
#[derive(Clone, Debug)]
pub struct Network {
    w1: Vec<[f64; H1]>,
    b1: [f64; H1],
    w2: [[f64; H2]; H1],
    b2: [f64; H2],
    w3: [[f64; CLASSES]; H2],
    b3: [f64; CLASSES],
}

/// What one image contributes to the gradient: each layer's inputs, and the slope of the loss at its outputs.
#[derive(Clone, Debug)]
pub struct Slopes {
    inputs: Vec<(usize, f64)>,
    h1: [f64; H1],
    h2: [f64; H2],
    d1: [f64; H1],
    d2: [f64; H2],
    d3: [f64; CLASSES],
}

impl Network {
    /// These weights in f64.
    pub fn new(weights: &Weights) -> Self {
        let upper = &weights.upper;
        let cut = |row: &[f32; super::LANES]| std::array::from_fn(|class| f64::from(row[class]));
        Self {
            w1: weights.w1.iter().map(|row| row.map(f64::from)).collect(),
            b1: upper.b1.map(f64::from),
            w2: upper.w2.map(|row| row.map(f64::from)),
            b2: upper.b2.map(f64::from),
            w3: std::array::from_fn(|k| cut(&upper.w3[k])),
            b3: cut(&upper.b3),
        }
    }

    /// The loss of an image in nats, and the slopes of it.
    pub fn slopes(&self, image: &[u8], label: u8) -> (f64, Slopes) {
        let nonzero = image.iter().enumerate().filter(|(_, grey)| **grey != 0);
        let inputs: Vec<(usize, f64)> =
            nonzero.map(|(pixel, &grey)| (pixel, f64::from(grey) / 255.0)).collect();
        let mut h1 = self.b1;
        for &(pixel, x) in &inputs {
            add(&mut h1, x, &self.w1[pixel]);
        }
        let h1 = h1.map(|z| z.max(0.0));
        let mut h2 = self.b2;
        h1.iter().zip(&self.w2).for_each(|(x, row)| add(&mut h2, *x, row));
        let h2 = h2.map(|z| z.max(0.0));
        let mut logits = self.b3;
        h2.iter().zip(&self.w3).for_each(|(x, row)| add(&mut logits, *x, row));

        let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let e = logits.map(|z| libm::exp(z - top));
        let sum: f64 = e.iter().sum();
        let label = usize::from(label);
        let mut d3 = e.map(|e| e / sum);
        d3[label] -= 1.0;
        let down = |active: f64, slope: f64| if active > 0.0 { slope } else { 0.0 };
        let d2 = std::array::from_fn(|k| down(h2[k], inner(&self.w3[k], &d3)));
        let d1 = std::array::from_fn(|k| down(h1[k], inner(&self.w2[k], &d2)));
        (libm::log(sum) + top - logits[label], Slopes { inputs, h1, h2, d1, d2, d3 })
    }

    /// The network with all weights zero: where sums of gradients begin.
    pub fn zero() -> Self {
        Self {
            w1: vec![[0.0; H1]; super::IN],
            b1: [0.0; H1],
            w2: [[0.0; H2]; H1],
            b2: [0.0; H2],
            w3: [[0.0; CLASSES]; H2],
            b3: [0.0; CLASSES],
        }
    }

    /// Adds `factor` times the gradient of an image: one step of gradient descent if it is negative.
    pub fn add(&mut self, factor: f64, slopes: &Slopes) {
        for &(pixel, x) in &slopes.inputs {
            add(&mut self.w1[pixel], factor * x, &slopes.d1);
        }
        slopes.h1.iter().zip(&mut self.w2).for_each(|(x, row)| add(row, factor * x, &slopes.d2));
        slopes.h2.iter().zip(&mut self.w3).for_each(|(x, row)| add(row, factor * x, &slopes.d3));
        add(&mut self.b1, factor, &slopes.d1);
        add(&mut self.b2, factor, &slopes.d2);
        add(&mut self.b3, factor, &slopes.d3);
    }

    /// ⟨this gradient, the gradient of an image⟩.
    pub fn inner(&self, slopes: &Slopes) -> f64 {
        let mut sum = inner(&self.b1, &slopes.d1) + inner(&self.b2, &slopes.d2) + inner(&self.b3, &slopes.d3);
        sum += slopes.inputs.iter().map(|&(pixel, x)| x * inner(&self.w1[pixel], &slopes.d1)).sum::<f64>();
        sum += self.w2.iter().zip(slopes.h1).map(|(row, x)| x * inner(row, &slopes.d2)).sum::<f64>();
        sum + self.w3.iter().zip(slopes.h2).map(|(row, x)| x * inner(row, &slopes.d3)).sum::<f64>()
    }
}

fn add<const N: usize>(sum: &mut [f64; N], factor: f64, row: &[f64; N]) {
    for (sum, x) in sum.iter_mut().zip(row) {
        *sum += factor * x;
    }
}

fn inner<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::DataSet;

    /// The influence against the loss after an exact step: the step's share in it, in the limit.
    #[test]
    fn influence_is_the_exact_step_to_first_order() {
        let data = DataSet::synthetic(3, 40, 40);
        let network = Network::new(&Weights::random(1));
        let held_out = |network: &Network| -> f64 {
            (0..40).map(|i| network.slopes(data.test.image(i), data.test.labels[i]).0).sum::<f64>() / 40.0
        };
        let mut gradient = Network::zero();
        for i in 0..40 {
            gradient.add(1.0 / 40.0, &network.slopes(data.test.image(i), data.test.labels[i]).1);
        }
        for i in 0..40 {
            let slopes = network.slopes(data.train.image(i), data.train.labels[i]).1;
            let influence = gradient.inner(&slopes);
            // Small enough that no hidden unit crosses zero; rounding of the two losses then leaves 1e-9.
            let rate = 1e-6;
            let mut moved = network.clone();
            moved.add(-rate, &slopes);
            let decrease = held_out(&network) - held_out(&moved);
            assert!((decrease / rate - influence).abs() < 1e-5, "{i}: {influence} {decrease}");
            assert!(influence.abs() > 1e-4, "{i}: {influence}");
        }
    }

    /// The slopes equal those of the fast network's step.
    #[test]
    fn slopes_are_those_of_the_fast_network() {
        let data = DataSet::synthetic(4, 5, 1);
        let weights = Weights::random(2);
        let sparse = crate::mlp::SparseImages::new(&data.train);
        let mut fleet = crate::mlp::Fleet::new(std::array::from_ref(&weights));
        fleet.forward(&sparse.batch(&[0, 1, 2, 3, 4]));
        let network = Network::new(&weights);
        for i in 0..5 {
            let (loss, slopes) = network.slopes(data.train.image(i), data.train.labels[i]);
            assert!((loss - f64::from(fleet.predictions(0).loss[i])).abs() < 1e-6);
            for (class, p) in fleet.predictions(0).probabilities(i).into_iter().enumerate() {
                let own = f64::from(u8::from(class == usize::from(data.train.labels[i])));
                assert!((f64::from(p) - own - slopes.d3[class]).abs() < 1e-6);
            }
        }
    }
}
