//! Progress on standard error: a bar in a terminal, a line every so often elsewhere.

use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::step::Step;

/// Least time between lines where there is no terminal (choice); the first and the last step always print one.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Weight of the newest step in the speed shown (choice).
const NEWEST: f64 = 0.2;

/// The bar, or the lines that replace it.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    steps: u64,
    speed: Option<f64>,
    printed: Option<Instant>,
}

impl Progress {
    /// A bar of a run that has done `step` of `steps`.
    pub(super) fn new(step: u64, steps: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position(step);
        bar.reset_eta();
        Self { bar, steps, speed: None, printed: None }
    }

    /// Shows a step that selected this share of its tokens.
    pub(super) fn show(&mut self, step: &Step, share: f64) {
        let now = step.read as f64 / step.seconds.max(1e-9);
        let speed = self.speed.map_or(now, |speed| speed + NEWEST * (now - speed));
        self.speed = Some(speed);
        let nll = step.report.nll.map(|nll| format!("  nll {nll:.4}")).unwrap_or_default();
        let text =
            format!("loss {:.4}{nll}  selected {:.0}%  {speed:.0} tokens/s", step.report.loss, share * 100.0);
        if !self.bar.is_hidden() {
            self.bar.set_message(text);
            self.bar.set_position(step.step);
            return;
        }
        let due = self.printed.is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
        if due || step.step == self.steps {
            self.printed = Some(Instant::now());
            let left = (self.steps - step.step.min(self.steps)) as f64 * step.seconds;
            // A duration cannot hold every f64.
            let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
            tokensieve_base::status!(
                "step {}/{}  {text}  {} left",
                step.step,
                self.steps,
                HumanDuration(left)
            );
        }
    }

    /// A line above the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| tokensieve_base::status!("{line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
