//! The learning rate over a run: it rises in a straight line, then falls in the shape asked for.

use super::config::{Shape, Span, Train};

/// A learning rate per step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    shape: Shape,
    /// At the end of the warm-up.
    peak: f64,
    /// At the last step.
    end: f64,
    warmup: u64,
    steps: u64,
}

impl Schedule {
    /// The schedule of a run of so many steps.
    pub fn new(train: &Train, steps: u64) -> Self {
        let warmup = match train.warmup {
            Span::Steps(steps) => steps,
            Span::Share(share) => (share * steps as f64).ceil() as u64,
        };
        Self { shape: train.schedule, peak: train.lr, end: train.lr * train.lr_end, warmup, steps }
    }

    /// The learning rate of step 0, 1, …: of the warm-up's w steps the first has peak / w and the last the peak; the
    /// last of the run has the end's exactly.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let first = self.warmup.saturating_sub(1);
        let last = self.steps.saturating_sub(1).max(first + 1);
        if self.shape != Shape::Constant && step >= last {
            return self.end;
        }
        let progress = step.saturating_sub(first) as f64 / (last - first) as f64;
        let left = match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => 1.0 - progress,
            Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.end + (self.peak - self.end) * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: Shape, end: f64, warmup: u64, steps: u64) -> Vec<f64> {
        let schedule = Schedule { shape, peak: 2.0, end, warmup, steps };
        (0..steps).map(|step| schedule.at(step)).collect()
    }

    #[test]
    fn ends_are_exact() {
        assert_eq!(schedule(Shape::Linear, 0.0, 2, 6), [1.0, 2.0, 1.5, 1.0, 0.5, 0.0]);
        assert_eq!(schedule(Shape::Constant, 0.5, 2, 4), [1.0, 2.0, 2.0, 2.0]);
        let cosine = schedule(Shape::Cosine, 0.5, 1, 5);
        assert_eq!((cosine[0], cosine[2], cosine[4]), (2.0, 1.25, 0.5));
        assert_eq!(schedule(Shape::Cosine, 0.0, 0, 3), [2.0, 1.0, 0.0]);
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
