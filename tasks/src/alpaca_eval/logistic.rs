//! Logistic regression with fractional responses and an L1 penalty, by Newton steps: each step minimises the loss's
//! quadratic model plus the penalty, one coordinate after the other.

/// One observation.
#[derive(Clone, Debug)]
pub(super) struct Observation<const K: usize> {
    pub(super) features: [f64; K],
    /// The observed probability. The fit depends on the sums of response × feature alone, so the responses of several
    /// observations can also represent a known sum and need not lie in 0..1.
    pub(super) response: f64,
    pub(super) weight: f64,
}

/// The coefficients b that minimise Σ weight·(log(1 + exp(b·x)) − response·b·x) + penalty·Σ|b|, from `start` on. Where a
/// hyperplane separates the responses, they are finite only for a positive penalty.
pub(super) fn fit<const K: usize>(rows: &[Observation<K>], penalty: f64, start: [f64; K]) -> [f64; K] {
    let mut b = start;
    let mut loss = objective(rows, penalty, &b);
    // Newton needs fewer than 20 here; the bound is for losses without a minimum.
    for _ in 0..100 {
        let target = newton_step(rows, penalty, &b);
        let mut pace = 1.0;
        let (next, next_loss) = loop {
            let next: [f64; K] = std::array::from_fn(|j| b[j] + pace * (target[j] - b[j]));
            let next_loss = objective(rows, penalty, &next);
            if next_loss <= loss {
                break (next, next_loss);
            }
            pace /= 2.0;
            if pace < 1e-10 {
                return b;
            }
        };
        let moved = b.iter().zip(&next).map(|(old, new)| (old - new).abs()).fold(0.0, f64::max);
        (b, loss) = (next, next_loss);
        if moved < 1e-10 {
            break;
        }
    }
    b
}

pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn dot<const K: usize>(a: &[f64; K], b: &[f64; K]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn objective<const K: usize>(rows: &[Observation<K>], penalty: f64, b: &[f64; K]) -> f64 {
    let loss: f64 = rows
        .iter()
        .map(|row| {
            let x = dot(&row.features, b);
            // log(1 + exp(x)) without overflow
            row.weight * (x.max(0.0) + (-x.abs()).exp().ln_1p() - row.response * x)
        })
        .sum();
    loss + penalty * b.iter().map(|b| b.abs()).sum::<f64>()
}

/// Where the quadratic model around `b` and the penalty have their minimum.
fn newton_step<const K: usize>(rows: &[Observation<K>], penalty: f64, b: &[f64; K]) -> [f64; K] {
    let mut slope = [0.0; K];
    let mut curvature = [[0.0; K]; K];
    for row in rows {
        let p = logistic(dot(&row.features, b));
        for ((slope, curvature), x) in slope.iter_mut().zip(&mut curvature).zip(row.features) {
            *slope += row.weight * (row.response - p) * x;
            for (curvature, other) in curvature.iter_mut().zip(row.features) {
                *curvature += row.weight * p * (1.0 - p) * x * other;
            }
        }
    }
    let mut target = *b;
    for _ in 0..1000 {
        let mut moved = 0.0f64;
        for j in 0..K {
            // A feature that is zero everywhere does not determine its coefficient.
            if curvature[j][j] <= 0.0 {
                continue;
            }
            let shift: [f64; K] = std::array::from_fn(|l| target[l] - b[l]);
            let pull = slope[j] - dot(&curvature[j], &shift) + curvature[j][j] * target[j];
            let next = pull.signum() * (pull.abs() - penalty).max(0.0) / curvature[j][j];
            moved = moved.max((next - target[j]).abs());
            target[j] = next;
        }
        if moved < 1e-12 {
            break;
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokensieve_base::streams::HashedStream;

    fn rows(n: usize, seed: u64) -> Vec<Observation<3>> {
        let mut stream = HashedStream::new(seed, "logistic");
        (0..n)
            .map(|_| {
                let features = [2.0 * stream.uniform() - 1.0, 3.0 * stream.uniform() - 1.0, 1.0];
                let p = logistic(dot(&features, &[-1.5, 0.8, -0.4]));
                let response = (p + 0.3 * (stream.uniform() - 0.5)).clamp(0.0, 1.0);
                Observation { features, response, weight: 0.5 + stream.uniform() }
            })
            .collect()
    }

    /// The obvious way: small steps downhill, each followed by the penalty's shrinking.
    fn slowly(rows: &[Observation<3>], penalty: f64) -> [f64; 3] {
        let pace = 1.0 / rows.iter().map(|row| row.weight * dot(&row.features, &row.features)).sum::<f64>();
        let mut b = [0.0; 3];
        for _ in 0..20_000 {
            let mut next = b;
            for row in rows {
                let error = row.response - logistic(dot(&row.features, &b));
                for (next, feature) in next.iter_mut().zip(row.features) {
                    *next += pace * row.weight * error * feature;
                }
            }
            b = next.map(|b| b.signum() * (b.abs() - pace * penalty).max(0.0));
        }
        b
    }

    #[test]
    fn newton_finds_what_small_steps_find() {
        for (seed, penalty) in [(1, 0.0), (2, 0.5), (3, 5.0), (4, 40.0)] {
            let rows = rows(60, seed);
            let (fast, slow) = (fit(&rows, penalty, [0.0; 3]), slowly(&rows, penalty));
            for j in 0..3 {
                assert!((fast[j] - slow[j]).abs() < 1e-7, "{penalty}: {fast:?} {slow:?}");
            }
        }
    }

    #[test]
    fn the_start_does_not_matter_even_far_away() {
        let rows = rows(200, 5);
        let (near, far) = (fit(&rows, 0.3, [0.0; 3]), fit(&rows, 0.3, [40.0, -40.0, 40.0]));
        for j in 0..3 {
            assert!((near[j] - far[j]).abs() < 1e-7, "{near:?} {far:?}");
        }
    }

    #[test]
    fn separated_responses_have_a_finite_fit_under_a_penalty() {
        let rows: Vec<Observation<1>> =
            (0..50).map(|_| Observation { features: [1.0], response: 1.0, weight: 1.0 }).collect();
        let b = fit(&rows, 0.05, [0.0])[0];
        // Σ(1 − p) = penalty
        assert!((50.0 * (1.0 - logistic(b)) - 0.05).abs() < 1e-9, "{b}");
    }

    #[test]
    fn a_feature_of_zeros_gets_no_weight() {
        let rows: Vec<Observation<2>> = (0..10)
            .map(|i| Observation { features: [0.0, 1.0], response: f64::from(i) / 10.0, weight: 1.0 })
            .collect();
        let b = fit(&rows, 0.0, [0.0; 2]);
        assert!(b[0] == 0.0 && (logistic(b[1]) - 0.45).abs() < 1e-9, "{b:?}");
    }
}
