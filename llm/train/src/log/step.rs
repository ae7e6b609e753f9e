//! What the log writes of a step.

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Steps done, this one included.
    pub step: u64,
    /// The objective's loss.
    pub loss: f64,
    /// Mean −log p of the labels.
    pub nll: f64,
    /// Predicted tokens.
    pub tokens: usize,
    /// How many of them the objective selected.
    pub selected: usize,
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
    /// Seconds by phase.
    pub phases: &'a [(&'static str, f64)],
}
