//! What the log writes of a step.

use crate::step::StepReport;

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Steps done, this one included.
    pub step: u64,
    /// Its losses, its tokens and its phases.
    pub report: &'a StepReport,
    /// Learning rate.
    pub lr: f64,
    /// The gradient's norm before clipping.
    pub gradient_norm: f64,
    /// Tokens read, prompts included.
    pub read: usize,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Peak memory on the device so far, in bytes; `None` on the CPU.
    pub peak_device_bytes: Option<u64>,
}
