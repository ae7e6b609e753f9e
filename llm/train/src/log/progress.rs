//! Progress on standard error: a bar in a terminal, a line every so often elsewhere.

use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

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

/// What one step shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) step: u64,
    pub(super) loss: f64,
    pub(super) nll: f64,
    pub(super) selected: f64,
    /// Tokens read, prompts included.
    pub(super) tokens: usize,
    pub(super) seconds: f64,
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

    pub(super) fn show(&mut self, shown: Shown) {
        let now = shown.tokens as f64 / shown.seconds.max(1e-9);
        let speed = self.speed.map_or(now, |speed| speed + NEWEST * (now - speed));
        self.speed = Some(speed);
        let text = format!(
            "loss {:.4}  nll {:.4}  selected {:.0}%  {speed:.0} tokens/s",
            shown.loss,
            shown.nll,
            shown.selected * 100.0
        );
        if !self.bar.is_hidden() {
            self.bar.set_message(text);
            self.bar.set_position(shown.step);
            return;
        }
        let due = self.printed.is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
        if due || shown.step == self.steps {
            self.printed = Some(Instant::now());
            let left = (self.steps - shown.step.min(self.steps)) as f64 * shown.seconds;
            // A duration cannot hold every f64.
            let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
            tokensieve_base::status!(
                "step {}/{}  {text}  {} left",
                shown.step,
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
