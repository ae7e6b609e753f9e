//! Ranks, and correlations of values and of ranks.

use super::mean;

/// Ranks 1..=n; tied values share the mean of the ranks that they occupy.
pub fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        // `==`, not bits: 0.0 and −0.0 are a tie.
        let end = (start + 1..order.len())
            .find(|&i| values[order[i]] != values[order[start]])
            .unwrap_or(order.len());
        let shared = (start + end + 1) as f64 / 2.0;
        for &i in &order[start..end] {
            ranks[i] = shared;
        }
        start = end;
    }
    ranks
}

/// Which values are among the largest share of them, ties with the least of these included.
pub fn among_largest(values: &[f64], share: f64) -> Vec<bool> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let count = (share * values.len() as f64).ceil() as usize;
    let least = sorted.get(count.saturating_sub(1)).copied().unwrap_or(0.0);
    values.iter().map(|value| *value >= least).collect()
}

/// Pearson's correlation; `None` for fewer than two pairs, unequal lengths, a constant or a non-finite sample.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let (mean_x, mean_y) = (mean(x)?, mean(y)?);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mean_x, b - mean_y);
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    let scale = xx.sqrt() * yy.sqrt();
    (scale > 0.0 && scale.is_finite()).then(|| (xy / scale).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation with mid-ranks for ties; `None` as for [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if !x.iter().chain(y).all(|v| v.is_finite()) {
        return None;
    }
    pearson(&mid_ranks(x), &mid_ranks(y))
}

/// The area under the receiver operating characteristic: the probability that `values` has a larger number for one of
/// the `positive` than for one of the others, ties counted half. `None` for unequal lengths, a value that is not finite,
/// or where all or none are positive.
pub fn auroc(values: &[f64], positive: &[bool]) -> Option<f64> {
    let ones = positive.iter().filter(|is| **is).count() as f64;
    let zeros = positive.len() as f64 - ones;
    if values.len() != positive.len() || ones * zeros == 0.0 || !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    let ranks = mid_ranks(values);
    let sum: f64 = ranks.iter().zip(positive).filter(|(_, is)| **is).map(|(rank, _)| rank).sum();
    Some((sum - ones * (ones + 1.0) / 2.0) / (ones * zeros))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::statistics::close;
    use crate::streams::Stream;

    #[test]
    fn ties_with_the_least_of_the_largest_count() {
        let among = among_largest(&[1.0, 3.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0], 0.25);
        assert_eq!(among, [false, true, true, true, true, false, false, false]);
        assert!(among_largest(&[], 0.25).is_empty());
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(mid_ranks(&[3.0, 1.0, 3.0, 0.0, -0.0, 3.0]), [5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
        assert!(mid_ranks(&[]).is_empty());
    }

    #[test]
    fn correlations_of_known_samples() {
        // 1 − 6·Σd²/(n(n²−1)) with d = (0, 1, −1, 0, 0).
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 9.0, 4.0, 16.0, 25.0]).unwrap();
        assert!(close(rho, 0.9, 1e-15));
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 2.0]), None);
        assert!(close(pearson(&[0.0, 1.0, 2.0], &[5.0, 3.0, 1.0]).unwrap(), -1.0, 1e-15));
    }

    #[test]
    fn auroc_counts_the_pairs_in_the_right_order() {
        // Pairs (positive, other): 3 > 1, 3 > 2, 2 > 1, 2 = 2.
        let area = auroc(&[3.0, 1.0, 2.0, 2.0], &[true, false, true, false]).unwrap();
        assert!(close(area, 3.5 / 4.0, 1e-15));
        assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auroc(&[1.0, 2.0], &[true]), None);
        assert_eq!(auroc(&[f64::NAN, 2.0], &[true, false]), None);
    }

    proptest! {
        #[test]
        fn ranks_sum_to_those_of_a_permutation(values in prop::collection::vec(-3..3_i32, 0..40)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let n = values.len() as f64;
            prop_assert_eq!(mid_ranks(&values).iter().sum::<f64>(), n * (n + 1.0) / 2.0);
        }

        #[test]
        fn spearman_ignores_increasing_maps(x in prop::collection::vec(-5.0..5.0_f64, 3..30), seed: u64) {
            let mut stream = Stream::new(seed, "y");
            let y: Vec<f64> = x.iter().map(|_| stream.normal()).collect();
            let mapped: Vec<f64> = x.iter().map(|v| v * v * v).collect();
            prop_assert_eq!(spearman(&x, &y), spearman(&mapped, &y));
        }
    }
}
