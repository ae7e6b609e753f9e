//! How the band that is trained on changes over a run: constant, on a ramp, or as the model learns.

use serde::{Deserialize, Serialize};

use crate::Band;

/// The length of a training run and the seed of its random choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Optimizer steps in all.
    pub steps: u64,
    /// Seed of the random criterion; nothing else is random.
    pub seed: u64,
}

/// How the band moves from its initial position to the requested one.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Schedule {
    /// The requested band at every step.
    #[default]
    Constant,
    /// Both ends move linearly from `from` and arrive after the share `over` of the steps.
    Ramp {
        /// The band of the first step.
        from: Band,
        /// Share of the run's steps until it has arrived, in (0, 1].
        over: f64,
    },
    /// Both ends move from `from` in proportion to the fall of the mean loss: the progress is 1 − (mean of the last steps) /
    /// (mean of the first steps), clamped to [0, 1]. First and last are a tenth of the run each, at most ten steps.
    Adaptive {
        /// The band of the first steps.
        from: Band,
    },
}

impl Plan {
    /// Steps that make up "the first" and "the last" of [`Schedule::Adaptive`]: enough to average out one batch where the
    /// run is long enough for it to follow, too.
    fn window(self) -> usize {
        (self.steps / 10).clamp(1, 10) as usize
    }
}

/// The position of a run in its schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Clock {
    pub(crate) step: u64,
    /// Sum of the first steps' mean losses and how many they are.
    first: (f64, usize),
    /// The last steps' mean losses, a ring buffer.
    recent: Vec<f64>,
    /// Steps without a loss.
    #[serde(default)]
    skipped: u64,
}

impl Clock {
    /// The band of the present step.
    pub(crate) fn band(&self, schedule: Schedule, goal: Band, plan: Plan) -> Band {
        let (from, progress) = match schedule {
            Schedule::Constant => return goal,
            Schedule::Ramp { from, over } => {
                let steps = (over * plan.steps as f64).max(1.0);
                (from, (self.step as f64 / steps).min(1.0))
            }
            Schedule::Adaptive { from } => (from, self.learnt(plan.window())),
        };
        let between = |a: f64, b: f64| a + (b - a) * progress;
        if progress >= 1.0 {
            return goal;
        }
        Band { low: between(from.low, goal.low), high: between(from.high, goal.high) }
    }

    fn learnt(&self, window: usize) -> f64 {
        let (sum, count) = self.first;
        if count < window || sum <= 0.0 {
            return 0.0;
        }
        let recent: f64 = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
        (1.0 - recent / (sum / count as f64)).clamp(0.0, 1.0)
    }

    /// Ends a step and records its mean loss, which adaptive schedules need.
    pub(crate) fn tick(&mut self, mean_loss: Option<f64>, plan: Plan) {
        if let Some(loss) = mean_loss {
            let window = plan.window();
            if self.first.1 < window {
                self.first = (self.first.0 + loss, self.first.1 + 1);
            }
            if self.recent.len() < window {
                self.recent.push(loss);
            } else {
                self.recent[(self.step - self.skipped) as usize % window] = loss;
            }
        } else {
            self.skipped += 1;
        }
        self.step += 1;
    }
}
