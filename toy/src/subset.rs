//! The best subset of fixed size for a quadratic loss, by looking at every one of them.
//!
//! Training on a subset I of the data (or of the coordinates) changes the loss by
//! Σ_{i∈I} lᵢ + ½ Σ_{i,j∈I} Qᵢⱼ, because the step is linear in the mask. So no subset needs a matrix product:
//! a depth-first walk carries, for every element that might come next, what it would add, and each of the
//! C(n, k) leaves costs one addition and one comparison.

use ndarray::{ArrayView1, ArrayView2};

/// The search over the `size`-subsets of 0..`n`; its buffers serve any number of searches.
#[derive(Clone, Debug)]
pub struct Search {
    n: usize,
    size: usize,
    /// Row d, entry i: what element i would add to the d elements chosen before it.
    gains: Vec<f64>,
    /// Q, row-major.
    quadratic: Vec<f64>,
    chosen: Vec<usize>,
    best: Vec<usize>,
    best_change: f64,
}

impl Search {
    /// A search for subsets of `size` elements out of `n`; `None` if there are none such or no element to choose.
    pub fn new(n: usize, size: usize) -> Option<Self> {
        (1..=n).contains(&size).then(|| Self {
            n,
            size,
            gains: vec![0.0; size * n],
            quadratic: Vec::with_capacity(n * n),
            chosen: Vec::with_capacity(size),
            best: Vec::with_capacity(size),
            best_change: f64::INFINITY,
        })
    }

    /// The subset I (ascending) with the smallest Σ_{i∈I} lᵢ + ½ Σ_{i,j∈I} Qᵢⱼ, and that sum.
    ///
    /// Of equal sums the lexicographically first subset wins; where every sum is NaN or infinite, it is 0..`size`.
    ///
    /// # Panics
    /// If `linear` and `quadratic` are not of size n and n × n: a mistake of the calling code.
    pub fn best(&mut self, linear: ArrayView1<f64>, quadratic: ArrayView2<f64>) -> (&[usize], f64) {
        assert_eq!(linear.len(), self.n, "linear term of the wrong length");
        assert_eq!(quadratic.dim(), (self.n, self.n), "quadratic term of the wrong shape");
        self.quadratic.clear();
        self.quadratic.extend(quadratic.iter());
        for i in 0..self.n {
            self.gains[i] = linear[i] + 0.5 * quadratic[(i, i)];
        }
        self.chosen.clear();
        self.best.clear();
        self.best.extend(0..self.size);
        self.best_change = f64::INFINITY;
        self.descend(0, 0, 0.0);
        (&self.best, self.best_change)
    }

    fn descend(&mut self, depth: usize, from: usize, change: f64) {
        let n = self.n;
        let (row, next) = (depth * n, (depth + 1) * n);
        if depth + 1 == self.size {
            let mut last = None;
            for (i, gain) in self.gains[row + from..next].iter().enumerate() {
                let total = change + gain;
                if total < self.best_change {
                    self.best_change = total;
                    last = Some(from + i);
                }
            }
            if let Some(last) = last {
                self.best.clear();
                self.best.extend_from_slice(&self.chosen);
                self.best.push(last);
            }
            return;
        }
        // Enough elements must be left to fill the subset.
        for i in from..=n + depth - self.size {
            let (before, after) = self.gains.split_at_mut(next);
            let pairs = &self.quadratic[i * n + i + 1..(i + 1) * n];
            for ((to, gain), pair) in after[i + 1..n].iter_mut().zip(&before[row + i + 1..]).zip(pairs) {
                *to = gain + pair;
            }
            let change = change + before[row + i];
            self.chosen.push(i);
            self.descend(depth + 1, i + 1, change);
            self.chosen.pop();
        }
    }
}

