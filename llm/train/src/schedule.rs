//! The learning rate over a run: a linear warm-up, then a fall in the configured shape.

use crate::config::{Shape, Span, Train};

/// A learning rate per step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    shape: Shape,
    /// At the end of the warm-up.
    peak: f64,
    /// After the last step.
    end: f64,
    warmup: u64,
    steps: u64,
}

impl Schedule {
    /// The schedule of a run of so many steps.
    pub fn new(train: &Train, steps: u64) -> Self {
        let warmup = match train.warmup {
            Span::Steps(steps) => steps,
            Span::Share(share) => share_of(share, steps),
        };
        Self { shape: train.schedule, peak: train.lr, end: train.lr * train.lr_end, warmup, steps }
    }

    /// The learning rate of step 0, 1, …: of the warm-up's w steps the first has peak / w and the last the peak. The end
    /// is where one more step would be, because a last step with a rate of 0 would be wasted.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let first = self.warmup.saturating_sub(1);
        let last = self.steps.max(first + 1);
        let progress = (step.saturating_sub(first) as f64 / (last - first) as f64).min(1.0);
        let left = match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => 1.0 - progress,
            Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.end + (self.peak - self.end) * left
    }
}

/// A share of so many, rounded up. A product may lie above the whole number that is meant: 1.1 · 50 is 55.00000000000001.
pub(crate) fn share_of(share: f64, all: u64) -> u64 {
    (share * all as f64 * (1.0 - 1e-12)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn schedule(shape: Shape, end: f64, warmup: u64, steps: u64) -> Vec<f64> {
        let schedule = Schedule { shape, peak: 2.0, end, warmup, steps };
        (0..steps).map(|step| schedule.at(step)).collect()
    }

    #[test]
    fn the_end_is_one_step_beyond_the_last() {
        assert_eq!(schedule(Shape::Linear, 0.0, 2, 5), [1.0, 2.0, 1.5, 1.0, 0.5]);
        assert_eq!(schedule(Shape::Constant, 0.5, 2, 4), [1.0, 2.0, 2.0, 2.0]);
        let cosine = schedule(Shape::Cosine, 0.5, 1, 4);
        assert_eq!((cosine[0], cosine[2]), (2.0, 1.25));
        assert!(cosine[3] > 0.5 && cosine[3] < 0.75, "{cosine:?}");
        assert_eq!(schedule(Shape::Linear, 0.0, 0, 1), [2.0]);
    }

    #[test]
    fn a_share_of_the_run_is_no_step_too_long() {
        for (share, steps, expected) in
            [("0.07", 100, 7), ("0.03", 100, 3), ("0.03", 101, 4), ("0.1", 3, 1), ("0.0", 9, 0)]
        {
            let set = [format!("train.warmup={share}")];
            let config = Config::parse(Path::new("run.toml"), "data.train = \"gsm8k\"", &set).unwrap();
            assert_eq!(Schedule::new(&config.train, steps).warmup, expected, "{share} of {steps}");
        }
    }

    #[test]
    fn it_rises_then_falls_and_stays_a_number() {
        for shape in [Shape::Cosine, Shape::Linear, Shape::Constant] {
            for steps in 1..12 {
                for warmup in 0..14 {
                    let rates = schedule(shape, 0.2, warmup, steps);
                    let peak = rates.len().min(warmup as usize);
                    assert!(rates.iter().all(|rate| (0.0..=2.0).contains(rate)), "{rates:?}");
                    assert!(rates[..peak].is_sorted(), "{rates:?}");
                    assert!(rates[peak.saturating_sub(1)..].is_sorted_by(|a, b| a >= b), "{rates:?}");
                }
            }
        }
    }
}
