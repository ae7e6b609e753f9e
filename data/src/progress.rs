//! Progress of a fetch: one bar in a terminal, and single lines for notable events; nothing when quiet.

use std::io::Read;

use indicatif::{ProgressBar, ProgressBarIter, ProgressDrawTarget, ProgressStyle};

/// The bar of one file.
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
}

impl Progress {
    /// With a name before the bar.
    pub fn new(name: &str, quiet: bool) -> Self {
        // The bar hides itself where stderr is not a terminal.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target).with_message(name.to_owned());
        let style =
            ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, quiet }
    }

    /// Starts a transfer of `total` bytes, of which `done` have arrived already.
    pub(crate) fn begin(&self, total: Option<u64>, done: u64) {
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// What advances as it is read.
    pub(crate) fn wrap<R: Read>(&self, input: R) -> ProgressBarIter<R> {
        self.bar.wrap_read(input)
    }

    /// Prints a line above the bar.
    pub(crate) fn print(&self, line: &str) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{line}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
