//! What sampling asks of a row of logits, on the host.

use crate::cpu;

/// The largest and where it first stands; 0 and −∞ of none.
pub fn largest(logits: &[f32]) -> (usize, f32) {
    let found = cpu::logits::largest(logits);
    let largest = found.unwrap_or_else(|| plain::largest(logits));
    (logits.iter().position(|logit| *logit >= largest).unwrap_or(0), largest)
}

/// ln Σ exp(logit).
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let (_, largest) = largest(logits);
    let found = cpu::logits::sum_exp(logits, largest);
    f64::from(largest) + found.unwrap_or_else(|| plain::sum_exp(logits, largest)).ln()
}

/// Every logit becomes exp((logit − largest) · scale).
pub fn exponentials(logits: &mut [f32], largest: f32, scale: f32) {
    if cpu::logits::exponentials(logits, largest, scale).is_some() {
        return;
    }
    plain::exponentials(logits, largest, scale);
}

mod plain {
    pub(super) fn largest(logits: &[f32]) -> f32 {
        logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }

    pub(super) fn sum_exp(logits: &[f32], largest: f32) -> f64 {
        logits.iter().map(|logit| f64::from((logit - largest).exp())).sum()
    }

    pub(super) fn exponentials(logits: &mut [f32], largest: f32, scale: f32) {
        for logit in logits {
            *logit = ((*logit - largest) * scale).exp();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_agree_with_plain_loops() {
        for n in [1, 15, 16, 17, 1000] {
            let logits: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1009) as f32 / 50.0) - 9.0).collect();
            let (at, most) = largest(&logits);
            assert_eq!(most, plain::largest(&logits));
            assert_eq!(at, logits.iter().position(|logit| *logit == most).unwrap());
            let expected = f64::from(most) + plain::sum_exp(&logits, most).ln();
            assert!((log_sum_exp(&logits) - expected).abs() < 1e-5, "{n}");
            let (mut found, mut expected) = (logits.clone(), logits.clone());
            exponentials(&mut found, most, 0.7);
            plain::exponentials(&mut expected, most, 0.7);
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b), "{n}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_seen() {
        assert!(log_sum_exp(&[1.0, f32::NAN, 2.0]).is_nan());
        assert!(log_sum_exp(&[1.0, f32::INFINITY]).is_nan());
        assert_eq!(largest(&[f32::NEG_INFINITY, 3.0, 3.0]), (1, 3.0));
    }
}