/// Number of `size`-subsets of `n` elements, as a float: it only bounds how long a search takes.
pub fn count(n: usize, size: usize) -> f64 {
    (0..size).fold(1.0, |product, i| product * n.saturating_sub(i) as f64 / (i + 1) as f64)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same sums in the same order, or integers")]
mod tests {
    use ndarray::{Array1, Array2};
    use proptest::prelude::*;

    use super::*;
    use tokensieve_base::streams::Stream;

    /// The slow twin: every bit mask, the whole double sum each time.
    fn brute_force(linear: &Array1<f64>, quadratic: &Array2<f64>, size: usize) -> Vec<(f64, Vec<usize>)> {
        let n = linear.len();
        let subsets = (0..1_u32 << n).filter(|mask| mask.count_ones() as usize == size);
        let mut all: Vec<(f64, Vec<usize>)> = subsets
            .map(|mask| {
                let members: Vec<usize> = (0..n).filter(|i| mask >> i & 1 == 1).collect();
                let pairs: f64 =
                    members.iter().flat_map(|&i| members.iter().map(move |&j| quadratic[(i, j)])).sum();
                (members.iter().map(|&i| linear[i]).sum::<f64>() + 0.5 * pairs, members)
            })
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        all
    }

    fn problem(n: usize, seed: u64, draw: impl Fn(&mut Stream) -> f64) -> (Array1<f64>, Array2<f64>) {
        let mut stream = Stream::new(seed, "subset");
        let linear = (0..n).map(|_| draw(&mut stream)).collect();
        let square = Array2::from_shape_simple_fn((n, n), || draw(&mut stream));
        (linear, &square + &square.t())
    }

    proptest! {
        #[test]
        fn equals_brute_force(n in 1..11_usize, portion in 0.0..1.0_f64, seed: u64) {
            let size = 1 + (portion * n as f64) as usize;
            let (linear, quadratic) = problem(n, seed, Stream::normal);
            let mut search = Search::new(n, size).unwrap();
            let (members, change) = search.best(linear.view(), quadratic.view());
            let all = brute_force(&linear, &quadratic, size);
            prop_assert_eq!(all.len() as f64, count(n, size));
            prop_assert!((change - all[0].0).abs() < 1e-12 * (1.0 + change.abs()));
            prop_assert_eq!(members, &all[0].1[..]);
        }

        /// Small integers add up without rounding, so ties are exact, and there are many.
        #[test]
        fn ties_go_to_the_lexicographically_first(n in 1..9_usize, portion in 0.0..1.0_f64, seed: u64) {
            let size = 1 + (portion * n as f64) as usize;
            let (linear, quadratic) = problem(n, seed, |stream| stream.below(3) as f64 - 1.0);
            let mut search = Search::new(n, size).unwrap();
            let (members, change) = search.best(linear.view(), quadratic.view());
            let all = brute_force(&linear, &quadratic, size);
            prop_assert_eq!((change, members), (all[0].0, &all[0].1[..]));
        }
    }

    #[test]
    fn the_edges_are_defined() {
        assert!(Search::new(4, 0).is_none() && Search::new(4, 5).is_none() && Search::new(0, 0).is_none());
        let nowhere = Array1::from_elem(4, f64::NAN);
        let mut search = Search::new(4, 2).unwrap();
        assert_eq!(search.best(nowhere.view(), Array2::zeros((4, 4)).view()).0, [0, 1]);
        assert_eq!(count(16, 4), 1820.0);
        assert_eq!(count(3, 5), 0.0);
    }

    /// A search leaves nothing behind that the next one would see.
    #[test]
    fn buffers_are_reused_cleanly() {
        let mut search = Search::new(8, 3).unwrap();
        for seed in 0..20 {
            let (linear, quadratic) = problem(8, seed, Stream::normal);
            let reused = search.best(linear.view(), quadratic.view());
            let mut fresh = Search::new(8, 3).unwrap();
            assert_eq!(reused, fresh.best(linear.view(), quadratic.view()));
        }
    }
}
