//! Gradients as short vectors: inner products of sketches are those of the gradients, nearly.
//!
//! A count sketch adds every element, with a random sign, to one of the sketch's elements. The inner product of two
//! sketches is unbiased; its standard error is at most the product of the two lengths times √(2 / [`WIDTH`]), 0.4 %.
//! Memory then depends on the number of folds and bands, not on the model.

use tokensieve_model::mix64;

/// Elements of a sketch, a power of two (choice: half a MiB). A gradient with no more elements is its own sketch.
const WIDTH: usize = 1 << 17;

/// The sketch of a sum of gradients.
#[derive(Clone, Debug)]
pub(crate) struct Sketch(Vec<f32>);

impl Sketch {
    /// The sketch of zero, for gradients with so many elements.
    pub(crate) fn zero(parameters: usize) -> Self {
        Self(vec![0.0; parameters.min(WIDTH)])
    }

    /// Adds a gradient.
    pub(crate) fn add(&mut self, gradient: &[f32]) {
        if gradient.len() <= WIDTH {
            self.0.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
            return;
        }
        for (block, values) in (0_u64..).zip(gradient.chunks(WIDTH)) {
            // Two elements meet only across blocks, and where they do follows from the blocks' offsets.
            let offset = mix64(block << 32) as usize & (WIDTH - 1);
            let (before, after) = self.0.split_at_mut(offset);
            let wrapped = values.len().min(after.len());
            for (part, (sums, values)) in
                [(after, &values[..wrapped]), (before, &values[wrapped..])].into_iter().enumerate()
            {
                let key = (2 * block + part as u64 + 1) << 32;
                for (word, (sums, values)) in (0_u64..).zip(sums.chunks_mut(64).zip(values.chunks(64))) {
                    let signs = mix64(key | word);
                    for (i, (sum, value)) in sums.iter_mut().zip(values).enumerate() {
                        // Without a branch, so that the compiler takes many elements at a time.
                        let sign = ((signs >> i) as u32 & 1) << 31;
                        *sum += f32::from_bits(value.to_bits() ^ sign);
                    }
                }
            }
        }
    }

    /// Adds another sketch.
    #[cfg(test)]
    pub(crate) fn add_sketch(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, value)| *sum += value);
    }

    /// The inner product.
    pub(crate) fn dot(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }
}

#[cfg(test)]
mod tests {
    use tokensieve_base::streams::Stream;
    use tokensieve_base::testing::largest_difference;

    use super::*;

    fn normal(n: usize, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, "gradient");
        (0..n).map(|_| stream.normal() as f32).collect()
    }

    fn sketch(values: &[f32]) -> Sketch {
        let mut sketch = Sketch::zero(values.len());
        sketch.add(values);
        sketch
    }

    #[test]
    fn a_short_gradient_is_kept_as_it_is() {
        let (a, b) = (normal(1000, 1), normal(1000, 2));
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert_eq!(sketch(&a).dot(&sketch(&b)), exact);
    }

    #[test]
    fn inner_products_survive_and_sums_are_sums() {
        let n = 5 * WIDTH + 77;
        let (a, noise) = (normal(n, 1), normal(n, 2));
        let b: Vec<f32> = a.iter().zip(&noise).map(|(a, noise)| 0.1 * a + noise).collect();
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let length = (dot(&a, &a) * dot(&b, &b)).sqrt();
        let error = (sketch(&a).dot(&sketch(&b)) - dot(&a, &b)).abs() / length;
        assert!(error < 0.01, "{error}");
        let mut sum = sketch(&a);
        sum.add(&noise);
        let both: Vec<f32> = a.iter().zip(&noise).map(|(a, b)| a + b).collect();
        let apart = largest_difference(&sum.0, &sketch(&both).0);
        assert!(apart < 1e-3, "{apart}");
    }
}
