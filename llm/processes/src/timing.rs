//! How long processes wait.

use std::time::Duration;

/// How long processes wait.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For the others to join.
    pub join: Duration,
    /// Between two beats.
    pub beat: Duration,
    /// For any sign of a process before it is lost.
    pub silence: Duration,
    /// Between a loss and the callback.
    pub grace: Duration,
}

impl Default for Timing {
    /// Choices: torch waits as long for others to join; silence and grace, which may follow each other, end a process
    /// within 30 seconds.
    fn default() -> Self {
        Self {
            join: Duration::from_secs(300),
            beat: Duration::from_secs(1),
            silence: Duration::from_secs(12),
            grace: Duration::from_secs(10),
        }
    }
}
